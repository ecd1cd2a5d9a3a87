import type { Plan } from '@pai-cpt/sdk';
import pc from 'picocolors';

const count = (value: number) => value.toLocaleString('en-US');
const LEVELS = { block: pc.red('block'), warn: pc.yellow('warn '), info: pc.dim('info ') } as const;

/** A plan as a person reads it: the figures first, then each finding with what to do about it. */
export function renderPlan(plan: Plan): string {
  const epochs = plan.epochs === undefined ? '' : ` = ${plan.epochs.toFixed(2)} epochs of the dataset`;
  const lines = [
    `${count(plan.iterations)} iterations, ${count(plan.warmupIterations)} of them warm-up; checkpoints saved: ${count(plan.saves)}`,
    `${count(plan.tokensPerIteration)} tokens an iteration, ${count(plan.tokens)} in all${epochs}`,
  ];
  for (const finding of plan.findings) {
    lines.push(`${LEVELS[finding.level]} ${finding.check.padEnd(3)} ${finding.message}`);
    if (finding.advice) lines.push(`          ${pc.dim(finding.advice)}`);
  }
  lines.push(plan.isBlocked ? pc.red('blocked: this run would fail or waste its GPUs') : pc.green('ready to submit'));
  return lines.join('\n');
}
