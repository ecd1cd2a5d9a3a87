import { CptError } from '@pai-cpt/core';
import { MODELS } from '../models.ts';
import type { PaiTransport } from '../pai-transport.ts';
import { runSteps } from '../plan/plan-input.ts';
import { systemClock } from '../poll.ts';
import type { CptRunSpec } from '../run-spec.ts';
import type { DetectorConfig, Signal } from './detector-state.ts';
import { type FollowOptions, followWithTicks, type JobEvent } from './follow-job.ts';
import { advance, createMonitor, type IncidentEvent, type MonitorState } from './incidents.ts';
import { RULES, type RuleId } from './rules.ts';

/** How to watch a job. */
export interface WatchOptions extends FollowOptions {
  /** What the rules are to know of the run: see `detectorConfigOf`. */
  detector?: DetectorConfig | undefined;
  /** Rules on whose first signal, of whatever level, the job is stopped. */
  stopOn?: readonly RuleId[] | undefined;
  /** Where an earlier watcher of the same job stood, instead of `detector`. */
  state?: MonitorState | undefined;
  /** Given the state after every event, to be kept. */
  onState?: ((state: MonitorState) => void) | undefined;
}

/** The job was told to stop because of a rule. */
export interface StopEvent {
  readonly type: 'stop-requested';
  readonly rule: RuleId;
  readonly iteration: number;
  readonly message: string;
}

/** An event of the job, a change of an incident, or a stop. */
export type WatchEvent = JobEvent | IncidentEvent | StopEvent;

/**
 * Follows a job as `followJob` does and applies the detector's rules to what it tells; an incident comes after the event
 * that caused it. With `stopOn`, `stop` is called once; while PAI cannot be reached it is tried again at every look.
 * @throws What `followJob` throws, and what `stop` throws when it is refused.
 */
export async function* watchJob(
  pai: PaiTransport,
  jobId: string,
  stop: () => Promise<unknown>,
  { detector, stopOn = [], state = createMonitor(detector), onState, ...options }: WatchOptions = {},
): AsyncGenerator<WatchEvent, void, undefined> {
  const clock = options.clock ?? systemClock;
  let monitor = state;
  let reason: Signal | undefined;
  let isStopped = false;
  for await (const event of followWithTicks(pai, jobId, { ...options, clock })) {
    if (event.type !== 'tick') yield event;
    const step = advance(monitor, event, clock.now());
    monitor = step.state;
    onState?.(monitor);
    yield* step.changes;
    reason ??= step.signals.find(({ rule }) => stopOn.includes(rule));
    if (!reason || isStopped || event.type === 'end') continue;
    isStopped = await tryStop(stop);
    const { rule, iteration, message } = reason;
    if (isStopped) yield { type: 'stop-requested', rule, iteration, message: `${RULES[rule].title}: ${message}` };
  }
}

/** False when PAI could not be asked now. */
async function tryStop(stop: () => Promise<unknown>): Promise<boolean> {
  try {
    await stop();
    return true;
  } catch (error) {
    if (CptError.isInstance(error) && error.isRetryable) return false;
    throw error;
  }
}

/** What a run's specification tells the detector. */
export function detectorConfigOf(spec: CptRunSpec): DetectorConfig {
  const { learning_rate: peak, min_learning_rate: min } = spec.hyperParameters;
  const { iterations, warmupIterations } = runSteps(spec.hyperParameters);
  const { vocabSize } = MODELS[spec.model];
  return {
    ...(vocabSize === undefined ? {} : { vocabSize }),
    ...(spec.baseCheckpoint === undefined ? {} : { baseCheckpoint: spec.baseCheckpoint, isContinued: true }),
    learningRate: { peak, min, warmupIterations, decayIterations: iterations },
  };
}
