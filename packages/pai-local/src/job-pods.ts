import { randomUUID } from 'node:crypto';
import { describeError } from '@pai-cpt/core/node';
import type { Host } from './host.ts';
import type { JobRequest, PodSpec } from './job-request.ts';
import { enterStatus, normalEvent, type Reason, warningEvent } from './job-status.ts';
import type { ProcessGroup } from './process-group.ts';
import { beginNextLife, isRestarted, MOST_RESTARTS } from './restarts.ts';
import type { JobRecord, PodRecord } from './state.ts';

/** How a job ends. */
export interface Ending {
  readonly status: 'Succeeded' | 'Failed' | 'Stopped';
  readonly reason: Reason;
}

export interface PlannedPod {
  readonly pod: PodRecord;
  readonly spec: PodSpec;
}

/** The process of a pod, or what stands for it. */
export type PodProcess = Pick<ProcessGroup, 'exited' | 'terminate' | 'kill' | 'pid'>;

/** The pods of a job while they run. */
export interface RunningPods {
  /** Every process so far, those of earlier lives too. */
  readonly processes: PodProcess[];
  /** One for each pod; settled when it is not looked after any more. */
  readonly watches: Promise<unknown>[];
  /** Takes the machine from under a pod, which is told so by SIGTERM and always begins another life. */
  preempt(podId: string): boolean;
  /** SIGKILL to a pod: RestartPolicy decides what follows. */
  kill(podId: string): boolean;
}

export interface PodsToRun {
  readonly host: Host;
  readonly job: JobRecord;
  readonly planned: readonly PlannedPod[];
  readonly graceMs: number;
  /** Aborted when the job is to stop. */
  readonly stop: AbortSignal;
  /** Starts a pod's process; a message says why it cannot be started. */
  readonly start: (rank: number) => Promise<PodProcess>;
  readonly save: () => void;
}

/** The pods in order of rank: the master, else the first worker, has rank 0. */
export function planPods(job: JobRecord, request: JobRequest, now: number): PlannedPod[] {
  const planned: PlannedPod[] = [];
  for (const type of ['Master', 'Worker'] as const) {
    const specs = request.specs.filter((spec) => spec.type === type);
    const ofType = specs.flatMap((spec) => Array.from({ length: spec.podCount }, () => spec));
    for (const [index, spec] of ofType.entries()) {
      const podId = `${job.jobId}-${type.toLowerCase()}-${index}`;
      const events = [normalEvent(now, 'Scheduled', `Successfully assigned ${podId} to this machine`)];
      planned.push({
        pod: { podId, podUid: randomUUID(), type, image: spec.image, status: 'Pending', createdAt: now, events },
        spec,
      });
    }
  }
  return planned;
}

/**
 * Starts all pods, one after the other; then the job is Running. `ended` tells when every pod has ended well, or the first
 * has not and is not started again; it rejects when the job is to stop.
 */
