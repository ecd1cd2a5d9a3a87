import { omitUndefined } from './omit-undefined.ts';
import type { PaiInput, PaiTransport } from './pai-transport.ts';
import type { PaiCalls, WireCreateJob, WireJob, WireJobPage, WireListJobs } from './pai-wire.ts';
import type { WireCreateTrainingJob, WireTrainingJob } from './studio-wire.ts';

/**
 * A training job of Studio in the form of DLC's CreateJob, so that submitting, marking and finding it again are the same code
 * for both. Name, workspace, labels and environment stand where DLC has them, the rest under `TrainingJob`.
 */
export interface TrainingJobBody extends WireCreateJob {
  readonly TrainingJob: Omit<WireCreateTrainingJob, 'TrainingJobName' | 'WorkspaceId' | 'Labels' | 'Environments'>;
}

/** True for a job that Studio runs. */
export function isTrainingJobBody(body: WireCreateJob): body is TrainingJobBody {
  return 'TrainingJob' in body;
}

/** True for the id of a training job of Studio: `train…`, where a job of DLC is `dlc…`. */
export function isTrainingJobId(jobId: string): boolean {
  return jobId.startsWith('train');
}

/** Largest page of a log that PAI's documentation shows. */
const LOG_PAGE = 100;
const DEFAULT_LINES = 2000;

/**
 * The same PAI, whose operations on a job also take the id of a training job and answer it in DLC's words: whoever reads,
 * follows or stops a job need not know which kind it is. Statuses keep Studio's spelling.
 */
export function withTrainingJobs(pai: PaiTransport): PaiTransport {
  return adapt(pai, (action, input) => {
    const { JobId } = (input.path ?? {}) as { JobId?: string };
    return JobId !== undefined && isTrainingJobId(JobId) && action in BY_ID;
  });
}

/** The same PAI where every operation on jobs means training jobs, the list and the creation too. */
export function asTrainingJobs(pai: PaiTransport): PaiTransport {
  return adapt(pai, (action) => action in BY_ID || action in WITHOUT_ID);
}

type Options = { signal?: AbortSignal | undefined };
type Translation = (pai: PaiTransport, input: never, options?: Options) => Promise<unknown>;

function adapt(pai: PaiTransport, isMeant: (action: string, input: { path?: unknown }) => boolean): PaiTransport {
  return {
    regionId: pai.regionId,
    call(action, input, options) {
      if (!isMeant(action, input)) return pai.call(action, input, options);
      const translate = { ...BY_ID, ...WITHOUT_ID }[action as keyof typeof BY_ID] as Translation;
      return translate(pai, input as never, options) as Promise<PaiCalls[typeof action]['answer']>;
    },
  };
}

const BY_ID = {
  async GetJob(pai: PaiTransport, { path }: PaiInput<'GetJob'>, options?: Options) {
    return toWireJob(await pai.call('GetTrainingJob', { path: { TrainingJobId: path.JobId } }, options));
  },
  async StopJob(pai: PaiTransport, { path }: PaiInput<'StopJob'>, options?: Options) {
    await pai.call('StopTrainingJob', { path: { TrainingJobId: path.JobId } }, options);
    return { JobId: path.JobId };
  },
  async DeleteJob(pai: PaiTransport, { path }: PaiInput<'DeleteJob'>, options?: Options) {
    await pai.call('DeleteTrainingJob', { path: { TrainingJobId: path.JobId } }, options);
    return { JobId: path.JobId };
  },
  GetPodLogs: readNewestLines,
  GetJobMetrics: readInstanceMetrics,
};

const WITHOUT_ID = {
  async CreateJob(pai: PaiTransport, { body }: PaiInput<'CreateJob'>, options?: Options) {
    const answer = await pai.call('CreateTrainingJob', { body: toCreateTrainingJob(body as TrainingJobBody) }, options);
    return { JobId: answer.TrainingJobId, RequestId: '' };
  },
  async ListJobs(pai: PaiTransport, { query }: PaiInput<'ListJobs'>, options?: Options): Promise<WireJobPage> {
    const answer = await pai.call('ListTrainingJobs', { query: toListTrainingJobs(query) }, options);
    // Absent stays absent: who reads the list tells an answer with something else in it from an empty one.
    const Jobs = answer.TrainingJobs?.map(toWireJob);
    return { Jobs, TotalCount: answer.TotalCount, RequestId: '' };
  },
};

