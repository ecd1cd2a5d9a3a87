import { invalidParameter, missingParameter } from './api-error.ts';
import { type Clock, toIsoSeconds } from './clock.ts';
import { type CronSchedule, includesDay, includesMinute, parseCronSchedule, wallTime } from './cron-schedule.ts';
import { isRecord } from './parameters.ts';
import { isInstanceCount, MAX_INSTANCES } from './service-request.ts';
import type { CronJobRecord, CronScalerRecord, ServiceRecord } from './state.ts';

const MINUTE_MS = 60_000;
const UTC = 'UTC';

/** Checks the body of CreateServiceCronScaler and reads it. @throws ApiError `MissingParameter` or `InvalidParameter` */
export function parseCronScaler(body: Readonly<Record<string, unknown>>, now: number): CronScalerRecord {
  const { ScaleJobs: jobs, ExcludeDates: excludeDates = [] } = body;
  if (jobs === undefined) throw missingParameter('ScaleJobs');
  if (!Array.isArray(jobs) || jobs.length === 0) throw invalidParameter('ScaleJobs is not a list of jobs.');
  if (!isTexts(excludeDates)) throw invalidParameter('ExcludeDates is not a list of cron expressions.');
  for (const date of excludeDates) parseCronSchedule(date);
  const parsed = jobs.map((job: unknown, at) => parseJob(job, at, now));
  const twice = parsed.find(({ name }, at) => parsed.findIndex((other) => other.name === name) !== at);
  if (twice) throw invalidParameter(`ScaleJobs has the name ${twice.name} twice.`);
  return { excludeDates, jobs: parsed };
}

const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((item) => typeof item === 'string');

/** EAS takes the names of the fields of a job in lower case, as those of an auto scaler. */
function parseJob(job: unknown, at: number, now: number): CronJobRecord {
  const where = `ScaleJobs[${at}]`;
  if (!isRecord(job)) throw invalidParameter(`${where} is not an object.`);
  const { name = `scale-job-${at}`, schedule, targetSize, timeZone = UTC } = job;
  if (typeof name !== 'string' || typeof timeZone !== 'string') throw invalidParameter(`${where}.name is not a text.`);
  if (typeof schedule !== 'string') throw missingParameter(`${where}.schedule`);
  if (!isInstanceCount(targetSize)) {
    throw invalidParameter(
      `${where}.targetSize is ${JSON.stringify(targetSize)}; pai-local runs 0 to ${MAX_INSTANCES}.`,
    );
  }
  parseCronSchedule(schedule);
  wallTime(now, timeZone);
  return { name, schedule, targetSize, timeZone, createdAt: now };
}

/** The answer of DescribeServiceCronScaler. */
export function toWireCronScaler({ name, cronScaler }: ServiceRecord): Record<string, unknown> {
  return {
    ServiceName: name,
    ExcludeDates: cronScaler?.excludeDates ?? [],
    ScaleJobs: (cronScaler?.jobs ?? []).map((job) => ({
      ...{
        Name: job.name,
        Schedule: job.schedule,
        TargetSize: job.targetSize,
        CreateTime: toIsoSeconds(job.createdAt),
      },
      ...(job.ranAt === undefined
        ? { State: 'Submitted' }
        : { State: 'Succeed', LastProbeTime: toIsoSeconds(job.ranAt), Message: job.message }),
    })),
  };
}

/**
 * Sets the instances of a service at the times of its cron scaler until `signal` ends it. Each minute is looked at once; the time of
 * a job is the second at which its schedule says it, in its own time zone.
 */
export async function runCronScaler(
  clock: Clock,
  service: ServiceRecord,
  scale: (instances: number, why: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const sleepUntil = (at: number) => clock.sleep(Math.max(0, at - clock.now()), signal).catch(() => {});
  for (let minute = Math.ceil(clock.now() / MINUTE_MS) * MINUTE_MS; !signal.aborted; minute += MINUTE_MS) {
    await sleepUntil(minute);
    for (const { job, second } of jobsOf(service.cronScaler, minute)) {
      await sleepUntil(minute + second * 1000);
      if (signal.aborted || !service.cronScaler?.jobs.includes(job)) continue; // it was replaced meanwhile
      const { name, targetSize } = job;
      const before = service.instances;
      job.ranAt = clock.now();
      job.message = `cron hpa job ${name} executed successfully. current replicas:${before}, desired replicas:${targetSize}.`;
      scale(targetSize, `Cron scaler: ${name}, from ${before} to ${targetSize} instances`);
    }
  }
}

function jobsOf(scaler: CronScalerRecord | undefined, minute: number): { job: CronJobRecord; second: number }[] {
  if (!scaler) return [];
  const excluded = scaler.excludeDates.map(parseCronSchedule);
  const due = scaler.jobs.flatMap((job) => {
    const schedule: CronSchedule = parseCronSchedule(job.schedule);
    const time = wallTime(minute, job.timeZone);
    const isDue = includesMinute(schedule, time) && !excluded.some((date) => includesDay(date, time));
    return isDue ? [...schedule.seconds].map((second) => ({ job, second })) : [];
  });
  return due.sort((a, b) => a.second - b.second);
}