export function runPods({ host, job, planned, graceMs, stop, start, save }: PodsToRun): RunningPods & {
  readonly started: Promise<Ending | undefined>;
  ended(): Promise<Ending>;
} {
  const { clock } = host;
  const processes: PodProcess[] = [];
  const watches: Promise<unknown>[] = [];
  const current = new Map<string, PodProcess>();
  const preempted = new Set<string>();
  let isDecided = false;
  let away = 0;

  async function startOne(rank: number): Promise<Ending | undefined> {
    const { pod } = planned[rank] as PlannedPod;
    const process = await start(rank).catch((error: unknown) => describeError(error));
    if (typeof process === 'string') return failPod(pod, 'FailedMount', process, clock.now());
    processes.push(process);
    if (isDecided || stop.aborted) await process.terminate(0); // whoever ended the others has not seen this one
    stop.throwIfAborted();
    current.set(pod.podId, process);
    pod.status = 'Running';
    pod.startedAt = clock.now();
    const what = process.pid === undefined ? '' : ` as process ${process.pid}`;
    pod.events.push(normalEvent(pod.startedAt, 'Started', `Started pod ${pod.podId}${what}`));
    return undefined;
  }
  async function startAll(): Promise<Ending | undefined> {
    for (const rank of planned.keys()) {
      const failure = await startOne(rank);
      if (failure) return failure;
    }
    enterStatus(job, 'Running', clock.now());
    save();
    return undefined;
  }

  /** One life after the other; undefined when the last has ended well. */
  async function watch(rank: number): Promise<Ending | undefined> {
    const { pod, spec } = planned[rank] as PlannedPod;
    for (;;) {
      const exitCode = await (current.get(pod.podId) as PodProcess).exited;
      if (isDecided || stop.aborted) return undefined; // it was ended on purpose: the job's end says so
      const now = clock.now();
      const isPreempted = preempted.delete(pod.podId);
      if (exitCode === 0 && !isPreempted) {
        pod.status = 'Succeeded';
        pod.finishedAt = now;
        pod.events.push(normalEvent(now, 'Completed', `Pod ${pod.podId} exited with code 0`));
        save();
        return undefined;
      }
      const why = `exited with code ${exitCode}`;
      const { restarts = 0 } = job;
      if (isPreempted) enterRestarting(pod, 'PodPreempted', 'was preempted: its machine was taken back');
      else if (!isRestarted(spec.restartPolicy, exitCode)) return failPod(pod, 'PodFailed', why, now);
      else if (restarts >= MOST_RESTARTS)
        return failPod(pod, 'PodFailed', `${why} after ${restarts} restarts of the job`, now);
      else {
        job.restarts = restarts + 1;
        enterRestarting(pod, 'PodFailed', `${why}; restart ${job.restarts} of ${MOST_RESTARTS}`);
      }
      save();
      await clock.sleep(host.paceMs, stop);
      if (isDecided) return undefined;
      const failure = await startOne(rank);
      if (failure || isDecided) return failure;
      if (--away === 0) enterStatus(job, 'Running', clock.now());
      save();
    }
  }
  function enterRestarting(pod: PodRecord, code: string, why: string): void {
    const now = clock.now();
    beginNextLife(pod, now, why);
    if (away++ === 0) enterStatus(job, 'Restarting', now, { code, message: `Pod ${pod.podId} ${why}` });
  }

  return {
    processes,
    watches,
    started: startAll(),
    async ended() {
      const endings = planned.map((_, rank) => watch(rank));
      watches.push(...endings);
      const stopped = new Promise<never>((_, reject) => {
        if (stop.aborted) reject(stop.reason);
        stop.addEventListener('abort', () => reject(stop.reason), { once: true });
      });
      try {
        const bad = Promise.race(
          endings.map((ending) => ending.then((value) => value ?? new Promise<never>(() => {}))),
        );
        return await Promise.race([
          stopped,
          bad,
          Promise.all(endings).then((all) => all.find(Boolean) ?? succeeded(job)),
        ]);
      } finally {
        isDecided = true;
      }
    },
    preempt(podId) {
      const process = current.get(podId);
      if (!process || !isRunning(podId)) return false;
      preempted.add(podId);
      void process.terminate(graceMs);
      return true;
    },
    kill(podId) {
      const process = current.get(podId);
      if (!process || !isRunning(podId)) return false;
      process.kill();
      return true;
    },
  };

  function isRunning(podId: string): boolean {
    return planned.some(({ pod }) => pod.podId === podId && pod.status === 'Running');
  }
}

function succeeded(job: JobRecord): Ending {
  const message = `PyTorchJob ${job.jobId} is successfully completed.`;
  return { status: 'Succeeded', reason: { code: 'JobSucceeded', message } };
}

export function failed(code: string, error: unknown): Ending {
  return { status: 'Failed', reason: { code, message: describeError(error) } };
}

export function failPod(pod: PodRecord, code: string, why: string, now: number): Ending {
  const message = `Pod ${pod.podId}: ${why}`;
  pod.status = 'Failed';
  pod.finishedAt = now;
  pod.events.push(warningEvent(now, code, message));
  return { status: 'Failed', reason: { code, message } };
}
