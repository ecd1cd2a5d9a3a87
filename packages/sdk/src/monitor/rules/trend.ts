import type { Draft, Signal } from '../detector-state.ts';
import type { IterationLine } from '../training-log.ts';
import { addValue, medianOf } from '../window.ts';

const LEVEL_LINES = 16;
const DRIFT = 1.1;
const LEAST_PLATEAU = 200;

/** C2: the median of 16 losses is 10 % above the lowest there was, 16 lines long. */
export function checkDrift(draft: Draft, { iteration, lmLoss }: IterationLine): Signal[] {
  if (lmLoss === undefined || !Number.isFinite(lmLoss)) return [];
  draft.recentLoss = addValue(draft.recentLoss, lmLoss, LEVEL_LINES);
  if (draft.recentLoss.values.length < LEVEL_LINES) return [];
  const level = medianOf(draft.recentLoss);
  const best = Math.min(level, draft.bestLevel ?? level);
  draft.bestLevel = best;
  const threshold = DRIFT * best;
  draft.driftLines = best > 0 && level > threshold ? draft.driftLines + 1 : 0;
  if (draft.driftLines < LEVEL_LINES) return [];
  const message = `the median of the last ${LEVEL_LINES} losses, ${level.toFixed(4)}, has been more than 10 % above its lowest, ${best.toFixed(4)}, for ${draft.driftLines} lines`;
  return [{ rule: 'C2', level: 'critical', iteration, value: level, threshold, message }];
}

/** C3: the median loss fell by less than 0.1 % over a stretch of the run while the learning rate was high. */
export function checkPlateau(draft: Draft, line: IterationLine): Signal[] {
  const { iteration, trainIterations, learningRate } = line;
  if (learningRate === undefined || !Number.isFinite(learningRate) || draft.loss.values.length < LEVEL_LINES) return [];
  draft.peakLearningRate = Math.max(draft.peakLearningRate, learningRate);
  const level = medianOf(draft.loss);
  const { plateau: start = { iteration, level } } = draft;
  const stretch = Math.max(LEAST_PLATEAU, 0.05 * trainIterations);
  if (iteration - start.iteration < stretch) {
    draft.plateau = start;
    return [];
  }
  draft.plateau = { iteration, level };
  const threshold = 0.999 * start.level;
  if (level <= threshold || learningRate <= 0.1 * draft.peakLearningRate) return [];
  const message = `the median loss was ${start.level.toFixed(4)} at iteration ${start.iteration} and is ${level.toFixed(4)}`;
  return [{ rule: 'C3', level: 'info', iteration, value: level, threshold, message }];
}
