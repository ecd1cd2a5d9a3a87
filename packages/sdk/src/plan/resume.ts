import type { Finding } from '../schemas.ts';
import type { PlanInput } from './plan-input.ts';

/** What a start after a failure does. */
export type ResumeOutcome = 'exact' | 'weights-only' | 'from-base';

/**
 * What the flags make of a start after a failure. Without `--load` from the output it begins again; from there without
 * the optimizer's state it has the weights, but neither Adam's moments nor the place in the data and the schedule.
 */
export function resumeOutcome(flags: {
  savesOptimizer: boolean;
  loadsOptimizer: boolean;
  loadsFromOutput: boolean;
}): ResumeOutcome {
  if (!flags.loadsFromOutput) return 'from-base';
  return flags.savesOptimizer && flags.loadsOptimizer ? 'exact' : 'weights-only';
}

const OUTCOMES: Record<ResumeOutcome, { message: string; advice?: string }> = {
  exact: { message: 'goes on from the newest checkpoint with optimizer and schedule' },
  'weights-only': {
    message: 'has the newest weights but not the optimizer’s state: Adam’s moments and the schedule begin anew',
    advice: 'remove --no-save-optim, --no-load-optim and --no-load-rng from the launch script',
  },
  'from-base': {
    message: 'begins again at iteration 0: --load names the base checkpoint, not the output',
    advice:
      'for a run that must survive failures, load from the output once it holds a checkpoint, and save and load the optimizer',
  },
};

/** P11: what happens after a failure. The facts default to the launch scripts of Pai-Megatron-Patch as they are. */
export function checkResume({ steps, facts }: PlanInput): Finding[] {
  if (steps.iterations === 0) return [];
  const {
    savesOptimizer = false,
    loadsOptimizer = false,
    loadsFromOutput = false,
    restartsByItself = false,
  } = facts.launcher ?? {};
  const outcome = resumeOutcome({ savesOptimizer, loadsOptimizer, loadsFromOutput });
  const { message, advice } = OUTCOMES[outcome];
  const who = restartsByItself
    ? 'after a failure AIMaster restarts the job, which'
    : 'a failure ends the job; a new start';
  const isFine = outcome === 'exact';
  const flags = { savesOptimizer, loadsOptimizer, loadsFromOutput, restartsByItself };
  const numbers = Object.fromEntries(Object.entries(flags).map(([key, value]) => [key, Number(value)]));
  const text = `${who} ${message}`;
  return [{ check: 'P11', level: isFine ? 'info' : 'warn', message: text, numbers, ...(advice ? { advice } : {}) }];
}
