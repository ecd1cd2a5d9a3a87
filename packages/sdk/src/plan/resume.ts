import type { CptRunSpec } from '../run-spec.ts';
import type { Finding } from '../schemas.ts';
import type { PlanInput } from './plan-input.ts';

/** What a start after a failure does. */
export type ResumeOutcome = 'exact' | 'weights-only' | 'from-base';

/**
 * What the flags make of a start after a failure. Without `--load` from the output it begins again; from there without
 * the optimizer's state it has the weights and the place in the data, but neither Adam's moments nor the place in the schedule.
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
      'for a run that must survive failures, load from the output once it holds a checkpoint, and save and load the optimizer; jobs.resume() continues an ended job from its newest complete checkpoint, without the optimizer',
  },
};

/** P11: what happens after a failure. The facts default to the launch scripts of Pai-Megatron-Patch as they are. */
export function checkResume({ spec, steps, facts }: PlanInput): Finding[] {
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
  const restart = {
    check: 'P11',
    level: isFine ? 'info' : 'warn',
    message: text,
    numbers,
    ...(advice ? { advice } : {}),
  } as const;
  return [restart, ...tellResumed(spec.resume, steps.iterations)];
}

/** A run that goes on counts the iterations of the one before. */
function tellResumed(resume: CptRunSpec['resume'], iterations: number): Finding[] {
  if (resume === undefined || resume.order === 'anew') return [];
  const { iteration } = resume;
  const left = iterations - iteration;
  const message = `goes on after iteration ${iteration} of ${iterations}: ${left} are trained, so that time, cost and saves are ${left}/${iterations} of what is said of the whole run`;
  return [{ check: 'P11', level: 'info', message, numbers: { iteration, iterations, left } }];
}
