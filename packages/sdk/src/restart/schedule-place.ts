import type { LearningRateSchedule } from '../monitor/detector-state.ts';
import { scheduledRate } from '../monitor/rules/schedule.ts';
import { runSteps } from '../plan/plan-input.ts';
import type { CptRunSpec } from '../run-spec.ts';

/** A learning rate schedule and how far it has come, all in iterations. */
export interface SchedulePlace {
  /** Iterations of the schedule that are done. */
  readonly start: number;
  /** Length of the whole schedule. */
  readonly iterations: number;
  readonly warmupIterations: number;
}

/**
 * Arguments that make Megatron's scheduler go on at a place. Its own place is saved with the optimizer and not without it, so
 * it counts from 0 whatever the checkpoint's iteration is. What is left is then a schedule of its own: a warm-up that ended p
 * iterations ago has the length −p, which skips the warm-up and moves the cosine by p; one that has not ended begins at the
 * rate it has reached. Both give the original's rates, not an approximation (NVIDIA/Megatron-LM@8399280e,
 * megatron/core/optimizer_param_scheduler.py, get_lr; held against that class by conformance/check_schedule.py).
 */
export function scheduleArguments({ start, iterations, warmupIterations }: SchedulePlace, peak: number): string[] {
  const warmup = warmupIterations - start;
  return [
    `--lr-decay-iters=${Math.max(1, iterations - start)}`, // Megatron refuses 0; past the end the rate is the floor
    `--lr-warmup-iters=${warmup}`,
    ...(start > 0 && warmup > 0 ? [`--lr-warmup-init=${(peak * start) / warmupIterations}`] : []),
  ];
}

/** The schedule of a run in the iterations that it prints: those of a run that goes on count the checkpoint's. */
export function scheduleOf({ hyperParameters: hyper, resume }: CptRunSpec): LearningRateSchedule {
  const { learning_rate: peak, min_learning_rate: min } = hyper;
  const { iterations, warmupIterations } = runSteps(hyper);
  const first = resume === undefined || resume.order === 'anew' ? 0 : resume.iteration;
  const place = resume?.schedule ?? { start: 0, iterations, warmupIterations };
  const startIteration = first - place.start;
  return {
    ...{ peak, min, warmupIterations: place.warmupIterations, decayIterations: place.iterations },
    ...(startIteration === 0 ? {} : { startIteration }),
  };
}

/** The place of a run's schedule at one of its iterations, and the rate there. */
export function placeAt(spec: CptRunSpec, iteration: number): { place: SchedulePlace; rate: number } {
  const schedule = scheduleOf(spec);
  const { decayIterations, warmupIterations, startIteration = 0 } = schedule;
  const place = { start: iteration - startIteration, iterations: decayIterations, warmupIterations };
  return { place, rate: scheduledRate(iteration, schedule) };
}
