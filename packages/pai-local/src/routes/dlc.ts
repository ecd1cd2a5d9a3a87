import { randomBytes } from 'node:crypto';
import type { Admission } from '../admission.ts';
import { ApiError, invalidParameter } from '../api-error.ts';
import { type Host, logPath, removeTraces } from '../host.ts';
import { MAX_JOB_BYTES, parseJobRequest } from '../job-request.ts';
import type { JobRunner } from '../job-runner.ts';
import { enterStatus, isTerminal, podLogName } from '../job-status.ts';
import { toWireEvent, toWireJob } from '../job-wire.ts';
import { type ApiRequest, type Operation, parseBody } from '../operations.ts';
import { isInWindow, readInteger, readWindow } from '../parameters.ts';
import { readNewestLines } from '../process-log.ts';
import type { DatasetUris } from '../registry.ts';
import { type EventRecord, type JobRecord, nextSequence, type PodRecord, type Store } from '../state.ts';
import { LIST_JOBS_QUERY, listJobs } from './dlc-list.ts';

const VERSION = '2020-12-03';
const JOB = '/api/v1/jobs/{JobId}';
const POD = `${JOB}/pods/{PodId}`;
const EVENTS_QUERY = ['StartTime', 'EndTime', 'MaxEventsNum'];

/** The operations of DLC that are emulated. */
export function dlcOperations(
  host: Host,
  jobs: Store<JobRecord>,
  runner: JobRunner,
  uriOfDataset: DatasetUris,
  admission: Pick<Admission, 'setPriority'>,
  stopOfEnded: 'ignore' | 'refuse' = 'ignore',
): Operation[] {
  const { now } = host.clock;
  const operation = (
    action: string,
    method: string,
    path: string,
    query: readonly string[],
    handle: Operation['handle'],
  ): Operation => ({ action, version: VERSION, method, path, query, handle });

  const findJob = ({ path }: ApiRequest): JobRecord => {
    const job = jobs.get(path.JobId as string);
    if (job) return job;
    throw new ApiError(404, 'JobNotExists', `Job ${path.JobId} does not exist.`);
  };
  return [
    operation('CreateJob', 'POST', '/api/v1/jobs', [], async ({ body }) => {
      const job = createJob(body, nextSequence(jobs.values()), now(), uriOfDataset);
      jobs.put(job.jobId, job);
      await jobs.flush();
      runner.start(job);
      return { JobId: job.jobId };
    }),
    operation('ListJobs', 'GET', '/api/v1/jobs', LIST_JOBS_QUERY, ({ query }) => listJobs(jobs.values(), query, now())),
    operation('GetJob', 'GET', JOB, ['NeedDetail'], (request) => toWireJob(findJob(request), now())),
    operation('StopJob', 'POST', `${JOB}/stop`, [], (request) => {
      const { jobId, status } = findJob(request);
      if (stopOfEnded === 'refuse' && isTerminal(status)) {
        throw new ApiError(400, 'InvalidJobStatus', `Job ${jobId} is ${status} and cannot be stopped.`);
      }
      runner.stop(jobId);
      return { JobId: jobId };
    }),
    operation('UpdateJob', 'PUT', JOB, [], (request) => {
      const job = findJob(request);
      const changes = readChanges(parseBody(request.body), job.request);
      job.request = { ...job.request, ...changes };
      admission.setPriority(job.jobId, parseJobRequest(job.request, uriOfDataset).priority ?? 1);
      jobs.put(job.jobId, job);
      return { JobId: job.jobId };
    }),
    operation('DeleteJob', 'DELETE', JOB, [], async (request) => {
      const { jobId, status } = findJob(request);
      if (!isTerminal(status)) {
        throw new ApiError(400, 'InvalidJobStatus', `Job ${jobId} is ${status}; stop it before you delete it.`);
      }
      jobs.delete(jobId);
      await removeTraces(host, `jobs/${jobId}`);
      return { JobId: jobId };
    }),
    operation('GetPodLogs', 'GET', `${POD}/logs`, ['PodUid', 'StartTime', 'EndTime', 'MaxLines'], async (request) => {
      const job = findJob(request);
      const { pod, podUid } = findPod(job, request);
      if (podUid === pod.podUid && pod.status === 'Pending') {
        throw new ApiError(400, 'PodNotStarted', `Pod ${pod.podId} has not started and has no log yet.`);
      }
      const window = readWindow(request.query, now());
      const maxLines = readInteger(request.query, 'MaxLines', { fallback: 2000, min: 1, max: 100_000 });
      const lines = await readNewestLines(
        logPath(host, `jobs/${job.jobId}`, podLogName(pod, podUid)),
        window,
        maxLines,
      );
      return { JobId: job.jobId, PodId: pod.podId, PodUid: podUid, Logs: lines };
    }),
    operation('GetPodEvents', 'GET', `${POD}/events`, ['PodUid', ...EVENTS_QUERY], (request) => {
      const job = findJob(request);
      const { pod, podUid } = findPod(job, request);
      const events = selectEvents(pod.events, request, now());
      return { JobId: job.jobId, PodId: pod.podId, PodUid: podUid, Events: events };
    }),
    operation('GetJobEvents', 'GET', `${JOB}/events`, EVENTS_QUERY, (request) => {
      const job = findJob(request);
      return { JobId: job.jobId, Events: selectEvents(job.events, request, now()) };
    }),
  ];
}

