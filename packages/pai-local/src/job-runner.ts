import { setMaxListeners } from 'node:events';
import { describeError } from '@pai-cpt/core/node';
import type { Admission } from './admission.ts';
import { findFreePort, type Host, logPath, startContainer } from './host.ts';
import { type Image, openImage } from './images.ts';
import {
  type Ending,
  failed,
  failPod,
  type PlannedPod,
  type PodsToRun,
  planPods,
  type RunningPods,
  runPods,
} from './job-pods.ts';
import type { JobRequest } from './job-request.ts';
import { enterStatus, isTerminal, normalEvent, podLogName, warningEvent } from './job-status.ts';
import { openLogWriter } from './process-log.ts';
import { findScript, type JobScript } from './scenario.ts';
import { type ScriptedTraining, scriptTraining } from './scripted-training.ts';
import type { JobRecord, Store } from './state.ts';

/** Walks jobs through their states, with a process group for every pod. */
export interface JobRunner {
  start(job: JobRecord): void;
  /** Asks a job to stop; it is `Stopping` when this returns. A job that has ended is left as it is. */
  stop(jobId: string): void;
  /** Takes the machine from under a pod, or kills it: see `RunningPods`. False when no such pod runs. */
  strike(how: 'preempt' | 'kill', podId: string): boolean;
  /** Ends all jobs; resolves when none of their processes runs. */
  close(): Promise<void>;
}

interface LiveJob {
  readonly job: JobRecord;
  readonly request: JobRequest;
  readonly script: ScriptedTraining | undefined;
  /** Aborted with the `Ending` that was asked for. */
  readonly stop: AbortController;
  pods?: RunningPods;
  done: Promise<void>;
}

const CLOSE_GRACE_MS = 2000;
const STOPPED_BY_USER: Ending = {
  status: 'Stopped',
  reason: { code: 'JobStoppedByUser', message: 'Job is stopped by user.' },
};

/**
 * A runner over `jobs`, each of which runs as `requestOf` reads it, or as the first of `scripts` that stands for it tells. Jobs that an earlier run left unfinished are stopped:
 * their processes ended with it.
 */
export function createJobRunner(
  host: Host,
  jobs: Store<JobRecord>,
  requestOf: (job: JobRecord) => JobRequest,
  admission: Admission,
  scripts: readonly JobScript[] = [],
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
      const request = requestOf(job);
      const script = findScript(scripts, request.displayName);
      const task: LiveJob = {
        job,
        request,
        script: script && scriptTraining(script, host.clock),
        stop: new AbortController(),
        done: Promise.resolve(),
      };
      live.set(job.jobId, task);
      const save = () => jobs.put(job.jobId, job);
      const askThis = (ending: Ending) => askToStop(task, ending);
      task.done = runJob(host, admission, task, save, askThis, closing.signal).finally(() => live.delete(job.jobId));
    },
    stop(jobId) {
      const task = live.get(jobId);
      if (task) askToStop(task, STOPPED_BY_USER);
    },
    strike(how, podId) {
      return [...live.values()].some(({ pods }) => pods?.[how](podId) === true);
    },
    async close() {
      const tasks = [...live.values()];
      for (const task of tasks) askToStop(task, closedWithPaiLocal(task.job));
      closing.abort();
      await Promise.all(tasks.map((task) => endPods(task, CLOSE_GRACE_MS)));
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
  admission: Admission,
  task: LiveJob,
  save: () => void,
  askToStop: (ending: Ending) => void,
  closing: AbortSignal,
): Promise<void> {
  const { job, stop } = task;
  const runEnded = new AbortController();
  const limit = (ms: number) => void stopAfter(host, ms, runEnded.signal, askToStop);
  const ending = await walkStates(host, admission, task, save, limit).catch((error: unknown) =>
    failed('JobFailed', error),
  );
  runEnded.abort();
  await endPods(task, task.request.graceMs);
  await reserve(host, task, ending, save);
  const isShown = stop.signal.aborted && isUserStop(stop.signal.reason);
  if (isShown) await host.clock.sleep(host.paceMs, closing).catch(() => {});
  admission.leave(job.jobId);
  // A stop that arrived while the last processes ended is honoured: the caller has been told `Stopping`.
  finishJob(job, stop.signal.aborted ? (stop.signal.reason as Ending) : ending, host.clock.now());
  save();
}

