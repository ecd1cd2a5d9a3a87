import { InvalidInputError } from '@pai-cpt/core';
import { runSteps } from '../plan/plan-input.ts';
import type { CptRunSpec } from '../run-spec.ts';
import { type FittedSchedule, fitSchedule } from './fit-schedule.ts';
import { type PartFate, partsOf } from './parts.ts';

/** How to go on. */
export interface ResumeChoices {
  /**
   * `continue`, the default: iterations and samples go on after those of the checkpoint, so no sample is trained on twice; the
   * rest of the learning rate's cosine is approximated. `anew`: the rest is a run of its own with exactly the remaining tokens,
   * whose rate starts and ends where the original's does, but whose samples begin again from the first one.
   */
  order?: 'continue' | 'anew' | undefined;
  /**
   * Iterations in which the rate rises from 0 again; by default 20, which is how far Adam's second moment looks back (β₂ =
   * 0.95), and at most a tenth of what is left.
   */
  rewarmIterations?: number | undefined;
  /** With `anew`, other data: what the first run has not seen, or a mixture with some of it. */
  data?: CptRunSpec['data'] | undefined;
}

/** The run that continues another, and what it keeps of it. */
export interface ResumePlan {
  readonly spec: CptRunSpec;
  readonly checkpoint: { readonly iteration: number; readonly directory: string };
  readonly order: 'continue' | 'anew';
  readonly remainingIterations: number;
  readonly remainingTokens: number;
  readonly schedule: FittedSchedule;
  readonly parts: readonly PartFate[];
  /** What was looked at, and what was not. */
  readonly notes: readonly string[];
}

const REWARM = 20;
const LEAST_REST = 2;

/**
 * The run that goes on after a checkpoint of `spec`'s, through the same launch script. Pure.
 * @param directory of the run's checkpoints, as the job sees it.
 * @throws InvalidInputError `CPT_INPUT_JOB_RESUME` when nothing, or too little for a schedule, is left.
 */
export function planResume(
  spec: CptRunSpec,
  { iteration, directory }: { iteration: number; directory: string },
  { order = 'continue', rewarmIterations, data }: ResumeChoices = {},
  { jobId, notes = [] }: { jobId?: string; notes?: readonly string[] } = {},
): ResumePlan {
  if (data !== undefined && order === 'continue') {
    const message =
      'with the order "continue" the samples already seen are counted off, which only the same data allows; use "anew"';
    throw new InvalidInputError('CPT_INPUT_JOB_RESUME', message, { field: 'data' });
  }
  const { hyperParameters: hyper, resume: earlier } = spec;
  const { iterations, warmupIterations, tokensPerIteration } = runSteps(hyper);
  const steps = iterations - iteration;
  if (steps < LEAST_REST) {
    const message =
      steps <= 0
        ? `iteration ${iteration} of ${iterations} is saved: nothing is left; for more, raise train_tokens of the specification`
        : `${steps} of ${iterations} iterations is left, too few for a learning rate schedule`;
    throw new InvalidInputError('CPT_INPUT_JOB_RESUME', message, { iteration, iterations });
  }
  const startIteration = earlier === undefined || earlier.order === 'anew' ? 0 : earlier.iteration;
  const { learning_rate: peak, min_learning_rate: min } = hyper;
  const original = { peak, min, warmupIterations, decayIterations: iterations, startIteration };
  const unwarmed = Math.max(0, warmupIterations + startIteration - iteration);
  const rewarm = rewarmIterations ?? Math.min(REWARM, Math.floor(steps / 10));
  const warmup = Math.min(steps - 1, Math.max(rewarm, unwarmed));
  const decayIterations = order === 'anew' ? steps : iterations;
  const schedule = fitSchedule(original, { from: iteration, steps, decayIterations, warmupIterations: warmup });
  const lineage = {
    'cpt-resumed-at': String(iteration),
    ...(jobId === undefined ? {} : { 'cpt-resumed-from': jobId }),
  };
  return {
    spec: {
      ...spec,
      ...(data === undefined ? {} : { data }),
      hyperParameters: {
        ...hyper,
        learning_rate: schedule.peak,
        min_learning_rate: schedule.min,
        warmup_tokens: warmup * tokensPerIteration,
        // With `continue` Megatron counts the checkpoint's iterations too.
        train_tokens: order === 'anew' ? steps * tokensPerIteration : hyper.train_tokens,
      },
      resume: { checkpoint: directory, iteration, ...(order === 'anew' ? { order } : {}) },
      tags: { ...spec.tags, ...lineage },
    },
    checkpoint: { iteration, directory },
    order,
    remainingIterations: steps,
    remainingTokens: steps * tokensPerIteration,
    schedule,
    parts: partsOf('weights-only', { iteration }).map((fate) =>
      told(fate, schedule, order, iteration * hyper.global_batch_size, data),
    ),
    notes,
  };
}

function told(
  fate: PartFate,
  schedule: FittedSchedule,
  order: 'continue' | 'anew',
  samples: number,
  data: CptRunSpec['data'] | undefined,
): PartFate {
  if (fate.part === 'schedule') {
    const { peak, min, warmupIterations, largestGap, meanRatio, end } = schedule;
    const percent = (value: number): string => `${(100 * value).toFixed(1)} %`;
    const why = `approximated: ${warmupIterations} iterations of warm-up to ${peak}, then a cosine towards ${min}; after the warm-up at most ${percent(largestGap)} of the peak from the original, ${percent(meanRatio)} of its mean, and ${end.fitted.toPrecision(3)} at the end instead of ${end.original.toPrecision(3)}`;
    return { ...fate, why };
  }
  if (fate.part !== 'data' || order === 'continue') return fate;
  if (data !== undefined)
    return { part: 'data', isKept: false, why: `the samples are those of ${data.train}, from the first one` };
  const why = `the samples come again from the first one: with the same dataset and seed the first ${samples} are those that were trained on; give data.train another dataset to avoid it`;
  return { part: 'data', isKept: false, why };
}