/** The body of CreateTrainingJob. */
export function toCreateTrainingJob(body: TrainingJobBody): WireCreateTrainingJob {
  const { DisplayName, WorkspaceId = '', Envs, Settings, TrainingJob } = body;
  const labels = Object.entries(Settings?.Tags ?? {}).map(([Key, Value]) => ({ Key, Value }));
  return {
    TrainingJobName: DisplayName,
    WorkspaceId,
    ...TrainingJob,
    ...(labels.length === 0 ? {} : { Labels: labels }),
    ...(Envs === undefined ? {} : { Environments: Envs }),
  };
}

function toListTrainingJobs({ DisplayName, Tags, Order, ...rest }: WireListJobs) {
  return omitUndefined({
    ...rest,
    TrainingJobName: DisplayName,
    Labels: Tags,
    Order: Order && (Order === 'asc' ? ('ASC' as const) : ('DESC' as const)),
  });
}

function toWireJob(job: WireTrainingJob): WireJob {
  const transitions = job.StatusTransitions ?? [];
  const enteredAt = (...statuses: string[]) => transitions.find(({ Status }) => statuses.includes(Status))?.StartTime;
  return omitUndefined({
    ...job,
    JobId: job.TrainingJobId,
    DisplayName: job.TrainingJobName,
    Envs: job.Environments,
    Settings: { Tags: Object.fromEntries((job.Labels ?? []).map(({ Key, Value }) => [Key, Value])) },
    GmtRunningTime: enteredAt('Running'),
    GmtFinishTime: enteredAt('Succeed', 'Failed', 'Terminated', 'InitializeFailed', 'CreateFailed'),
    Pods: (job.Instances ?? []).map(({ Name, Role = '', Status }) =>
      omitUndefined({ PodId: Name, Type: `${Role.slice(0, 1).toUpperCase()}${Role.slice(1)}`, Status }),
    ),
    StatusHistory: transitions,
  }) as WireJob;
}

/** As GetPodLogs: the newest lines of a window. Studio gives pages from the oldest line on. */
async function readNewestLines(pai: PaiTransport, { path, query }: PaiInput<'GetPodLogs'>, options?: Options) {
  const { StartTime, EndTime, MaxLines = DEFAULT_LINES } = query;
  const read = async (PageNumber: number) => {
    const window = omitUndefined({ InstanceId: path.PodId, StartTime, EndTime });
    const page = { ...window, PageNumber, PageSize: LOG_PAGE };
    return pai.call('ListTrainingJobLogs', { path: { TrainingJobId: path.JobId }, query: page }, options);
  };
  const first = await read(1);
  const total = Number(first.TotalCount);
  const from = Math.max(0, total - MaxLines);
  const lines = from < LOG_PAGE ? first.Logs.slice(from) : [];
  const last = Math.ceil(total / LOG_PAGE);
  for (let page = Math.max(2, Math.floor(from / LOG_PAGE) + 1); page <= last; page++) {
    const skipped = Math.max(0, from - (page - 1) * LOG_PAGE);
    lines.push(...(await read(page)).Logs.slice(skipped));
  }
  return { Logs: lines, JobId: path.JobId, PodId: path.PodId };
}

/** Studio's steps, in seconds, longest first. */
const STEPS = [
  [3600, '1h'],
  [1800, '30m'],
  [300, '5m'],
  [10, '10s'],
] as const;
/** Studio counts rates in MB/s, and DLC in bytes. */
const MEGABYTE = 1e6;

/** As GetJobMetrics, but by default from the start of the job on. */
async function readInstanceMetrics(pai: PaiTransport, { path, query }: PaiInput<'GetJobMetrics'>, options?: Options) {
  const { MetricType, StartTime, EndTime, TimeStep } = query;
  const answer = await pai.call(
    'ListTrainingJobInstanceMetrics',
    {
      path: { TrainingJobId: path.JobId },
      query: omitUndefined({ MetricType, StartTime, EndTime, TimeStep: stepOf(TimeStep ?? '5m') }),
    },
    options,
  );
  const unit = MetricType.endsWith('Rate') ? MEGABYTE : 1;
  const PodMetrics = (answer.InstanceMetrics ?? []).map(({ InstanceId, Metrics = [] }) => ({
    PodId: InstanceId,
    Metrics: Metrics.map(({ Time, Value }) => ({ Time: Date.parse(Time), Value: Value * unit })),
  }));
  return { JobId: path.JobId, PodMetrics };
}

/** The longest step that is not longer than the one that is asked for, or the shortest that there is. */
function stepOf(timeStep: string): (typeof STEPS)[number][1] {
  const seconds = Number.parseInt(timeStep, 10) * (timeStep.endsWith('m') ? 60 : 1);
  return STEPS.find(([length]) => length <= seconds)?.[1] ?? '10s';
}
