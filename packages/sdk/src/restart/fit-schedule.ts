import type { LearningRateSchedule } from '../monitor/detector-state.ts';
import { scheduledRate } from '../monitor/rules/schedule.ts';

/** A schedule that begins at its first step in place of the rest of another, and how far the two are apart. */
export interface FittedSchedule extends LearningRateSchedule {
  /** Largest distance to the original after the warm-up, as a share of the original's peak. */
  readonly largestGap: number;
  /** Mean rate over the mean of the original's rest: what the weights move in all. */
  readonly meanRatio: number;
  /** Rates at the last iteration: of the original, and of this one. */
  readonly end: { readonly original: number; readonly fitted: number };
}

/**
 * The warm-up and cosine that comes nearest to the rest of `original` after `from` iterations. The launch scripts have four
 * numbers to say it with: peak, floor, warm-up, and a length that is also the number of iterations. The scheduler's place is
 * saved with the optimizer and not without it, so it begins at step 0 whatever the checkpoint's iteration is.
 *
 * When its length is the whole run's (`decayIterations` > `steps`), only its first part is run, which falls more slowly than
 * the rest of a cosine does: peak and floor are then those of the least squares, with no floor below 0, which Megatron
 * refuses. When it is the rest's, start and end are the original's, and between them the gap is what it is.
 */
export function fitSchedule(
  original: LearningRateSchedule,
  {
    from,
    steps,
    decayIterations,
    warmupIterations,
  }: { from: number; steps: number; decayIterations: number; warmupIterations: number },
): FittedSchedule {
  const unit = { peak: 1, min: 0, warmupIterations, decayIterations };
  const at = Array.from({ length: steps - warmupIterations + 1 }, (_, index) => warmupIterations + index);
  const target = at.map((step) => scheduledRate(from + step, original));
  const shape = at.map((step) => scheduledRate(step, unit));
  const isWhole = decayIterations === steps;
  const { floor, height } = isWhole
    ? { floor: target.at(-1) as number, height: (target[0] as number) - (target.at(-1) as number) }
    : leastSquares(shape, target);
  const fitted = { peak: round(floor + height), min: round(floor), warmupIterations, decayIterations };
  const rates = at.map((step) => scheduledRate(step, fitted));
  const gaps = rates.map((rate, index) => Math.abs(rate - (target[index] as number)));
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  return {
    ...fitted,
    largestGap: Math.max(...gaps) / original.peak,
    meanRatio: sum(rates) / sum(target),
    end: { original: target.at(-1) as number, fitted: rates.at(-1) as number },
  };
}

/** `floor + height · shape` nearest to `target`, neither below 0. */
function leastSquares(shape: readonly number[], target: readonly number[]): { floor: number; height: number } {
  const count = shape.length;
  const sum = (value: (index: number) => number): number => shape.reduce((total, _, index) => total + value(index), 0);
  const s = (index: number): number => shape[index] as number;
  const t = (index: number): number => target[index] as number;
  const meanShape = sum(s) / count;
  const meanTarget = sum(t) / count;
  const spread = sum((index) => (s(index) - meanShape) ** 2);
  const height = spread === 0 ? 0 : sum((index) => (s(index) - meanShape) * (t(index) - meanTarget)) / spread;
  const floor = meanTarget - height * meanShape;
  if (floor < 0) return { floor: 0, height: sum((index) => s(index) * t(index)) / sum((index) => s(index) ** 2) };
  return height < 0 ? { floor: meanTarget, height: 0 } : { floor, height };
}

/** Four digits, as a person would write a rate. */
const round = (rate: number): number => Number(rate.toPrecision(4));
