import type { Draft, Signal } from '../detector-state.ts';
import type { IterationLine } from '../training-log.ts';

/** More rows than any known vocabulary, for when it is not given: the bound is then too high, never too low. */
const LARGEST_VOCABULARY = 262_144;

/** First loss of trained weights on text of their language, when no reference was measured. */
const HIGHEST_FIRST_LOSS = 6;

/**
 * A1. Megatron leaves `lm loss` out of the line when its mean is not above 0 (since March 2026: when it is below), which NaN
 * is not, and its own counter of NaNs stays 0. It does the same when every iteration since the last line was skipped: then there is nothing to print.
 */
export function checkNumbers(draft: Draft, line: IterationLine): Signal[] {
  const { iteration, lmLoss, gradNorm, skippedIterations = 0, nanIterations = 0 } = line;
  const signal = (message: string): Signal[] => [{ rule: 'A1', level: 'critical', iteration, message }];
  if (lmLoss !== undefined && !Number.isFinite(lmLoss)) return signal(`lm loss is ${lmLoss}`);
  if (nanIterations > 0) return signal(`${nanIterations} iterations had a loss that is not a number`);
  const wasAllSkipped = skippedIterations > 0 && skippedIterations >= (draft.interval ?? 1);
  if (lmLoss === undefined && hasLaterField(line) && !wasAllSkipped) {
    return signal('the line has no lm loss, which is how Megatron prints NaN');
  }
  if (gradNorm !== undefined && !Number.isFinite(gradNorm) && skippedIterations === 0) {
    return signal(`grad norm is ${gradNorm}`);
  }
  return [];
}

/** True when the line was not cut before the place of the loss. */
function hasLaterField({ lossScale, gradNorm, skippedIterations, nanIterations }: IterationLine): boolean {
  return [lossScale, gradNorm, skippedIterations, nanIterations].some((value) => value !== undefined);
}

/** A2. Windows cannot see a run that never had a calm stretch; a bound can. */
export function checkUniform({ config }: Draft, { iteration, lmLoss }: IterationLine): Signal[] {
  const threshold = 1.2 * Math.log(config.vocabSize ?? LARGEST_VOCABULARY);
  if (iteration < 2 || lmLoss === undefined || !(lmLoss > threshold)) return [];
  const message = `lm loss ${lmLoss} > ${threshold.toFixed(2)}, 1.2 × the loss of a uniform guess`;
  return [{ rule: 'A2', level: 'critical', iteration, ...finite(lmLoss), threshold, message }];
}

/** A3. A broken conversion, a wrong division or another tokenizer shows at the first loss, when it costs minutes. */
export function checkFirstLoss(draft: Draft, { iteration, lmLoss }: IterationLine): Signal[] {
  if (lmLoss === undefined || draft.isFirstLossSeen) return [];
  draft.isFirstLossSeen = true;
  const { isContinued = false, referenceLoss: reference } = draft.config;
  if (!isContinued) return [];
  const threshold = reference === undefined ? HIGHEST_FIRST_LOSS : Math.max(reference + 0.5, 1.25 * reference);
  if (lmLoss <= threshold) return [];
  const against = reference === undefined ? 'no reference was measured' : `the base model has ${reference}`;
  const message = `first lm loss ${lmLoss} > ${threshold.toFixed(3)} (${against})`;
  return [{ rule: 'A3', level: 'critical', iteration, ...finite(lmLoss), threshold, message }];
}

/** The value as a field, unless JSON cannot say it. */
const finite = (value: number): { value?: number } => (Number.isFinite(value) ? { value } : {});
