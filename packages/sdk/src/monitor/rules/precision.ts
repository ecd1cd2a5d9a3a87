import type { CountAt, Draft, Signal } from '../detector-state.ts';
import type { IterationLine } from '../training-log.ts';

const SKIPPED_IN_ROW = 3;
const SKIPPED_OF_100 = 5;
const HALVINGS = 4;
const HALVING_ITERATIONS = 20;
/** An fp16 run may search for its loss scale this long. */
const SEARCH_ITERATIONS = 50;
/** A chance that is not met in a run. */
const NEVER = 1e-7;

/** D1: optimizer steps that were skipped, by the counter. */
export function checkSkipped(draft: Draft, line: IterationLine): Signal[] {
  const { iteration, skippedIterations: skipped = 0 } = line;
  const interval = draft.interval ?? 1;
  if (skipped === 0 && draft.skips.length === 0) {
    draft.skippedInRow = 0;
    draft.isScaleFound = true;
    return [];
  }
  const isSearching = isScaleSearch(draft, line);
  if (isSearching && skipped > 0) {
    draft.skippedInAll += skipped;
    return [];
  }
  draft.isScaleFound = true;
  draft.skippedInAll += skipped;
  draft.skippedInRow = skipped >= interval ? draft.skippedInRow + skipped : 0;
  draft.skips = recent(draft.skips, iteration, 100, skipped);
  const ofLast = total(draft.skips);
  const isMany = skipped > 0 && ofLast > SKIPPED_OF_100;
  if (draft.skippedInRow < SKIPPED_IN_ROW && !isMany) return [];
  const message = `${draft.skippedInRow} optimizer steps in a row were skipped, ${ofLast} of the last 100`;
  return [{ rule: 'D1', level: 'warn', iteration, value: ofLast, threshold: SKIPPED_OF_100, message }];
}

/**
 * D1: a gradient norm repeated to its last digit is the one of an earlier iteration, which was not repeated: steps are
 * skipped though the counter says 0. Short numbers repeat by chance, so they must do it more often.
 */
export function checkStaleNorm(draft: Draft, { iteration, gradNorm }: IterationLine): Signal[] {
  const before = draft.last?.gradNorm;
  if (gradNorm === undefined || gradNorm !== before || gradNorm <= 0) {
    draft.normRepeats = 0;
    return [];
  }
  draft.normRepeats += 1;
  const chance = 10 ** -decimalsOf(gradNorm) / (0.06 * gradNorm);
  if (chance >= 1 || chance ** draft.normRepeats >= NEVER) return [];
  const message = `grad norm ${gradNorm} is that of the line before to the last digit, ${draft.normRepeats} times: it was not computed, so the step was skipped`;
  return [{ rule: 'D1', level: 'warn', iteration, value: gradNorm, message }];
}

/** D2: the loss scale of fp16 is halved again and again, or is at its minimum; it falls some 30 iterations before the loss rises. */
export function checkLossScale(draft: Draft, line: IterationLine): Signal[] {
  const { iteration, lossScale } = line;
  const before = draft.last?.lossScale;
  if (lossScale === undefined || before === undefined || !(lossScale > 0) || !(before > 0)) return [];
  const fell = lossScale < before ? Math.round(Math.log2(before / lossScale)) : 0;
  if (fell === 0 && draft.halvings.length === 0) return [];
  if (isScaleSearch(draft, line)) return [];
  draft.halvings = recent(draft.halvings, iteration, HALVING_ITERATIONS, fell);
  const halvings = total(draft.halvings);
  const isAtMinimum = fell > 0 && lossScale <= 1;
  if (fell === 0 || (halvings < HALVINGS && !isAtMinimum)) return [];
  const message = `loss scale ${lossScale}: halved ${halvings} times in ${HALVING_ITERATIONS} iterations`;
  return [{ rule: 'D2', level: 'warn', iteration, value: halvings, threshold: HALVINGS, message }];
}

/** The search at the start of an fp16 run skips on purpose. */
function isScaleSearch({ isScaleFound, firstIteration }: Draft, { iteration }: IterationLine): boolean {
  return !isScaleFound && iteration <= SEARCH_ITERATIONS && (firstIteration ?? iteration) <= SEARCH_ITERATIONS;
}

function recent(counts: readonly CountAt[], iteration: number, reach: number, count: number): readonly CountAt[] {
  const kept = counts.filter(([at]) => at > iteration - reach);
  return count > 0 ? [...kept, [iteration, count]] : kept;
}

const total = (counts: readonly CountAt[]): number => counts.reduce((sum, [, count]) => sum + count, 0);

/** Decimals of the shortest way to write the value: never more than were printed. */
function decimalsOf(value: number): number {
  const text = String(value);
  const point = text.indexOf('.');
  return point < 0 ? 0 : text.length - point - 1;
}
