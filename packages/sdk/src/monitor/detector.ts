import {
  type DetectorConfig,
  type DetectorEvent,
  type DetectorState,
  type Draft,
  freshSegment,
  type LastLine,
  type Signal,
} from './detector-state.ts';
import { checkFirstLoss, checkNumbers, checkUniform } from './rules/absolute.ts';
import { checkHang, checkPace } from './rules/pace.ts';
import { checkLossScale, checkSkipped, checkStaleNorm } from './rules/precision.ts';
import { checkCounters, checkLearningRate, checkRateAfterRestart } from './rules/schedule.ts';
import { checkGradSpike, checkLossSpike } from './rules/spikes.ts';
import { checkDrift, checkPlateau } from './rules/trend.ts';
import { checkGpuUse } from './rules/usage.ts';
import type { CheckpointLoadedLine, IterationLine } from './training-log.ts';

/**
 * Every check of an iteration line, in order. One reads what those before it have noted: a stale norm is no spike, and a
 * spike of the loss makes one of the gradient a warning.
 */
const CHECKS: readonly ((draft: Draft, line: IterationLine) => Signal[])[] = [
  checkNumbers,
  checkUniform,
  checkFirstLoss,
  checkSkipped,
  checkStaleNorm,
  checkLossScale,
  checkLossSpike,
  checkGradSpike,
  checkDrift,
  checkPlateau,
  checkLearningRate,
  checkCounters,
  checkPace,
];

/** A detector that has seen nothing. */
export function createDetector(config: DetectorConfig = {}): DetectorState {
  return { config, ...freshSegment, skippedInAll: 0, peakLearningRate: 0, idleLooks: {} };
}

/**
 * The detector after an event, and what its rules say of it. Pure: the same state and event give the same answer, whether
 * the log is read as it grows or years later. `atMs` is the reader's clock; without it only the hang rule is silent.
 */
export function observe(
  state: DetectorState,
  event: DetectorEvent,
  atMs?: number,
): { state: DetectorState; signals: Signal[] } {
  switch (event.type) {
    case 'iteration':
      return observeIteration(state, event, atMs);
    case 'validation':
    case 'checkpoint-saved':
      return { state: state.seenAtMs === undefined ? state : { ...state, seenAtMs: atMs }, signals: [] };
    case 'checkpoint-loaded':
      return { state: { ...state, hasLoaded: true, seenAtMs: undefined }, signals: loadedAgain(state, event) };
    case 'tick':
      return { state, signals: checkHang(state, event.atMs) };
    case 'phase-change': // the job may be starting again, which takes its time
      return { state: { ...state, seenAtMs: undefined }, signals: [] };
    case 'metrics':
      return checkGpuUse(state, event);
    case 'start-from-random':
      return { state, signals: startedFromRandom(state) };
    case 'warning':
      return { state, signals: event.code === 'start-from-random' ? startedFromRandom(state) : [] };
    case 'end':
      return { state, signals: [] };
  }
}

function observeIteration(state: DetectorState, line: IterationLine, atMs: number | undefined) {
  const { last } = state;
  const kept = lastLine(line);
  if (last && isSameLine(last, kept)) return { state, signals: [] };
  const isRestart = last !== undefined && line.iteration <= last.iteration;
  const draft: Draft = isRestart ? { ...state, ...freshSegment, last: undefined } : { ...state };
  const signals = isRestart ? restarted(state, last, line) : [];
  if (last === undefined || isRestart) draft.firstIteration = line.iteration;
  else draft.interval = line.iteration - last.iteration;
  for (const check of CHECKS) {
    const found = check(draft, line);
    if (found.length > 0) signals.push(...found);
  }
  draft.last = kept;
  draft.seenAtMs = atMs;
  return { state: draft as DetectorState, signals };
}

const KEPT = ['lmLoss', 'gradNorm', 'lossScale', 'learningRate', 'consumedSamples', 'globalBatchSize'] as const;

function lastLine(line: IterationLine): LastLine {
  const { iteration, trainIterations, lmLoss, gradNorm, lossScale, learningRate, consumedSamples } = line;
  const kept: { -readonly [Name in keyof LastLine]: LastLine[Name] } = { iteration, trainIterations };
  if (Number.isFinite(lmLoss)) kept.lmLoss = lmLoss as number;
  if (Number.isFinite(gradNorm)) kept.gradNorm = gradNorm as number;
  if (Number.isFinite(lossScale)) kept.lossScale = lossScale as number;
  if (Number.isFinite(learningRate)) kept.learningRate = learningRate as number;
  if (Number.isFinite(consumedSamples)) kept.consumedSamples = consumedSamples as number;
  if (Number.isFinite(line.globalBatchSize)) kept.globalBatchSize = line.globalBatchSize as number;
  return kept;
}

/** The same line from another rank. Another loss under the same number is a restart. */
function isSameLine(last: LastLine, line: LastLine): boolean {
  return last.iteration === line.iteration && KEPT.every((name) => last[name] === line[name]);
}

/** E2; and A5 when the first line there can be comes again, which says that nothing of the run was kept. */
function restarted(state: DetectorState, last: LastLine, line: IterationLine): Signal[] {
  const { iteration } = line;
  const message = `iteration ${iteration} after ${last.iteration}: training started again from an earlier point`;
  const numbers = { iteration, value: iteration, threshold: last.iteration };
  const signals: Signal[] = [{ rule: 'E2', level: 'info', ...numbers, message }];
  if (iteration < last.iteration && iteration <= (state.interval ?? 1)) {
    const lost = `iteration ${iteration} after ${last.iteration}: nothing of the ${last.iteration} iterations before was kept`;
    signals.push({ rule: 'A5', level: 'critical', ...numbers, message: lost });
  }
  return [...signals, ...restartedRate(state, last, line)];
}

/** A5, as soon as the log says which weights were read: the launch scripts name the base in `--load`, at a restart too. */
function loadedAgain(
  { config, hasLoaded, last }: DetectorState,
  { iteration, directory }: CheckpointLoadedLine,
): Signal[] {
  const isBase = iteration === 0 || withoutSlash(directory) === withoutSlash(config.baseCheckpoint ?? '');
  if (!hasLoaded || !isBase || !last) return [];
  const message = `${directory} was loaded again at iteration ${iteration}; the ${last.iteration} iterations so far are lost`;
  return [{ rule: 'A5', level: 'critical', iteration: last.iteration, message }];
}

const withoutSlash = (path: string): string => path.replace(/\/$/, '');

/** With a schedule the rate is checked on every line anyway. */
function restartedRate({ config }: DetectorState, last: LastLine, line: IterationLine): Signal[] {
  return config.learningRate ? [] : checkRateAfterRestart(last, line);
}

function startedFromRandom({ config, last }: DetectorState): Signal[] {
  if (config.baseCheckpoint === undefined) return [];
  const message = `no checkpoint was loaded, though the run is to start from ${config.baseCheckpoint}`;
  return [{ rule: 'A4', level: 'critical', iteration: last?.iteration ?? 0, message }];
}
