import { randomBytes } from 'node:crypto';
import { ApiError } from '../api-error.ts';
import { toIsoSeconds } from '../clock.ts';
import { type Host, logPath, removeTraces } from '../host.ts';
import type { JobRunner } from '../job-runner.ts';
import { enterStatus, isTerminal, podLogName } from '../job-status.ts';
import { toWireEvent } from '../job-wire.ts';
import { type ApiRequest, type Operation, parseBody } from '../operations.ts';
import { compareBy, isInWindow, pageOf, type Query, readChoice, readInteger, readWindow } from '../parameters.ts';
import { readLogPage } from '../process-log.ts';
import type { DatasetUris } from '../registry.ts';
import { type JobRecord, nextSequence, type Store } from '../state.ts';
import { latestMetrics, type Metric, readMetrics } from '../training-metrics.ts';
import { parseTrainingRequest, type TrainingRequest } from '../training-request.ts';
import { writeTrainingConfig } from '../training-run.ts';
import { toWireTrainingJob, trainingStatus } from '../training-wire.ts';
import { instanceMetrics } from './job-metrics.ts';
import { LIST_TRAINING_JOBS_QUERY, listTrainingJobs } from './studio-list.ts';
import { outputModels } from './studio-output.ts';

/** PAI Studio's version of its API. */
export const STUDIO_VERSION = '2022-01-12';
const JOBS = '/api/v1/trainingjobs';
const JOB = `${JOBS}/{TrainingJobId}`;
const WINDOW = ['StartTime', 'EndTime'];
const PAGING = ['PageNumber', 'PageSize'];
const LOGS_QUERY = [...WINDOW, ...PAGING, 'InstanceId', 'WorkerId'];

/** The operations of PAI Studio on training jobs. They run as DLC jobs do here: the runner and its records are the same. */
export function studioOperations(
  host: Host,
  region: string,
  jobs: Store<JobRecord>,
  runner: JobRunner,
  uriOfDataset: DatasetUris,
): Operation[] {
  const { now } = host.clock;
  const operation = (
    action: string,
    method: string,
    path: string,
    query: readonly string[],
    handle: Operation['handle'],
  ): Operation => ({ action, version: STUDIO_VERSION, method, path, query, handle });
  const read = (job: JobRecord): TrainingRequest => parseTrainingRequest(job.request, anyDataset(uriOfDataset));
  const find = ({ path }: ApiRequest): JobRecord => {
    const job = jobs.get(path.TrainingJobId as string);
    if (job) return job;
    throw new ApiError(404, 'TRAINING_JOB_NOT_FOUND', `TrainingJob ${path.TrainingJobId} does not exist.`);
  };
  /** The last instance prints the progress of the training. */
  const metricsOf = (job: JobRecord): Promise<Metric[]> => {
    const instance = job.pods.at(-1);
    const path = logPath(host, `jobs/${job.jobId}`, instance?.podId ?? 'none');
    return readMetrics(path, read(job).spec.MetricDefinitions);
  };
  return [
    operation('CreateTrainingJob', 'POST', JOBS, [], async ({ body }) => {
      const request = parseBody(body);
      const parsed = parseTrainingRequest(request, uriOfDataset);
      const job = createJob(request, nextSequence(jobs.values()), now());
      await writeTrainingConfig(host, job.jobId, parsed);
      jobs.put(job.jobId, job);
      await jobs.flush();
      runner.start(job);
      return { TrainingJobId: job.jobId };
    }),
    operation('ListTrainingJobs', 'GET', JOBS, LIST_TRAINING_JOBS_QUERY, ({ query }) =>
      listTrainingJobs(jobs.values(), read, query, now()),
    ),
    operation('GetTrainingJob', 'GET', JOB, [], async (request) => {
      const job = find(request);
      const parsed = read(job);
      const [output] = parsed.outputs;
      return {
        ...toWireTrainingJob(job, parsed, now()),
        AlgorithmSpec: parsed.spec,
        Instances: job.pods.map(({ podId, type, status }) => ({
          Name: podId,
          Role: type.toLowerCase(),
          Status: status,
        })),
        LatestMetrics: latestMetrics(await metricsOf(job)).map(toWireMetric),
        ...(output && { OutputModel: { OutputChannelName: output.name, Uri: output.uri } }),
      };
    }),
    operation('StopTrainingJob', 'PUT', `${JOB}/stop`, [], (request) => {
      runner.stop(find(request).jobId);
      return {};
    }),
    operation('DeleteTrainingJob', 'DELETE', JOB, [], async (request) => {
      const job = find(request);
      if (!isTerminal(job.status)) {
        const message = `TrainingJob ${job.jobId} is ${trainingStatus(job)}; stop it before you delete it.`;
        throw new ApiError(400, 'INVALID_TRAINING_JOB_STATUS', message);
      }
      jobs.delete(job.jobId);
      await removeTraces(host, `jobs/${job.jobId}`);
      return {};
    }),
    operation('ListTrainingJobLogs', 'GET', `${JOB}/logs`, LOGS_QUERY, (request) =>
      listLogs(host, find(request), request.query),
    ),
    operation(
      'ListTrainingJobMetrics',
      'GET',
      `${JOB}/metrics`,
      [...WINDOW, ...PAGING, 'Name', 'Order'],
      async (request) => {
        const job = find(request);
        const { query } = request;
        const window = readWindow(query, now());
        const order = readChoice(query, 'Order', ['ASC', 'DESC'], 'ASC');
        const found = (await metricsOf(job))
          .filter(({ name, at }) => name === (query.get('Name') || name) && isInWindow(at, window))
          .sort(compareBy(({ at }) => at, order === 'ASC' ? 'asc' : 'desc'));
        return { Metrics: pageIn(found, query).map(toWireMetric), TotalCount: found.length };
      },
    ),
    operation(
      'ListTrainingJobInstanceMetrics',
      'GET',
      `${JOB}/instancemetrics`,
      [...WINDOW, 'MetricType', 'TimeStep', 'InstanceId'],
      (request) => instanceMetrics(host, find(request), request),
    ),
    operation('GetTrainingJobLatestMetrics', 'GET', `${JOB}/latestmetrics`, ['Names'], async (request) => {
      const names = request.query.get('Names')?.split(',');
      const latest = latestMetrics(await metricsOf(find(request)));
      return { Metrics: latest.filter(({ name }) => names?.includes(name) ?? true).map(toWireMetric) };
    }),
    operation('GetTrainingJobErrorInfo', 'GET', `${JOB}/errorinfo`, [], (request) => {
      const { status, reasonCode, reasonMessage } = find(request);
      return status === 'Failed' ? { ErrorInfo: { Code: reasonCode, Message: reasonMessage, AdditionalInfo: '' } } : {};
    }),
    operation('ListTrainingJobOutputModels', 'GET', `${JOB}/outputmodels`, [], (request) => {
      const job = find(request);
      return { OutputModels: outputModels(job, read(job), region) };
    }),
    operation('ListTrainingJobEvents', 'GET', `${JOB}/events`, [...WINDOW, ...PAGING], (request) => {
      const window = readWindow(request.query, now());
      const events = find(request).events.filter(({ at }) => isInWindow(at, window));
      return { Events: pageIn(events, request.query).map(toWireEvent), TotalCount: String(events.length) };
    }),
  ];
}

