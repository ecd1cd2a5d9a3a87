import { CptError } from '@pai-cpt/core';
import { isTerminalPhase, type JobPhase } from '../job-status.ts';
import type { PaiTransport } from '../pai-transport.ts';
import { type Clock, systemClock } from '../poll.ts';
import type { Job, Pod } from '../schemas.ts';
import { toJob } from '../to-job.ts';
import { type LogCursor, readPodLog } from './pod-log.ts';
import { type IterationLine, parseTrainingLine, type TrainingLine } from './training-log.ts';

/** What happens in a job, told once each and in order. */
export type JobEvent =
  | { readonly type: 'phase-change'; readonly phase: JobPhase; readonly status: string; readonly at: string }
  | IterationLine
  | Extract<TrainingLine, { type: 'validation' | 'checkpoint-saved' | 'checkpoint-loaded' }>
  | { readonly type: 'warning'; readonly code: WarningCode; readonly message: string }
  | { readonly type: 'end'; readonly phase: JobPhase; readonly reason: string };

/**
 * `start-from-random`: no checkpoint was found and training goes on from random weights. `log-gap`: lines may have been
 * skipped. `pai-unreachable`: PAI cannot be read at the moment; following goes on. `metrics-unavailable`: PAI refuses to tell
 * what the pods use; it is not asked again.
 */
export type WarningCode = 'start-from-random' | 'log-gap' | 'pai-unreachable' | 'metrics-unavailable';

/** How to follow a job. */
export interface FollowOptions {
  signal?: AbortSignal | undefined;
  /** Milliseconds between two looks at the job. */
  pollMs?: number | undefined;
  clock?: Clock | undefined;
}

/** A look at a job that runs and can be read; it tells of nothing but the time. */
export interface Tick {
  readonly type: 'tick';
  readonly atMs: number;
}

const DEFAULT_POLL_MS = 5000;

/** PAI may not know a job that it has just created, nor, for moments, one that it knew. */
const UNSEEN_GRACE_MS = 10_000;
const SEEN_GRACE_MS = 60_000;

/** Quiet looks at the log of an ended job before it counts as complete; lines reach the log store late. */
const QUIET_LOOKS = 2;
const MOST_LAST_LOOKS = 12;

/**
 * Follows a job from where it stands to its end. The last event is `end`, after the whole log has been read. It survives
 * outages of PAI, restarts of pods and statuses it does not know; it does not survive a refused signature or permission.
 * @throws PaiError `CPT_PAI_NOT_FOUND` when there is no such job; the signal's reason on abort.
 */
export async function* followJob(
  pai: PaiTransport,
  jobId: string,
  options: FollowOptions = {},
): AsyncGenerator<JobEvent, void, undefined> {
  for await (const event of followWithTicks(pai, jobId, options)) if (event.type !== 'tick') yield event;
}

/** As `followJob`, with a tick after every look, so that silence can be noticed. */
export async function* followWithTicks(
  pai: PaiTransport,
  jobId: string,
  { signal, pollMs = DEFAULT_POLL_MS, clock = systemClock }: FollowOptions = {},
): AsyncGenerator<JobEvent | Tick, void, undefined> {
  const logs = new JobLogs(pai, jobId, clock, signal);
  const phases = new PhaseChanges(clock);
  const outage = new Outage();
  let graceMs = UNSEEN_GRACE_MS;
  let missingSince: number | undefined;
  for (;;) {
    signal?.throwIfAborted();
    let job: Job | undefined;
    try {
      job = toJob(await pai.call('GetJob', { path: { JobId: jobId } }, { signal }));
      outage.isOpen = false;
      graceMs = SEEN_GRACE_MS;
      missingSince = undefined;
    } catch (error) {
      missingSince ??= clock.now();
      const isTolerated = isNotFound(error) && clock.now() - missingSince < graceMs;
      if (!isTolerated) yield* outage.report(error);
    }
    if (job) {
      const changes = phases.newIn(job);
      yield* changes.filter(({ phase }) => !isTerminalPhase(phase));
      if (job.phase !== 'pending') yield* logs.read(job, outage);
      if (isTerminalPhase(job.phase)) {
        yield* drain(logs, job, outage, () => clock.sleep(pollMs, signal));
        yield* changes.filter(({ phase }) => isTerminalPhase(phase));
        yield { type: 'end', phase: job.phase, reason: job.reasonMessage ?? job.reasonCode ?? job.status };
        return;
      }
      if (job.phase === 'running' && !outage.isOpen) yield { type: 'tick', atMs: clock.now() };
    }
    await clock.sleep(pollMs, signal);
  }
}

async function* drain(
  logs: JobLogs,
  job: Job,
  outage: Outage,
  pause: () => Promise<void>,
): AsyncGenerator<JobEvent, void, undefined> {
  for (let looks = 0, quiet = 0; quiet < QUIET_LOOKS && looks < MOST_LAST_LOOKS; looks++) {
    await pause();
    const before = logs.lineCount;
    yield* logs.read(job, outage);
    quiet = logs.lineCount === before ? quiet + 1 : 0;
  }
}