/** Keeps the machines of an ended job for as long as it asked, or until it is stopped. */
async function reserve(host: Host, { job, request, stop }: LiveJob, ending: Ending, save: () => void): Promise<void> {
  if (request.reservedMs === undefined || stop.signal.aborted) return;
  enterStatus(job, `${ending.status}Reserving`, host.clock.now(), ending.reason);
  save();
  await host.clock.sleep(request.reservedMs, stop.signal).catch(() => {});
}

async function endPods({ pods }: LiveJob, graceMs: number): Promise<void> {
  await Promise.all(pods?.processes.map((process) => process.terminate(graceMs)) ?? []);
  await Promise.allSettled(pods?.watches ?? []);
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
async function walkStates(
  host: Host,
  admission: Admission,
  task: LiveJob,
  save: () => void,
  limit: (ms: number) => void,
): Promise<Ending> {
  const { job, request } = task;
  const { signal } = task.stop;
  const enter = async (status: string) => {
    enterStatus(job, status, host.clock.now());
    save();
    await host.clock.sleep(host.paceMs, signal);
  };
  await host.clock.sleep(host.paceMs, signal);
  await enter('Queuing');
  if (task.script) await host.clock.sleep(task.script.queueMs, signal);
  await awaitTurn(host, admission, task, save);
  if (request.isSpot) await enter('Bidding');
  const planned = planPods(job, request, host.clock.now());
  job.pods = planned.map(({ pod }) => pod);
  await enter('EnvPreparing');
  if (request.isSanityChecked) await enter('SanityChecking');

  const start = task.script
    ? scriptedStart(host, task, task.script, planned)
    : await containerStart(host, task, planned);
  if (typeof start !== 'function') return start;
  const pods = runPods({ host, job, planned, graceMs: request.graceMs, stop: signal, start, save });
  task.pods = pods;
  const failure = await pods.started;
  if (failure) return failure;
  if (request.maxRunningMs !== undefined) limit(request.maxRunningMs);
  return pods.ended();
}

/** Waits in the queue for what the job needs, and says so while it does. */
async function awaitTurn(
  host: Host,
  admission: Admission,
  { job, request, stop }: LiveJob,
  save: () => void,
): Promise<void> {
  const { demand = {}, priority = 1 } = request;
  let isAdmitted = false;
  const turn = admission.enter(job.jobId, demand, priority, stop.signal).then(() => {
    isAdmitted = true;
  });
  await Promise.resolve();
  if (!isAdmitted) {
    const needs = Object.entries(demand).map(([resource, units]) => `${units} of ${resource}`);
    job.reasonCode = 'ResourceNotEnough';
    job.reasonMessage = `Job ${job.jobId} waits for ${needs.join(', ')}.`;
    job.events.push(warningEvent(host.clock.now(), job.reasonCode, job.reasonMessage));
    save();
  }
  await turn;
}

/** Starts pods as containers; an image that is missing ends the job. */
async function containerStart(
  host: Host,
  task: LiveJob,
  planned: readonly PlannedPod[],
): Promise<PodsToRun['start'] | Ending> {
  const { job, request } = task;
  const images: Image[] = [];
  for (const { pod } of planned) {
    const image = await openImage(host.imagesDirectory, pod.image).catch((error: unknown) => describeError(error));
    if (typeof image === 'string') return failPod(pod, 'ImagePullFailed', image, host.clock.now());
    images.push(image);
  }
  const masterPort = await findFreePort();
  task.stop.signal.throwIfAborted();
  return (rank) => {
    const { pod, spec } = planned[rank] as PlannedPod;
    return startContainer(host, {
      owner: `jobs/${job.jobId}`,
      name: pod.podId,
      traceName: podLogName(pod),
      image: images[rank] as Image,
      command: request.command,
      env: request.env,
      platformEnv: distributedEnv(rank, planned.length, masterPort, spec.gpus),
      mounts: request.mounts,
      makesMounts: true,
    });
  };
}

/** Starts pods as the script tells. */
function scriptedStart(
  host: Host,
  task: LiveJob,
  script: ScriptedTraining,
  planned: readonly PlannedPod[],
): PodsToRun['start'] {
  return async (rank) => {
    const { pod } = planned[rank] as PlannedPod;
    const log = openLogWriter(logPath(host, `jobs/${task.job.jobId}`, podLogName(pod)), host.clock.now);
    const preempt = (): void => void task.pods?.preempt(pod.podId);
    return script.start({ isLast: rank === planned.length - 1, preempt }, log);
  };
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