/** A job is shown also when its data set has been deleted since. */
const anyDataset =
  (uriOfDataset: DatasetUris): DatasetUris =>
  (id) =>
    uriOfDataset(id) ?? 'nas://deleted.region/';

function createJob(request: Record<string, unknown>, sequence: number, now: number): JobRecord {
  const job: JobRecord = {
    ...{ kind: 'job', jobId: `train${randomBytes(8).toString('hex').slice(0, 11)}`, sequence, request },
    ...{ status: 'Creating', reasonCode: '', reasonMessage: '', createdAt: now, history: [], pods: [], events: [] },
  };
  enterStatus(job, 'Creating', now);
  return job;
}

async function listLogs(host: Host, job: JobRecord, query: Query): Promise<Record<string, unknown>> {
  const wanted = query.get('InstanceId') || query.get('WorkerId') || job.pods[0]?.podId;
  const instance = job.pods.find(({ podId }) => podId === wanted);
  if (!instance || instance.status === 'Pending') {
    const message = `TrainingJob ${job.jobId} has no instance ${wanted ?? 'yet'} that has started.`;
    throw new ApiError(404, 'TRAINING_JOB_INSTANCE_NOT_FOUND', message);
  }
  const { number, size } = pageNumbers(query);
  const path = logPath(host, `jobs/${job.jobId}`, podLogName(instance));
  // The whole log by default, and not the last seven days.
  const window = query.get('StartTime')
    ? readWindow(query, host.clock.now())
    : { ...readWindow(query, host.clock.now()), from: job.createdAt };
  const { lines, total } = await readLogPage(path, window, { number, size, keyword: '' });
  return { Logs: lines, TotalCount: String(total) };
}

function pageNumbers(query: Query): { number: number; size: number } {
  return {
    number: readInteger(query, 'PageNumber', { fallback: 1, min: 1, max: 1_000_000 }),
    size: readInteger(query, 'PageSize', { fallback: 10, min: 1, max: 1000 }),
  };
}

function pageIn<T>(items: readonly T[], query: Query): T[] {
  const { number, size } = pageNumbers(query);
  return pageOf(items, number, size);
}

const toWireMetric = ({ name, at, value }: Metric) => ({ Name: name, Timestamp: toIsoSeconds(at), Value: value });