/** The status changes of a job, each told once: from PAI's history where there is one, else from the status itself. */
class PhaseChanges {
  #told = 0;
  #last: string | undefined;
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  newIn(job: Job): Extract<JobEvent, { type: 'phase-change' }>[] {
    const now = new Date(this.#clock.now()).toISOString();
    const unseen = [...job.statusHistory.slice(this.#told), { status: job.status, phase: job.phase, at: undefined }];
    this.#told = Math.max(this.#told, job.statusHistory.length);
    return unseen.flatMap(({ status, phase, at }) => {
      if (status === this.#last) return [];
      this.#last = status;
      return [{ type: 'phase-change' as const, phase, status, at: at ?? now }];
    });
  }
}

/** Tells the first failure of an outage, not each. A failure that no waiting will mend is thrown. */
class Outage {
  isOpen = false;

  *report(error: unknown): Generator<JobEvent, void, undefined> {
    if (!CptError.isInstance(error) || !error.isRetryable) throw error;
    if (this.isOpen) return;
    this.isOpen = true;
    yield { type: 'warning', code: 'pai-unreachable', message: error.message };
  }
}

/**
 * The training events in the logs of a job. Megatron prints iterations and validations on its last rank, so in the last
 * worker; checkpoints and the failure to load one on rank 0, so in the master. Both are read, the worker first.
 */
class JobLogs {
  lineCount = 0;
  readonly #cursors = new Map<string, LogCursor>();
  /** Which pod told an event that two might tell. */
  readonly #toldBy = new Map<string, string>();
  readonly #pai: PaiTransport;
  readonly #jobId: string;
  readonly #clock: Clock;
  readonly #signal: AbortSignal | undefined;

  constructor(pai: PaiTransport, jobId: string, clock: Clock, signal: AbortSignal | undefined) {
    this.#pai = pai;
    this.#jobId = jobId;
    this.#clock = clock;
    this.#signal = signal;
  }

  async *read(job: Job, outage: Outage): AsyncGenerator<JobEvent, void, undefined> {
    for (const pod of logPods(job)) {
      for (const podUid of this.#uidsToRead(pod)) {
        const isRead = yield* this.#readPod({ podId: pod.podId, podUid }, outage);
        if (!isRead) break; // what an old pod still wrote comes before what the next one writes
      }
    }
  }

  /** The incarnations of a pod that may have written since the last look: the one that was read, and those after it. */
  #uidsToRead({ podId, podUid, replacedUids = [] }: Pod): (string | undefined)[] {
    const all: (string | undefined)[] = podUid === undefined ? [podUid] : [...replacedUids, podUid];
    const known = this.#cursors.get(podId)?.podUid;
    if (known === undefined) return all;
    const at = all.indexOf(known);
    return at < 0 && podUid !== undefined ? [known, podUid] : all.slice(Math.max(0, at));
  }

  async *#readPod(
    pod: { podId: string; podUid?: string | undefined },
    outage: Outage,
  ): AsyncGenerator<JobEvent, boolean, undefined> {
    const known = this.#cursors.get(pod.podId);
    const cursor = known && (pod.podUid === undefined || known.podUid === pod.podUid) ? known : undefined;
    const options = { cursor, clock: this.#clock, signal: this.#signal };
    try {
      const page = await readPodLog(this.#pai, this.#jobId, pod, options);
      this.#cursors.set(pod.podId, page.cursor);
      this.lineCount += page.lines.length;
      if (page.mayHaveGap) {
        const message = `${pod.podId}: the log is longer than PAI gives at once; earlier lines are missing here`;
        yield { type: 'warning', code: 'log-gap', message };
      }
      for (const line of page.lines) yield* this.#toEvents(line, pod.podId);
      return true;
    } catch (error) {
      // A pod that has not started, or is gone, has no log: PAI answers 400 or 404.
      const hasNoLog = CptError.isInstance(error) && (error.code === 'CPT_PAI_REJECTED' || isNotFound(error));
      if (!hasNoLog) yield* outage.report(error);
      return hasNoLog;
    }
  }

  *#toEvents(line: string, podId: string): Generator<JobEvent, void, undefined> {
    const parsed = parseTrainingLine(line);
    if (!parsed) return;
    // Loading is told each time: a restart loads again.
    if (parsed.type !== 'checkpoint-saved' && parsed.type !== 'start-from-random') {
      yield parsed;
      return;
    }
    const key = parsed.type === 'checkpoint-saved' ? `${parsed.iteration} ${parsed.directory}` : parsed.type;
    const teller = this.#toldBy.get(key) ?? podId;
    this.#toldBy.set(key, teller);
    if (teller !== podId) return;
    yield parsed.type === 'checkpoint-saved' ? parsed : startFromRandom(podId);
  }
}

function startFromRandom(podId: string): JobEvent {
  const message = `${podId}: no checkpoint was found to load, so training started from random weights; stop the job unless that is meant`;
  return { type: 'warning', code: 'start-from-random', message };
}

/** The last worker and the master; one pod when there is one. */
function logPods(job: Job): Pod[] {
  const numbered = job.pods.map((pod) => ({
    pod,
    isMaster: pod.type === 'Master' || pod.podId.includes('-master-'),
    index: Number(/(\d+)$/.exec(pod.podId)?.[1] ?? 0),
  }));
  const workers = numbered.filter(({ isMaster }) => !isMaster).sort((a, b) => b.index - a.index);
  const masters = numbered.filter(({ isMaster }) => isMaster);
  return [...workers.slice(0, 1), ...masters.slice(0, 1)].map(({ pod }) => pod);
}

function isNotFound(error: unknown): boolean {
  return CptError.isInstance(error) && error.code === 'CPT_PAI_NOT_FOUND';
}
