import type { Draft, Signal } from '../detector-state.ts';
import type { IterationLine } from '../training-log.ts';
import { addValue, medianDeviation, medianOf, type Window, windowOf } from '../window.ts';

/**
 * A value is a spike when it is above `factor` × the median and `deviations` robust standard deviations over it; the
 * deviation counts as `floor` × the median at least, or a very calm stretch would make spikes of noise.
 */
interface SpikeTest {
  readonly factor: number;
  readonly deviations: number;
  readonly floor: number;
}
const LOSS: SpikeTest = { factor: 1.1, deviations: 5, floor: 0.01 };
const GRAD_NORM: SpikeTest = { factor: 2, deviations: 8, floor: 0.05 };

const WINDOW = 64;
const LEAST_VALUES = 16;
/** So many spikes in a row are a new level. */
const NEW_LEVEL = 32;
const AVERAGE_WEIGHT = 2 / 17;
/** Iterations between a spike of the gradient and one of the loss that belong together. */
const TOGETHER = 5;

/** The bound that `value` is above, or `undefined` when it is no spike. */
function spikeThreshold(window: Window, value: number, { factor, deviations, floor }: SpikeTest): number | undefined {
  if (window.values.length < LEAST_VALUES) return undefined;
  const median = medianOf(window);
  if (!(median > 0) || value <= factor * median) return undefined;
  const deviation = Math.max(1.4826 * medianDeviation(window), floor * median);
  const threshold = Math.max(factor * median, median + deviations * deviation);
  return value > threshold ? threshold : undefined;
}

/** B1 and C1: the loss against the median of the last clean values; spikes never become part of what they are compared with. */
export function checkLossSpike(draft: Draft, { iteration, lmLoss }: IterationLine): Signal[] {
  if (lmLoss === undefined || !Number.isFinite(lmLoss)) return [];
  const median = medianOf(draft.loss);
  const threshold = spikeThreshold(draft.loss, lmLoss, LOSS);
  const signals: Signal[] = [];
  followTrend(draft, lmLoss, median);
  signals.push(...checkRecovery(draft, iteration));
  if (threshold === undefined) {
    draft.loss = addValue(draft.loss, lmLoss, WINDOW);
    if (draft.rejectedLosses.length > 0) draft.rejectedLosses = [];
    return signals;
  }
  draft.spike ??= { baseline: median, lines: 0, above: 0 };
  draft.lastLossSpike = iteration;
  draft.rejectedLosses = [...draft.rejectedLosses, lmLoss];
  const message = `lm loss ${lmLoss} > ${threshold.toFixed(4)}; the median of the last ${draft.loss.values.length} is ${median.toFixed(4)}`;
  signals.push({ rule: 'B1', level: 'warn', iteration, value: lmLoss, threshold, message });
  if (draft.rejectedLosses.length >= NEW_LEVEL) {
    const level = windowOf(draft.rejectedLosses);
    const text = `the loss has stayed high for ${NEW_LEVEL} lines; its new level is ${medianOf(level).toFixed(4)}, before the spike it was ${median.toFixed(4)}`;
    signals.push({
      rule: 'C1',
      level: 'critical',
      iteration,
      value: medianOf(level),
      threshold: median,
      message: text,
    });
    draft.loss = level;
    draft.rejectedLosses = [];
  }
  return signals;
}

/** One high spike alone would hold a plain average up for as long as a loss that stays high. */
function followTrend(draft: Draft, loss: number, median: number): void {
  const value = median > 0 ? Math.min(loss, 1.25 * median) : loss;
  const { lossTrend: trend = value } = draft;
  draft.lossTrend = trend + AVERAGE_WEIGHT * (value - trend);
}

/** C1: after a spike, the trend was above the old level in more than 16 of 32 lines. */
function checkRecovery(draft: Draft, iteration: number): Signal[] {
  const { spike, lossTrend: trend } = draft;
  if (!spike || trend === undefined) return [];
  const threshold = 1.05 * spike.baseline;
  const lines = spike.lines + 1;
  const above = spike.above + (trend > threshold ? 1 : 0);
  draft.spike = lines >= NEW_LEVEL ? undefined : { ...spike, lines, above };
  if (above !== 17 || spike.above === 17) return [];
  const message = `${lines} lines after the spike the trend of the loss is ${trend.toFixed(4)}; before it the median was ${spike.baseline.toFixed(4)}`;
  return [{ rule: 'C1', level: 'critical', iteration, value: trend, threshold, message }];
}

/**
 * B2: the gradient norm, which often jumps an iteration before the loss. A norm of 0 was not computed, and one that repeats
 * the last is that of an earlier iteration: neither is compared.
 */
export function checkGradSpike(draft: Draft, { iteration, gradNorm }: IterationLine): Signal[] {
  if (gradNorm === undefined || !Number.isFinite(gradNorm) || gradNorm <= 0 || draft.normRepeats > 0) return [];
  const threshold = spikeThreshold(draft.gradNorm, gradNorm, GRAD_NORM);
  if (threshold === undefined) {
    draft.gradNorm = addValue(draft.gradNorm, gradNorm, WINDOW);
    if (draft.rejectedNorms.length > 0) draft.rejectedNorms = [];
    return [];
  }
  const median = medianOf(draft.gradNorm);
  draft.rejectedNorms = [...draft.rejectedNorms, gradNorm];
  const isSecond = draft.rejectedNorms.length > 1;
  const isWithLoss = draft.lastLossSpike !== undefined && iteration - draft.lastLossSpike <= TOGETHER;
  if (draft.rejectedNorms.length >= NEW_LEVEL) {
    draft.gradNorm = windowOf(draft.rejectedNorms);
    draft.rejectedNorms = [];
  }
  const message = `grad norm ${gradNorm} > ${threshold.toFixed(3)}; its median is ${median.toFixed(3)}`;
  const level = isSecond || isWithLoss ? 'warn' : 'info';
  return [{ rule: 'B2', level, iteration, value: gradNorm, threshold, message }];
}
