import { InvalidInputError } from '@pai-cpt/core';
import { omitUndefined } from '../omit-undefined.ts';
import type { PaiTransport } from '../pai-transport.ts';
import { isTrainingJobId } from '../training-jobs.ts';

/** What PAI measures of every pod (GetJobMetrics). Uses are percentages; rates have the unit in which PAI counts, bytes a second. */
export const METRIC_TYPES = [
  'GpuCoreUsage',
  'GpuMemoryUsage',
  'CpuCoreUsage',
  'MemoryUsage',
  'NetworkInputRate',
  'NetworkOutputRate',
  'DiskReadRate',
  'DiskWriteRate',
] as const;

/** One of `METRIC_TYPES`. */
export type MetricType = (typeof METRIC_TYPES)[number];

/** One metric of one pod over time. */
export interface PodMetric {
  readonly podId: string;
  readonly metric: MetricType;
  /** Oldest first. A metric that PAI does not have of this pod has none. */
  readonly points: readonly { readonly at: string; readonly value: number }[];
}

/** Which metrics, and when. */
export interface MetricsOptions {
  /** By default all. Each is a call of its own. */
  metrics?: readonly MetricType[] | undefined;
  /** ISO 8601; by default the last hour or, of a training job of QuickStart, all of it. */
  from?: string | undefined;
  to?: string | undefined;
  /** Seconds that one point stands for; by default 300. */
  stepSeconds?: number | undefined;
  /** For a job of somebody else: what GetToken gave its owner. Not a place to read on from; PAI answers a window whole. */
  shareToken?: string | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Metrics of all pods of a job. Of a training job of QuickStart, Studio has steps of 10 s, 5 min, 30 min and 1 h: the longest that is
 * not longer than `stepSeconds` counts.
 * @throws InvalidInputError `CPT_INPUT_INVALID` for an unknown metric, a step below a second, and a token for a training job of
 * QuickStart, for which Studio has none.
 */
export async function readJobMetrics(
  pai: PaiTransport,
  jobId: string,
  { metrics = METRIC_TYPES, from, to, stepSeconds, shareToken, signal }: MetricsOptions = {},
): Promise<PodMetric[]> {
  const refuse = (field: string, message: string) => new InvalidInputError('CPT_INPUT_INVALID', message, { field });
  if (isTrainingJobId(jobId) && shareToken !== undefined) {
    throw refuse('shareToken', `${jobId} is a training job of QuickStart, which PAI shares by no token; ask its owner`);
  }
  for (const metric of metrics) {
    if (METRIC_TYPES.includes(metric)) continue;
    throw refuse('metrics', `there is no metric "${metric}"; there are ${METRIC_TYPES.join(', ')}`);
  }
  if (stepSeconds !== undefined && !(Number.isInteger(stepSeconds) && stepSeconds >= 1)) {
    throw refuse('stepSeconds', `stepSeconds is ${stepSeconds}; give a whole number from 1`);
  }
  const window = omitUndefined({
    StartTime: toSecond('from', from),
    EndTime: toSecond('to', to),
    TimeStep: stepSeconds === undefined ? undefined : toTimeStep(stepSeconds),
    Token: shareToken,
  });
  const answers = await Promise.all(
    metrics.map(async (metric) => {
      const query = { MetricType: metric, ...window };
      const { PodMetrics = [] } = await pai.call('GetJobMetrics', { path: { JobId: jobId }, query }, { signal });
      return PodMetrics.map(({ PodId, Metrics }) => ({ podId: PodId, metric, points: (Metrics ?? []).map(toPoint) }));
    }),
  );
  return answers.flat();
}

function toPoint({ Time, Value }: { Time: number; Value: number }) {
  return { at: new Date(Time).toISOString(), value: Value };
}

function toSecond(field: string, time: string | undefined): string | undefined {
  if (time === undefined) return undefined;
  const ms = Date.parse(time);
  if (!Number.isNaN(ms)) return `${new Date(ms).toISOString().slice(0, 19)}Z`;
  throw new InvalidInputError('CPT_INPUT_INVALID', `${field} is "${time}"; give a time such as 2026-11-24T08:00:00Z`, {
    field,
  });
}

/** PAI's example is `5m`; a time that is no whole number of minutes is given in seconds. */
function toTimeStep(seconds: number): string {
  return seconds % 60 === 0 ? `${seconds / 60}m` : `${seconds}s`;
}

/** A number that a training job has printed, as PAI found it in the log. */
export interface ReportedMetric {
  readonly name: string;
  readonly at: string;
  readonly value: number;
}

/** Which numbers. */
export interface ReportedMetricsOptions {
  /** As the algorithm calls it; by default every one. */
  name?: string | undefined;
  /** ISO 8601; by default from the start of the job. */
  from?: string | undefined;
  to?: string | undefined;
  signal?: AbortSignal | undefined;
}

const REPORTED_PAGE = 100;

/**
 * The numbers that PAI Studio finds in the log of a training job by its algorithm's definitions, oldest first, page by page.
 * @throws InvalidInputError `CPT_INPUT_INVALID` for a job of DLC, whose log PAI does not search: `follow` does.
 */
export async function* readReportedMetrics(
  pai: PaiTransport,
  jobId: string,
  { name, from, to, signal }: ReportedMetricsOptions = {},
): AsyncGenerator<ReportedMetric, void, undefined> {
  if (!isTrainingJobId(jobId)) {
    const message = `${jobId} is a job of DLC, in whose log PAI looks for no metrics; read them with jobs.follow(), or cpt watch`;
    throw new InvalidInputError('CPT_INPUT_INVALID', message, { field: 'jobId' });
  }
  const window = { StartTime: toSecond('from', from), EndTime: toSecond('to', to) };
  const filter = { ...omitUndefined({ Name: name, ...window }), Order: 'ASC' as const };
  const path = { TrainingJobId: jobId };
  // Oldest first, what is printed meanwhile comes at the end.
  for (let page = 1; ; page++) {
    const query = { ...filter, PageNumber: page, PageSize: REPORTED_PAGE };
    const { Metrics = [], TotalCount } = await pai.call('ListTrainingJobMetrics', { path, query }, { signal });
    yield* Metrics.map(({ Name, Timestamp, Value }) => ({ name: Name, at: Timestamp, value: Value }));
    if (Metrics.length === 0 || page * REPORTED_PAGE >= TotalCount) return;
  }
}

/** What one pod uses now; a value that PAI does not have is absent, never 0. */
export interface PodUse {
  readonly podId: string;
  readonly gpuPercent?: number;
  readonly gpuMemoryPercent?: number;
  readonly cpuPercent?: number;
  readonly memoryPercent?: number;
  readonly networkInRate?: number;
  readonly networkOutRate?: number;
}

/** What all pods use at a moment. */
export interface MetricsEvent {
  readonly type: 'metrics';
  readonly at: string;
  readonly pods: readonly PodUse[];
}

const FIELDS = {
  GpuCoreUsage: 'gpuPercent',
  GpuMemoryUsage: 'gpuMemoryPercent',
  CpuCoreUsage: 'cpuPercent',
  MemoryUsage: 'memoryPercent',
  NetworkInputRate: 'networkInRate',
  NetworkOutputRate: 'networkOutRate',
} as const satisfies Partial<Record<MetricType, keyof PodUse>>;

/** PAI's points come late; a window of a few steps has the newest that there is. */
const WINDOW_MS = 10 * 60_000;
const STEP_SECONDS = 60;

/** The newest value of each metric of each pod, as an event of a watch. */
export async function readPodUse(
  pai: PaiTransport,
  jobId: string,
  nowMs: number,
  signal?: AbortSignal,
): Promise<MetricsEvent> {
  const metrics = Object.keys(FIELDS) as (keyof typeof FIELDS)[];
  const from = new Date(nowMs - WINDOW_MS).toISOString();
  const series = await readJobMetrics(pai, jobId, { metrics, from, stepSeconds: STEP_SECONDS, signal });
  const pods = new Map<string, { -readonly [Name in keyof PodUse]: PodUse[Name] }>();
  for (const { podId, metric, points } of series) {
    const use = pods.get(podId) ?? { podId };
    const newest = points.at(-1);
    if (newest && Number.isFinite(newest.value)) use[FIELDS[metric as keyof typeof FIELDS]] = newest.value;
    pods.set(podId, use);
  }
  return { type: 'metrics', at: new Date(nowMs).toISOString(), pods: [...pods.values()] };
}
