import { ApiError, invalidParameter, missingParameter } from '../api-error.ts';
import { toIsoSeconds } from '../clock.ts';
import { gpuSeries } from '../gpu-use.ts';
import type { Host } from '../host.ts';
import type { ApiRequest, Operation } from '../operations.ts';
import { isInWindow, isRecord, type Query, readChoice, readWindow, type TimeWindow } from '../parameters.ts';
import type { UsageSample } from '../process-usage.ts';
import { findScript, type JobScript } from '../scenario.ts';
import type { JobRecord, PodRecord, Store } from '../state.ts';

/** Every MetricType. There is no GPU here and no network of a pod's own: those have points only as `gpuUse` says. */
const VALUE_OF: Readonly<Record<string, (sample: UsageSample) => number | undefined>> = {
  GpuCoreUsage: () => undefined,
  GpuMemoryUsage: () => undefined,
  CpuCoreUsage: ({ cpuPercent }) => cpuPercent,
  MemoryUsage: ({ memoryPercent }) => memoryPercent,
  NetworkInputRate: () => undefined,
  NetworkOutputRate: () => undefined,
  DiskReadRate: ({ diskReadRate }) => diskReadRate,
  DiskWriteRate: ({ diskWriteRate }) => diskWriteRate,
};
/** What a scenario can tell. */
const GPU_SERIES: Readonly<Record<string, 'percent' | 'memoryPercent'>> = {
  GpuCoreUsage: 'percent',
  GpuMemoryUsage: 'memoryPercent',
};
/** Studio counts rates in MB/s. */
const MEGABYTE = 1e6;

/**
 * A job's environment variable: what GpuCoreUsage shall be of each pod in order of rank, such as `95,95,3`; the last value
 * stands for all further pods. Without it the metric has no points, for this machine has no GPU.
 */
const GPU_USE_VARIABLE = 'PAI_LOCAL_GPU_USE';

const HOUR_MS = 3_600_000;
const MOST_POINTS = 11_000;
/** The only steps that Studio documents. */
const STUDIO_STEPS = ['5m', '10s', '30m', '1h'] as const;

interface Point {
  readonly at: number;
  readonly value: number;
}

/** GetJobMetrics: what the processes of a job really used, as the kernel counts it, or what its script says of its GPUs. */
export function jobMetricsOperation(host: Host, jobs: Store<JobRecord>, scripts: readonly JobScript[] = []): Operation {
  return {
    ...{ action: 'GetJobMetrics', version: '2020-12-03', method: 'GET', path: '/api/v1/jobs/{JobId}/metrics' },
    query: ['MetricType', 'StartTime', 'EndTime', 'TimeStep', 'Token'],
    handle({ path, query }) {
      const job = jobs.get(path.JobId as string);
      if (!job) throw new ApiError(404, 'JobNotExists', `Job ${path.JobId} does not exist.`);
      const type = readType(query);
      // Unlike logs and events, metrics reach back an hour by default.
      const window = windowFrom(query, host.clock.now(), (to) => to - HOUR_MS);
      const stepMs = readTimeStep(query.get('TimeStep') || '5m', window);
      const { gpuUse = [] } = findScript(scripts, String(job.request.DisplayName)) ?? {};
      const now = host.clock.now();
      const which = GPU_SERIES[type];
      const PodMetrics = job.pods.map((pod, rank) => {
        const points =
          which && gpuUse.length > 0
            ? gpuSeries(gpuUse, which, pod, rank, { window, stepMs, now })
            : pointsOf(host, job, pod, rank, { type, window, stepMs });
        return { PodId: pod.podId, Metrics: points.map(({ at, value }) => ({ Time: at, Value: value })) };
      });
      return { JobId: job.jobId, PodMetrics };
    },
  };
}

/** ListTrainingJobInstanceMetrics: the same of a training job of Studio, from its start on. */
export function instanceMetrics(host: Host, job: JobRecord, { query }: ApiRequest): Record<string, unknown> {
  const type = readType(query);
  const window = windowFrom(query, host.clock.now(), () => job.createdAt);
  const stepMs = readTimeStep(readChoice(query, 'TimeStep', STUDIO_STEPS, '5m'), window);
  const unit = type.endsWith('Rate') ? MEGABYTE : 1;
  const wanted = query.get('InstanceId') || undefined;
  const InstanceMetrics = job.pods.flatMap((pod, rank) => {
    if (pod.podId !== (wanted ?? pod.podId)) return [];
    const points = pointsOf(host, job, pod, rank, { type, window, stepMs });
    const Metrics = points.map(({ at, value }) => ({ Time: toIsoSeconds(at), Value: value / unit }));
    return [{ InstanceId: pod.podId, NodeName: pod.podId, Metrics }];
  });
  return { InstanceMetrics };
}

function readType(query: Query): string {
  const type = query.get('MetricType');
  if (!type) throw missingParameter('MetricType');
  if (Object.hasOwn(VALUE_OF, type)) return type;
  throw invalidParameter(`MetricType is "${type}"; it can be ${Object.keys(VALUE_OF).join(', ')}.`);
}

function windowFrom(query: Query, now: number, start: (to: number) => number): TimeWindow {
  const window = readWindow(query, now);
  return query.has('StartTime') ? window : { from: start(window.to), to: window.to };
}

function pointsOf(
  host: Host,
  job: JobRecord,
  { podId }: PodRecord,
  rank: number,
  { type, window, stepMs }: { type: string; window: TimeWindow; stepMs: number },
): Point[] {
  const samples = host.usage.samplesOf(`jobs/${job.jobId}/${podId}`).filter(({ at }) => isInWindow(at, window));
  const uses = type === 'GpuCoreUsage' ? readGpuUse(job) : [];
  const gpu = uses[Math.min(rank, uses.length - 1)];
  const valueIn = gpu === undefined ? (VALUE_OF[type] ?? (() => undefined)) : () => gpu;
  return meansOf(
    samples.flatMap((sample) => {
      const value = valueIn(sample);
      return value === undefined ? [] : [{ at: sample.at, value }];
    }),
    stepMs,
  );
}

function meansOf(points: readonly Point[], stepMs: number): Point[] {
  const steps = new Map<number, { sum: number; count: number }>();
  for (const { at, value } of points) {
    const time = Math.floor(at / stepMs) * stepMs;
    const step = steps.get(time) ?? { sum: 0, count: 0 };
    step.sum += value;
    step.count += 1;
    steps.set(time, step);
  }
  return [...steps].map(([at, { sum, count }]) => ({ at, value: sum / count }));
}

function readTimeStep(text: string, { from, to }: TimeWindow): number {
  const match = /^(\d{1,5})([smh])$/.exec(text);
  const factor = { s: 1000, m: 60_000, h: HOUR_MS }[match?.[2] ?? ''];
  const stepMs = Number(match?.[1]) * (factor ?? Number.NaN);
  if (!(stepMs >= 1000)) throw invalidParameter(`TimeStep is "${text}", not a time such as 30s, 5m or 1h.`);
  if ((to - from) / stepMs <= MOST_POINTS) return stepMs;
  throw invalidParameter(`StartTime to EndTime is more than ${MOST_POINTS} points of ${stepMs / 1000} s.`);
}

function readGpuUse({ request }: JobRecord): number[] {
  const environment = request.Envs ?? request.Environments;
  const text = isRecord(environment) ? environment[GPU_USE_VARIABLE] : undefined;
  if (typeof text !== 'string') return [];
  const values = text.split(',').map(Number);
  return values.every((value) => value >= 0 && value <= 100) ? values : [];
}
