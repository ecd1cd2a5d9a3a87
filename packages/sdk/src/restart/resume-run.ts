import { InvalidInputError } from '@pai-cpt/core';
import { runSteps } from '../plan/plan-input.ts';
import type { CptRunSpec } from '../run-spec.ts';
import { type PartFate, partsOf } from './parts.ts';
import { placeAt, type SchedulePlace } from './schedule-place.ts';

/** How to go on. */
export interface ResumeChoices {
  /**
   * `continue`, the default: iterations and samples go on after those of the checkpoint, so no sample is trained on twice.
   * `anew`: the rest is a run of its own with exactly the remaining tokens, whose samples begin again from the first one. The
   * learning rate goes on either way.
   */
  order?: 'continue' | 'anew' | undefined;
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
  readonly schedule: SchedulePlace;
  readonly parts: readonly PartFate[];
  /** What was looked at, and what was not. */
  readonly notes: readonly string[];
}

/**
 * The run that goes on after a checkpoint of `spec`'s, through the same launch script. Pure.
 * @param directory of the run's checkpoints, as the job sees it.
 * @throws InvalidInputError `CPT_INPUT_JOB_RESUME` when nothing is left.
 */
export function planResume(
  spec: CptRunSpec,
  { iteration, directory }: { iteration: number; directory: string },
  { order = 'continue', data }: ResumeChoices = {},
  { jobId, notes = [] }: { jobId?: string; notes?: readonly string[] } = {},
): ResumePlan {
  if (data !== undefined && order === 'continue') {
    const message =
      'with the order "continue" the samples already seen are counted off, which only the same data allows; use "anew"';
    throw new InvalidInputError('CPT_INPUT_JOB_RESUME', message, { field: 'data' });
  }
  const { hyperParameters: hyper } = spec;
  const { iterations, tokensPerIteration } = runSteps(hyper);
  const steps = iterations - iteration;
  if (steps < 1) {
    const message = `iteration ${iteration} of ${iterations} is saved: nothing is left; for more, raise train_tokens of the specification`;
    throw new InvalidInputError('CPT_INPUT_JOB_RESUME', message, { iteration, iterations });
  }
  const { place: schedule, rate } = placeAt(spec, iteration);
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
        // What is left of the warm-up; the launch script's own schedule is overruled by the one that goes on.
        warmup_tokens: Math.max(0, schedule.warmupIterations - schedule.start) * tokensPerIteration,
        // With `continue` Megatron counts the checkpoint's iterations too.
        train_tokens: order === 'anew' ? steps * tokensPerIteration : hyper.train_tokens,
      },
      resume: { checkpoint: directory, iteration, ...(order === 'anew' ? { order } : {}), schedule },
      tags: { ...spec.tags, ...lineage },
    },
    checkpoint: { iteration, directory },
    order,
    remainingIterations: steps,
    remainingTokens: steps * tokensPerIteration,
    schedule,
    parts: partsOf('weights-only', { iteration }).map((fate) =>
      told(fate, { schedule, rate, order, data, samples: iteration * hyper.global_batch_size }),
    ),
    notes,
  };
}

function told(
  fate: PartFate,
  {
    schedule,
    rate,
    order,
    data,
    samples,
  }: {
    schedule: SchedulePlace;
    rate: number;
    order: 'continue' | 'anew';
    data: CptRunSpec['data'] | undefined;
    samples: number;
  },
): PartFate {
  if (fate.part === 'schedule') {
    const { start, iterations } = schedule;
    const why = `the learning rate goes on at ${Number(rate.toPrecision(4))}, iteration ${start} of ${iterations} of its schedule`;
    return { part: 'schedule', isKept: true, why };
  }
  if (fate.part !== 'data' || order === 'continue') return fate;
  if (data !== undefined)
    return { part: 'data', isKept: false, why: `the samples are those of ${data.train}, from the first one` };
  const why = `the samples come again from the first one: with the same dataset and seed the first ${samples} are those that were trained on; give data.train another dataset to avoid it`;
  return { part: 'data', isKept: false, why };
}
