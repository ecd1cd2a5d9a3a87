import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { describeError } from '@pai-cpt/core/node';
import { findFreePort, type Host, startContainer } from './host.ts';
import { type Image, openImage } from './images.ts';
import type { JobRequest, PodSpec } from './job-request.ts';
import { enterStatus, isTerminal, normalEvent, type Reason, warningEvent } from './job-status.ts';
import type { ProcessGroup } from './process-group.ts';
import type { JobRecord, PodRecord, Store } from './state.ts';

/** Walks jobs through their states, with a process group for every pod. */
export interface JobRunner {
  start(job: JobRecord): void;
  /** Asks a job to stop; it is `Stopping` when this returns. A job that has ended is left as it is. */
  stop(jobId: string): void;
  /** Ends all jobs; resolves when none of their processes runs. */
  close(): Promise<void>;
}

/** How a job ends. */
interface Ending {
  readonly status: 'Succeeded' | 'Failed' | 'Stopped';
  readonly reason: Reason;
}

interface LiveJob {
  readonly job: JobRecord;
  readonly request: JobRequest;
  /** Aborted with the `Ending` that was asked for. */
  readonly stop: AbortController;
  readonly processes: ProcessGroup[];
  done: Promise<void>;
}

const CLOSE_GRACE_MS = 2000;
const STOPPED_BY_USER: Ending = {
  status: 'Stopped',
  reason: { code: 'JobStoppedByUser', message: 'Job is stopped by user.' },
};

/**
 * A runner over `jobs`, each of which runs as `requestOf` reads it. Jobs that an earlier run left unfinished are stopped:
 * their processes ended with it.
 */
export function createJobRunner(
  host: Host,
  jobs: Store<JobRecord>,
  requestOf: (job: JobRecord) => JobRequest,
): JobRunner {
  const live = new Map<string, LiveJob>();
  const closing = new AbortController();
  setMaxListeners(0, closing.signal); // one for each job that is stopping
  for (const job of jobs.values()) {
    if (isTerminal(job.status)) continue;
    finishJob(job, closedWithPaiLocal(job), host.clock.now());
    jobs.put(job.jobId, job);
  }
  function askToStop(task: LiveJob, ending: Ending): void {
    if (task.stop.signal.aborted || isTerminal(task.job.status)) return;
    enterStatus(task.job, 'Stopping', host.clock.now(), ending.reason);
    jobs.put(task.job.jobId, task.job);
    task.stop.abort(ending);
  }
  return {
    start(job) {
      const task: LiveJob = {
        job,
        request: requestOf(job),
        stop: new AbortController(),
        processes: [],
        done: Promise.resolve(),
      };
      live.set(job.jobId, task);
      const save = () => jobs.put(job.jobId, job);
      const askThis = (ending: Ending) => askToStop(task, ending);
      task.done = runJob(host, task, save, askThis, closing.signal).finally(() => live.delete(job.jobId));
    },
    stop(jobId) {
      const task = live.get(jobId);
      if (task) askToStop(task, STOPPED_BY_USER);
    },
    async close() {
      const tasks = [...live.values()];
      for (const task of tasks) askToStop(task, closedWithPaiLocal(task.job));
      closing.abort();
      await Promise.all(tasks.flatMap((task) => task.processes.map((process) => process.terminate(CLOSE_GRACE_MS))));
      await Promise.all(tasks.map((task) => task.done));
    },
  };
}

function closedWithPaiLocal(job: JobRecord): Ending {
  const message = `pai-local ended while the job was ${job.status}; its processes ended with it.`;
  return { status: 'Stopped', reason: { code: 'PaiLocalClosed', message } };
}

async function runJob(
  host: Host,
  task: LiveJob,
  save: () => void,
  askToStop: (ending: Ending) => void,
  closing: AbortSignal,
): Promise<void> {
  const { job, stop } = task;
  const runEnded = new AbortController();
  const limit = (ms: number) => void stopAfter(host, ms, runEnded.signal, askToStop);
  const ending = await walkStates(host, task, save, limit).catch((error: unknown) => failed('JobFailed', error));
  runEnded.abort();
  const isShown = stop.signal.aborted && isUserStop(stop.signal.reason);
  const stopping = isShown ? host.clock.sleep(host.paceMs, closing).catch(() => {}) : undefined;
  await Promise.all(task.processes.map((process) => process.terminate(task.request.graceMs)));
  await stopping;
  // A stop that arrived while the last processes ended is honoured: the caller has been told `Stopping`.
  finishJob(job, stop.signal.aborted ? (stop.signal.reason as Ending) : ending, host.clock.now());
  save();
}

/** `Stopping` stays visible for a while, except when everything ends. */
function isUserStop(ending: Ending): boolean {
  return ending.reason.code !== 'PaiLocalClosed';
}

function finishJob(job: JobRecord, ending: Ending, now: number): void {
  for (const pod of job.pods) {
    if (pod.status !== 'Pending' && pod.status !== 'Running') continue;
    pod.status = 'Stopped';
    pod.finishedAt = now;
    pod.events.push(normalEvent(now, 'Killing', `Stopping pod ${pod.podId}`));
  }
  enterStatus(job, ending.status, now, ending.reason);
}