function createJob(body: Uint8Array, sequence: number, now: number, uriOfDataset: DatasetUris): JobRecord {
  if (body.byteLength > MAX_JOB_BYTES) {
    throw invalidParameter(`The parameters have ${body.byteLength} bytes together; ${MAX_JOB_BYTES} at most.`);
  }
  const request = parseBody(body);
  parseJobRequest(request, uriOfDataset);
  const job: JobRecord = {
    kind: 'job',
    jobId: `dlc${randomBytes(8).toString('hex').slice(0, 13)}`,
    sequence,
    request,
    status: 'Creating',
    reasonCode: '',
    reasonMessage: '',
    createdAt: now,
    history: [],
    pods: [],
    events: [],
  };
  enterStatus(job, 'Creating', now);
  return job;
}

/** What UpdateJob may change. @throws ApiError `InvalidParameter` */
function readChanges(body: Record<string, unknown>, now: JobRecord['request']): Record<string, unknown> {
  const { Priority, Accessibility, Description, ...rest } = body;
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined) throw invalidParameter(`pai-local does not change ${unknown} of a job.`);
  if (Priority !== undefined && !(Number.isInteger(Priority) && Number(Priority) >= 1 && Number(Priority) <= 9)) {
    throw invalidParameter(`Priority is ${JSON.stringify(Priority)}, not 1 to 9.`);
  }
  if (Accessibility !== undefined && Accessibility !== 'PUBLIC' && Accessibility !== (now.Accessibility ?? 'PRIVATE')) {
    throw invalidParameter(`Accessibility is ${JSON.stringify(Accessibility)}; it can only become PUBLIC.`);
  }
  if (Description !== undefined && typeof Description !== 'string') throw invalidParameter('Description is no text.');
  return body;
}

/** A pod by its id, and which of its lives is meant: that of PodUid, else the present one. */
function findPod(job: JobRecord, { path, query }: ApiRequest): { pod: PodRecord; podUid: string } {
  const uid = query.get('PodUid');
  const pod = job.pods.find(({ podId }) => podId === path.PodId);
  const life = pod && [pod, ...(pod.earlier ?? [])].find(({ podUid }) => !uid || uid === podUid);
  if (pod && life) return { pod, podUid: life.podUid };
  throw new ApiError(
    404,
    'PodNotExists',
    `Job ${job.jobId} has no pod ${path.PodId}${uid ? ` with PodUid ${uid}` : ''}.`,
  );
}

function selectEvents(events: readonly EventRecord[], { query }: ApiRequest, now: number): string[] {
  const window = readWindow(query, now);
  const max = readInteger(query, 'MaxEventsNum', { fallback: 2000, min: 1, max: 2000 });
  return events
    .filter(({ at }) => isInWindow(at, window))
    .slice(-max)
    .map(toWireEvent);
}
