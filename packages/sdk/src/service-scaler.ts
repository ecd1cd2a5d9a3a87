import { CptError, InvalidInputError } from '@pai-cpt/core';
import { omitUndefined } from './omit-undefined.ts';
import type { WireAutoScaler, WireCronScaler } from './service-wire.ts';

/** How EAS is to set the number of a service's instances. */
export interface AutoScaler {
  /** 0 lets the service go to sleep; the first call wakes it, and may be refused until an instance is up. */
  readonly minInstances: number;
  readonly maxInstances: number;
  /** Instances are added while one of these is above its threshold: `qps` of one instance, `cpu` or `gpu[util]` in percent. */
  readonly rules: readonly { readonly metric: string; readonly threshold: number }[];
  /** How long a metric must be low before an instance goes; 300 by default. */
  readonly scaleDownAfterSeconds?: number;
}

/** A scaler as EAS has it, with what it measures now. */
export interface AutoScalerView extends AutoScaler {
  /** The mean over the instances; absent where EAS has measured nothing yet. */
  readonly current?: readonly { readonly metric: string; readonly value: number }[];
}

/** The body that EAS takes. @throws InvalidInputError `CPT_INPUT_INVALID` */
export function toWireAutoScaler(scaler: AutoScaler): WireAutoScaler {
  const { minInstances: min, maxInstances: max, rules, scaleDownAfterSeconds } = scaler;
  if (!(Number.isInteger(min) && Number.isInteger(max) && min >= 0 && max >= Math.max(1, min))) {
    throw invalid(`minInstances ${min} and maxInstances ${max}; 0 ≤ minInstances ≤ maxInstances, and 1 at least`);
  }
  if (rules.length === 0) throw invalid('no rule; without one nothing scales');
  const wrong = rules.find(({ metric, threshold }) => metric === '' || !(threshold > 0));
  if (wrong)
    throw invalid(`the threshold of ${wrong.metric || 'a nameless metric'} is ${wrong.threshold}; give more than 0`);
  return omitUndefined({
    min,
    max,
    scaleStrategies: rules.map(({ metric, threshold }) => ({ metricName: metric, threshold })),
    behavior:
      scaleDownAfterSeconds === undefined
        ? undefined
        : { scaleDown: { stabilizationWindowSeconds: scaleDownAfterSeconds } },
  });
}

/** The scaler that `describe` gives; undefined when PAI has none. The fields may come in either spelling of EAS. */
export async function readAutoScaler(
  describe: () => Promise<Record<string, unknown>>,
): Promise<AutoScalerView | undefined> {
  const wire = await unlessMissing(describe);
  if (!wire) return undefined;
  const read = readEitherSpelling(wire);
  const max = Number(read('max') ?? read('maxReplica'));
  if (!(max > 0)) return undefined;
  const rules = recordsIn(read('scaleStrategies'));
  const current = recordsIn(read('currentMetrics'));
  const behavior = read('behavior') as { scaleDown?: { stabilizationWindowSeconds?: number } } | undefined;
  return omitUndefined({
    minInstances: Number(read('min') ?? read('minReplica') ?? 0),
    maxInstances: max,
    rules: rules.map((rule) => ({ metric: toMetric(rule('metricName')), threshold: Number(rule('threshold')) })),
    scaleDownAfterSeconds: behavior?.scaleDown?.stabilizationWindowSeconds,
    current:
      current.length === 0
        ? undefined
        : current.map((metric) => ({ metric: toMetric(metric('metricName')), value: Number(metric('value')) })),
  });
}

/** EAS takes `qps` and tells `QPS`. */
const toMetric = (name: unknown): string => String(name).toLowerCase();

/** When a service is to have how many instances. */
export interface CronScaler {
  readonly jobs: readonly {
    readonly name: string;
    /** Six fields: second, minute, hour, day, month, weekday; `0 30 8 * * MON-FRI`. */
    readonly schedule: string;
    readonly instances: number;
    /** Such as `Asia/Shanghai`; without one it is EAS's own. */
    readonly timeZone?: string;
  }[];
  /** Cron expressions; on the days that they name no job runs. */
  readonly excludeDates?: readonly string[];
}

/** A cron scaler as EAS has it, with what became of each job the last time. EAS does not tell the time zones. */
export interface CronScalerView {
  readonly jobs: readonly {
    readonly name: string;
    readonly schedule: string;
    readonly instances: number;
    readonly state?: string;
    readonly message?: string;
    readonly ranAt?: string;
  }[];
  readonly excludeDates: readonly string[];
}

/** The body that EAS takes. @throws InvalidInputError `CPT_INPUT_INVALID` */
export function toWireCronScaler({ jobs, excludeDates }: CronScaler): WireCronScaler {
  if (jobs.length === 0) throw invalid('no job; without one nothing scales');
  for (const schedule of [...jobs.map((job) => job.schedule), ...(excludeDates ?? [])]) {
    const count = schedule.trim().split(/\s+/).length;
    if (count !== 6) {
      throw invalid(`"${schedule}" has ${count} fields; give six: second minute hour day month weekday`);
    }
  }
  const wrong = jobs.find(({ instances }) => !Number.isInteger(instances) || instances < 0);
  if (wrong) throw invalid(`${wrong.name} wants ${wrong.instances} instances; give a whole number from 0`);
  return omitUndefined({
    ScaleJobs: jobs.map(({ name, schedule, instances, timeZone }) =>
      omitUndefined({ name, schedule, targetSize: instances, timeZone }),
    ),
    ExcludeDates: excludeDates === undefined ? undefined : [...excludeDates],
  });
}

/** The cron scaler that `describe` gives; undefined when PAI has none. */
export async function readCronScaler(
  describe: () => Promise<Record<string, unknown>>,
): Promise<CronScalerView | undefined> {
  const wire = await unlessMissing(describe);
  const read = readEitherSpelling(wire ?? {});
  const jobs = recordsIn(read('scaleJobs'));
  if (jobs.length === 0) return undefined;
  const textOf = (value: unknown) => (typeof value === 'string' && value !== '' ? value : undefined);
  return {
    jobs: jobs.map((job) =>
      omitUndefined({
        ...{ name: String(job('name')), schedule: String(job('schedule')), instances: Number(job('targetSize')) },
        ...{ state: textOf(job('state')), message: textOf(job('message')), ranAt: textOf(job('lastProbeTime')) },
      }),
    ),
    excludeDates: (read('excludeDates') ?? []) as string[],
  };
}

function unlessMissing<T>(describe: () => Promise<T>): Promise<T | undefined> {
  return describe().catch((error: unknown) => {
    if (CptError.isInstance(error) && error.code === 'CPT_PAI_NOT_FOUND') return undefined;
    throw error;
  });
}

/** A field of EAS by its lower-case name. */
const readEitherSpelling = (wire: Record<string, unknown>) => (name: string) =>
  wire[name] ?? wire[name.charAt(0).toUpperCase() + name.slice(1)];

const recordsIn = (value: unknown) => ((value ?? []) as Record<string, unknown>[]).map(readEitherSpelling);

const invalid = (why: string): InvalidInputError => new InvalidInputError('CPT_INPUT_INVALID', `scaling: ${why}`);