/** From `Creating` to the end of the pods. Rejects when the job is asked to stop. */
async function walkStates(host: Host, task: LiveJob, save: () => void, limit: (ms: number) => void): Promise<Ending> {
  const { job, request } = task;
  const { signal } = task.stop;
  const enter = async (status: string) => {
    enterStatus(job, status, host.clock.now());
    save();
    await host.clock.sleep(host.paceMs, signal);
  };
  await host.clock.sleep(host.paceMs, signal);
  await enter('Queuing');
  const planned = planPods(job, request, host.clock.now());
  job.pods = planned.map(({ pod }) => pod);
  await enter('EnvPreparing');

  const images: Image[] = [];
  for (const { pod } of planned) {
    const image = await openImage(host.imagesDirectory, pod.image).catch((error: unknown) => describeError(error));
    if (typeof image === 'string') return failPod(pod, 'ImagePullFailed', image, host.clock.now());
    images.push(image);
  }
  const masterPort = await findFreePort();
  signal.throwIfAborted();
  for (const [rank, { pod, spec }] of planned.entries()) {
    const process = await startContainer(host, {
      owner: `jobs/${job.jobId}`,
      name: pod.podId,
      image: images[rank] as Image,
      command: request.command,
      env: request.env,
      platformEnv: distributedEnv(rank, planned.length, masterPort, spec.gpus),
      mounts: request.mounts,
      makesMounts: true,
    }).catch((error: unknown) => describeError(error));
    if (typeof process === 'string') return failPod(pod, 'FailedMount', process, host.clock.now());
    task.processes.push(process);
    signal.throwIfAborted();
    pod.status = 'Running';
    pod.startedAt = host.clock.now();
    pod.events.push(normalEvent(pod.startedAt, 'Started', `Started pod ${pod.podId} as process ${process.pid}`));
  }
  enterStatus(job, 'Running', host.clock.now());
  if (request.maxRunningMs !== undefined) limit(request.maxRunningMs);
  save();
  return awaitPods(host, task, save);
}

/** Ends when every pod has ended well, or with the first that has not. */
function awaitPods(host: Host, task: LiveJob, save: () => void): Promise<Ending> {
  const { job } = task;
  const { signal } = task.stop;
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    let isDecided = false;
    const decide = (ending: Ending) => {
      isDecided = true;
      resolve(ending);
    };
    for (const [rank, pod] of job.pods.entries()) {
      const process = task.processes[rank] as ProcessGroup;
      void process.exited.then((code) => {
        if (isDecided || signal.aborted) return; // it was ended on purpose: `finishJob` says so
        const now = host.clock.now();
        if (code !== 0) return decide(failPod(pod, 'PodFailed', `exited with code ${code}`, now));
        pod.status = 'Succeeded';
        pod.finishedAt = now;
        pod.events.push(normalEvent(now, 'Completed', `Pod ${pod.podId} exited with code 0`));
        save();
        if (job.pods.every((other) => other.status === 'Succeeded')) decide(succeeded(job));
      });
    }
  });
}

function succeeded(job: JobRecord): Ending {
  const message = `PyTorchJob ${job.jobId} is successfully completed.`;
  return { status: 'Succeeded', reason: { code: 'JobSucceeded', message } };
}

function failed(code: string, error: unknown): Ending {
  return { status: 'Failed', reason: { code, message: describeError(error) } };
}

function failPod(pod: PodRecord, code: string, why: string, now: number): Ending {
  const message = `Pod ${pod.podId}: ${why}`;
  pod.status = 'Failed';
  pod.finishedAt = now;
  pod.events.push(warningEvent(now, code, message));
  return { status: 'Failed', reason: { code, message } };
}

async function stopAfter(
  host: Host,
  ms: number,
  runEnded: AbortSignal,
  askToStop: (ending: Ending) => void,
): Promise<void> {
  const isOver = await host.clock.sleep(ms, runEnded).then(
    () => true,
    () => false,
  );
  const message = `The job has run for ${ms / 60_000} minutes, its JobMaxRunningTimeMinutes.`;
  if (isOver) askToStop({ status: 'Stopped', reason: { code: 'JobMaxRunningTimeExceeded', message } });
}

/** The pods in order of rank: the master, else the first worker, has rank 0. */
function planPods(job: JobRecord, request: JobRequest, now: number): { pod: PodRecord; spec: PodSpec }[] {
  const planned: { pod: PodRecord; spec: PodSpec }[] = [];
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

/** In a DLC PyTorchJob these two count nodes, not processes; torchrun sets them anew for its children. */
function distributedEnv(rank: number, pods: number, masterPort: number, gpus: number): Record<string, string> {
  return {
    MASTER_ADDR: '127.0.0.1',
    MASTER_PORT: String(masterPort),
    WORLD_SIZE: String(pods),
    RANK: String(rank),
    NPROC_PER_NODE: String(Math.max(1, gpus)),
  };
}
