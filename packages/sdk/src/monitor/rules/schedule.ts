import type { Draft, LastLine, LearningRateSchedule, Signal } from '../detector-state.ts';
import type { IterationLine } from '../training-log.ts';

const TOLERANCE = 0.02;

/** The rate after `iteration` steps: linear warm-up, then a cosine, then the floor, as Megatron computes it. */
export function scheduledRate(iteration: number, schedule: LearningRateSchedule): number {
  const { peak, min, warmupIterations, decayIterations, startIteration = 0 } = schedule;
  const step = iteration - startIteration;
  if (warmupIterations > 0 && step <= warmupIterations) return (peak * Math.max(0, step)) / warmupIterations;
  if (step > decayIterations) return min;
  const share = (step - warmupIterations) / (decayIterations - warmupIterations);
  return min + 0.5 * (peak - min) * (Math.cos(Math.PI * share) + 1);
}

/** E1: the logged learning rate against the schedule; a skipped iteration does not move the scheduler on. */
export function checkLearningRate(draft: Draft, { iteration, learningRate: rate }: IterationLine): Signal[] {
  const { learningRate: schedule } = draft.config;
  if (!schedule || rate === undefined) return [];
  const earliest = iteration - draft.skippedInAll - 1;
  const rates = [iteration, earliest].map((step) => scheduledRate(step, schedule));
  const top = schedule.warmupIterations + (schedule.startIteration ?? 0);
  if (earliest <= top && top <= iteration) rates.push(schedule.peak);
  const low = Math.min(...rates) * (1 - TOLERANCE);
  const high = Math.max(...rates) * (1 + TOLERANCE);
  if (rate >= low && rate <= high) return [];
  const expected = scheduledRate(iteration, schedule);
  const message = `learning rate ${rate} where the schedule has ${expected.toPrecision(4)}`;
  return [{ rule: 'E1', level: 'warn', iteration, value: rate, threshold: rate < low ? low : high, message }];
}

/** E1, without a schedule: a restart goes on with another rate, so the scheduler's state was lost. */
export function checkRateAfterRestart(before: LastLine, line: IterationLine): Signal[] {
  const { learningRate: was } = before;
  const { learningRate: is, iteration } = line;
  if (was === undefined || is === undefined || !(was > 0) || iteration < before.iteration / 2) return [];
  if (is >= was / 2 && is <= was * 2) return [];
  const message = `learning rate ${is} after the restart, ${was} before it: the optimizer's and scheduler's state was not loaded`;
  return [{ rule: 'E1', level: 'warn', iteration, value: is, threshold: was, message }];
}

/** E2, apart from restarts: counters that do not go on as they did. */
export function checkCounters({ last }: Draft, line: IterationLine): Signal[] {
  if (!last) return [];
  const { iteration, trainIterations, consumedSamples: samples, globalBatchSize: batch } = line;
  if (trainIterations !== last.trainIterations) {
    const message = `the run has ${trainIterations} iterations; the line before said ${last.trainIterations}`;
    return [{ rule: 'E2', level: 'info', iteration, value: trainIterations, threshold: last.trainIterations, message }];
  }
  if (samples === undefined || last.consumedSamples === undefined || batch === undefined) return [];
  if (batch !== last.globalBatchSize) return [];
  const expected = last.consumedSamples + (iteration - last.iteration) * batch;
  if (samples === expected) return [];
  const message = `${samples} consumed samples; from ${last.consumedSamples} at iteration ${last.iteration} with a batch of ${batch} they would be ${expected}`;
  return [{ rule: 'E2', level: 'info', iteration, value: samples, threshold: expected, message }];
}
