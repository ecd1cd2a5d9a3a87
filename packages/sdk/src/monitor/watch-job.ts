import { CptError } from '@pai-cpt/core';
import { MODELS } from '../models.ts';
import type { PaiTransport } from '../pai-transport.ts';
import { type Clock, systemClock } from '../poll.ts';
import { checkpointToLoad } from '../restart/resume-view.ts';
import { scheduleOf } from '../restart/schedule-place.ts';
import type { CptRunSpec } from '../run-spec.ts';
import type { DetectorConfig, Signal } from './detector-state.ts';
import type { JobFailure } from './failure/attribute.ts';
import { explainJob } from './failure/explain-job.ts';
import { type FollowOptions, followWithTicks, type JobEvent, type Tick } from './follow-job.ts';
import { advance, createMonitor, type IncidentEvent, type MonitorState } from './incidents.ts';
import { type MetricsEvent, readPodUse } from './job-metrics.ts';
import { RULES, type RuleId } from './rules.ts';

/** How to watch a job. */
export interface WatchOptions extends FollowOptions {
  /** What the rules are to know of the run: see `detectorConfigOf`. */
  detector?: DetectorConfig | undefined;
  /** Rules on whose first signal, of whatever level, the job is stopped. */
  stopOn?: readonly RuleId[] | undefined;
  /** How often to read what the pods use, in milliseconds; by default never. */
  metricsEveryMs?: number | undefined;
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

/** Why the job failed; it comes just before the end. */
export interface FailureEvent {
  readonly type: 'failure';
  readonly failure: JobFailure;
}

/** An event of the job, what its pods use, a change of an incident, a stop, or why it failed. */
export type WatchEvent = JobEvent | MetricsEvent | IncidentEvent | StopEvent | FailureEvent;

/**
 * Follows a job as `followJob` does and applies the detector's rules to what it tells; an incident comes after the event
 * that caused it. With `stopOn`, `stop` is called once; while PAI cannot be reached it is tried again at every look.
 * @throws What `followJob` throws, and what `stop` throws when it is refused.
 */
export async function* watchJob(
  pai: PaiTransport,
  jobId: string,
  stop: () => Promise<unknown>,
  { detector, stopOn = [], state = createMonitor(detector), onState, metricsEveryMs, ...options }: WatchOptions = {},
): AsyncGenerator<WatchEvent, void, undefined> {
  const clock = options.clock ?? systemClock;
  const look = { pai, jobId, everyMs: metricsEveryMs, clock, signal: options.signal };
  let monitor = state;
  let reason: Signal | undefined;
  let isStopped = false;
  for await (const event of withMetrics(followWithTicks(pai, jobId, { ...options, clock }), look)) {
    if (event.type === 'end' && event.phase === 'failed') yield* explainEnd(pai, jobId, options.signal);
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

/** Events with what the pods use, after a tick and not before the time is up. Without the right to read it, it is told once. */
async function* withMetrics(
  events: AsyncGenerator<JobEvent | Tick, void, undefined>,
  look: {
    pai: PaiTransport;
    jobId: string;
    everyMs: number | undefined;
    clock: Clock;
    signal: AbortSignal | undefined;
  },
): AsyncGenerator<JobEvent | Tick | MetricsEvent, void, undefined> {
  const { pai, jobId, everyMs = Number.POSITIVE_INFINITY, clock, signal } = look;
  let nextAt = Number.isFinite(everyMs) ? clock.now() : everyMs;
  for await (const event of events) {
    yield event;
    if (event.type !== 'tick' || event.atMs < nextAt) continue;
    nextAt = event.atMs + everyMs;
    try {
      const use = await readPodUse(pai, jobId, event.atMs, signal);
      if (use.pods.some((pod) => Object.keys(pod).length > 1)) yield use;
    } catch (error) {
      if (!CptError.isInstance(error)) throw error; // the abort's reason
      if (error.isRetryable) continue;
      nextAt = Number.POSITIVE_INFINITY;
      yield { type: 'warning', code: 'metrics-unavailable', message: `no metrics: ${error.message}` };
    }
  }
}

/** Nothing when PAI cannot be asked; the end is told all the same. */
async function* explainEnd(
  pai: PaiTransport,
  jobId: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<FailureEvent, void, undefined> {
  try {
    yield { type: 'failure', failure: await explainJob(pai, jobId, { signal }) };
  } catch (error) {
    if (!CptError.isInstance(error)) throw error;
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
  const { vocabSize } = MODELS[spec.model];
  const baseCheckpoint = checkpointToLoad(spec);
  return {
    ...(vocabSize === undefined ? {} : { vocabSize }),
    ...(baseCheckpoint === undefined ? {} : { baseCheckpoint, isContinued: true }),
    learningRate: scheduleOf(spec),
  };
}
