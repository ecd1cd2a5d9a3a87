import type { Finding, Plan } from '@pai-cpt/sdk';
import pc from 'picocolors';
import { count, layoutTable, memoryPicture, type PictureOptions, timelinePicture } from './plan-picture.ts';

/** How to show a plan. */
export interface RenderOptions extends PictureOptions {
  /** Heads the plan. */
  readonly model?: string;
}

const LEVELS = { block: pc.red('block'), warn: pc.yellow('warn '), info: pc.dim('info ') } as const;
const ORDER = ['block', 'warn', 'info'] as const;

/** A plan as a person looks at it: figures, memory, time and divisions as pictures, then the findings, the worst first. */
export function renderPlan(plan: Plan, options: RenderOptions = {}): string {
  const epochs = plan.epochs === undefined ? '' : ` = ${plan.epochs.toFixed(2)} epochs of the dataset`;
  const machine = `${options.model === undefined ? '' : `${options.model} on `}${plan.gpus} GPUs of ${plan.gpuMemoryGiB} GiB`;
  const head = [
    pc.bold(machine),
    `${count(plan.iterations)} iterations, ${count(plan.warmupIterations)} of them warm-up; checkpoints saved: ${count(plan.saves)}`,
    `${count(plan.tokensPerIteration)} tokens an iteration, ${count(plan.tokens)} in all${epochs}`,
  ];
  const blocks = [
    head,
    memoryPicture(plan, options),
    timelinePicture(plan, options),
    layoutTable(plan),
    ORDER.flatMap((level) => plan.findings.filter((finding) => finding.level === level).flatMap(findingLines)),
    [plan.isBlocked ? pc.red('blocked: this run would fail or waste its GPUs') : pc.green('ready to submit')],
  ];
  return blocks
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join('\n'))
    .join('\n\n');
}

function findingLines({ level, check, message, advice }: Finding): string[] {
  const line = `${LEVELS[level]} ${check.padEnd(3)} ${message}`;
  return advice === undefined ? [line] : [line, `          ${pc.dim(advice)}`];
}
