import type { Draft, Signal } from '../detector-state.ts';
import type { IterationLine } from '../training-log.ts';
import { addValue, emptyWindow, medianOf } from '../window.ts';

const STEPS = 16;
const SLOWER = 1.3;
const LEAST_HANG_MS = 300_000;
/** AIMaster restarts a job after 1800 s without a log line; this alarm comes first. */
const MOST_HANG_MS = 1_500_000;
const CRITICAL_HANG_MS = 1_700_000;

/** F2: the median of 16 iteration times is 30 % above the best there was. A change of the batch starts anew. */
export function checkPace(draft: Draft, { iteration, elapsedMs, globalBatchSize }: IterationLine): Signal[] {
  if (elapsedMs === undefined || !(elapsedMs > 0) || !Number.isFinite(elapsedMs)) return [];
  const isSameBatch = globalBatchSize === draft.last?.globalBatchSize;
  if (!isSameBatch) draft.bestStepMs = undefined;
  draft.stepMs = addValue(isSameBatch ? draft.stepMs : emptyWindow, elapsedMs, STEPS);
  if (draft.stepMs.values.length < STEPS) return [];
  const median = medianOf(draft.stepMs);
  const best = Math.min(median, draft.bestStepMs ?? median);
  draft.bestStepMs = best;
  const threshold = SLOWER * best;
  if (median <= threshold) return [];
  const message = `an iteration takes ${Math.round(median)} ms (median of ${STEPS}); at best it was ${Math.round(best)} ms`;
  return [{ rule: 'F2', level: 'warn', iteration, value: median, threshold, message }];
}

/** F1: nothing has come for five of the usual times between two lines, and for 300 s. Never before the first iteration. */
export function checkHang({ last, seenAtMs, stepMs, interval = 1 }: Draft, atMs: number): Signal[] {
  if (!last || seenAtMs === undefined) return [];
  const usual = stepMs.values.length > 0 ? medianOf(stepMs) * interval : 0;
  const threshold = Math.min(Math.max(5 * usual, LEAST_HANG_MS), MOST_HANG_MS);
  const value = atMs - seenAtMs;
  if (value <= threshold) return [];
  const level = value > Math.min(2 * threshold, CRITICAL_HANG_MS) ? 'critical' : 'warn';
  const seconds = Math.round(value / 1000);
  const message = `nothing has been logged for ${seconds} s; a line usually takes ${Math.round(usual / 1000)} s`;
  return [{ rule: 'F1', level, iteration: last.iteration, value, threshold, message }];
}
