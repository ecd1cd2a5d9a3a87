import { ApiError, invalidParameter, missingParameter } from '../api-error.ts';
import type { Host } from '../host.ts';
import type { Operation } from '../operations.ts';
import { isInWindow, isRecord, type Query, readWindow } from '../parameters.ts';
import type { UsageSample } from '../process-usage.ts';
import type { JobRecord, Store } from '../state.ts';

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

/**
 * A job's environment variable: what GpuCoreUsage shall be of each pod in order of rank, such as `95,95,3`; the last value
 * stands for all further pods. Without it the metric has no points, for this machine has no GPU.
 */
const GPU_USE_VARIABLE = 'PAI_LOCAL_GPU_USE';

const HOUR_MS = 3_600_000;
const MOST_POINTS = 11_000;

/** GetJobMetrics: what the processes of a job really used, as the kernel counts it. */
export function jobMetricsOperation(host: Host, jobs: Store<JobRecord>): Operation {
  return {
    ...{ action: 'GetJobMetrics', version: '2020-12-03', method: 'GET', path: '/api/v1/jobs/{JobId}/metrics' },
    query: ['MetricType', 'StartTime', 'EndTime', 'TimeStep', 'Token'],
    handle({ path, query }) {
      const job = jobs.get(path.JobId as string);
      if (!job) throw new ApiError(404, 'JobNotExists', `Job ${path.JobId} does not exist.`);
      const type = query.get('MetricType');
      if (!type) throw missingParameter('MetricType');
      const valueIn = Object.hasOwn(VALUE_OF, type) ? VALUE_OF[type] : undefined;
      if (!valueIn) throw invalidParameter(`MetricType is "${type}"; it can be ${Object.keys(VALUE_OF).join(', ')}.`);
      const now = host.clock.now();
      // Unlike logs and events, metrics reach back an hour by default.
      const isBounded = query.has('StartTime');
      const window = readWindow(query, now);
      const from = isBounded ? window.from : window.to - HOUR_MS;
      const stepMs = readTimeStep(query);
      if ((window.to - from) / stepMs > MOST_POINTS) {
        throw invalidParameter(`StartTime to EndTime is more than ${MOST_POINTS} points of ${stepMs / 1000} s.`);
      }
      const gpuUse = type === 'GpuCoreUsage' ? readGpuUse(job) : [];
      const PodMetrics = job.pods.map(({ podId }, rank) => {
        const samples = host.usage.samplesOf(`jobs/${job.jobId}/${podId}`);
        const wanted = samples.filter(({ at }) => isInWindow(at, { from, to: window.to }));
        const gpu = gpuUse[Math.min(rank, gpuUse.length - 1)];
        return { PodId: podId, Metrics: meansOf(wanted, gpu === undefined ? valueIn : () => gpu, stepMs) };
      });
      return { JobId: job.jobId, PodMetrics };
    },
  };
}

function meansOf(
  samples: readonly UsageSample[],
  valueIn: (sample: UsageSample) => number | undefined,
  stepMs: number,
): { Time: number; Value: number }[] {
  const steps = new Map<number, { sum: number; count: number }>();
  for (const sample of samples) {
    const value = valueIn(sample);
    if (value === undefined) continue;
    const time = Math.floor(sample.at / stepMs) * stepMs;
    const step = steps.get(time) ?? { sum: 0, count: 0 };
    step.sum += value;
    step.count += 1;
    steps.set(time, step);
  }
  return [...steps].map(([Time, { sum, count }]) => ({ Time, Value: sum / count }));
}

function readTimeStep(query: Query): number {
  const text = query.get('TimeStep') || '5m';
  const match = /^(\d{1,5})([smh])$/.exec(text);
  const factor = { s: 1000, m: 60_000, h: HOUR_MS }[match?.[2] ?? ''];
  const stepMs = Number(match?.[1]) * (factor ?? Number.NaN);
  if (stepMs >= 1000) return stepMs;
  throw invalidParameter(`TimeStep is "${text}", not a time such as 30s, 5m or 1h.`);
}

function readGpuUse({ request }: JobRecord): number[] {
  const text = isRecord(request.Envs) ? request.Envs[GPU_USE_VARIABLE] : undefined;
  if (typeof text !== 'string') return [];
  const values = text.split(',').map(Number);
  return values.every((value) => value >= 0 && value <= 100) ? values : [];
}
