import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DetectorConfig, Signal } from '../src/monitor/detector-state.ts';
import { advance, createMonitor, type IncidentEvent, type MonitorState } from '../src/monitor/incidents.ts';
import { type IterationLine, parseTrainingLine, type TrainingLine } from '../src/monitor/training-log.ts';

/** Logs of public runs, kept beside the project and not in it. */
const REAL_LOGS = join(import.meta.dirname, '../../../../shared/data/real-logs');
export const hasRealLogs = existsSync(REAL_LOGS);

/** The text of one of them. */
export const realLog = (file: string): string => readFileSync(join(REAL_LOGS, file), 'utf8');

/** The lines of a log that are understood. */
export const parseLog = (text: string): TrainingLine[] =>
  text.split('\n').flatMap((line) => parseTrainingLine(line) ?? []);

/** A curve kept as `step,lm_loss`; the trailing `nan` rows are padding after the end of the run. */
export function realCurve(file: string): IterationLine[] {
  const rows = realLog(file).trim().split('\n').slice(1);
  return rows
    .map((row) => row.split(',').map(Number) as [number, number])
    .filter(([, lmLoss]) => !Number.isNaN(lmLoss))
    .map(([iteration, lmLoss]) => ({ type: 'iteration', iteration, trainIterations: 100_000, lmLoss }));
}

/** Everything a monitor says of these events. */
export function monitorAll(
  events: readonly TrainingLine[],
  config: DetectorConfig = {},
  state = createMonitor(config),
) {
  const signals: Signal[] = [];
  const changes: IncidentEvent[] = [];
  let monitor: MonitorState = state;
  for (const event of events) {
    const step = advance(monitor, event);
    monitor = step.state;
    signals.push(...step.signals);
    changes.push(...step.changes);
  }
  return { signals, changes, state: monitor, alarms: signals.filter(({ level }) => level !== 'info') };
}

/** Numbers in [0, 1), the same for the same seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Values around `mean`, normally distributed. */
export function noise(random: () => number, mean: number, deviation: number): number {
  const radius = Math.sqrt(-2 * Math.log(1 - random()));
  return mean + deviation * radius * Math.cos(2 * Math.PI * random());
}
