import { toIsoSeconds } from './clock.ts';
import { enteredAt, finishedAt } from './job-status.ts';
import { MOST_RESTARTS } from './restarts.ts';
import type { EventRecord, JobRecord, PodLife, PodRecord } from './state.ts';

/** The members whose value is known: PAI leaves the others out, it does not send null. */
function known(fields: Record<string, string | number | undefined>): Record<string, string | number> {
  return Object.fromEntries(
    Object.entries(fields).filter((entry): entry is [string, string | number] => entry[1] !== undefined),
  );
}

const time = (ms: number | undefined): string | undefined => (ms === undefined ? undefined : toIsoSeconds(ms));

/** A job as ListJobs sends it: what CreateJob was given, and what came of it. */
export function toWireListItem(job: JobRecord, now: number): Record<string, unknown> {
  const running = enteredAt(job, 'Running');
  const finished = finishedAt(job);
  return {
    ...job.request,
    JobId: job.jobId,
    Status: job.status,
    SubStatus: '',
    ReasonCode: job.reasonCode,
    ReasonMessage: job.reasonMessage,
    Duration: running === undefined ? 0 : Math.floor(((finished ?? now) - running) / 1000),
    ...known({
      GmtCreateTime: time(job.createdAt),
      GmtModifiedTime: time(job.history.at(-1)?.startedAt),
      GmtSubmittedTime: time(enteredAt(job, 'Queuing')),
      GmtRunningTime: time(running),
      GmtSuccessedTime: time(enteredAt(job, 'Succeeded')), // PAI's own spelling
      GmtFailedTime: time(enteredAt(job, 'Failed')),
      GmtStoppedTime: time(enteredAt(job, 'Stopped')),
      GmtFinishTime: time(finished),
    }),
  };
}

/** A job as GetJob sends it: with its pods and the statuses it went through. */
export function toWireJob(job: JobRecord, now: number): Record<string, unknown> {
  return {
    ...toWireListItem(job, now),
    RestartTimes: `${job.restarts ?? 0}/${MOST_RESTARTS}`,
    Pods: job.pods.map((pod) => ({
      ...toWirePod(pod, pod),
      HistoryPods: (pod.earlier ?? []).map((life) => toWirePod(pod, life)),
    })),
    StatusHistory: job.history.map((entry) =>
      known({
        Status: entry.status,
        StartTime: time(entry.startedAt),
        EndTime: time(entry.endedAt),
        ReasonCode: entry.reasonCode,
        ReasonMessage: entry.reasonMessage,
      }),
    ),
  };
}

function toWirePod({ podId, type }: PodRecord, life: PodLife): Record<string, unknown> {
  return {
    PodId: podId,
    PodUid: life.podUid,
    Type: type,
    Status: life.status,
    SubStatus: '',
    Ip: '127.0.0.1',
    ...known({
      GmtCreateTime: time(life.createdAt),
      GmtStartTime: time(life.startedAt),
      GmtFinishTime: time(life.finishedAt),
    }),
  };
}

/** An event as one line: time, type, reason, message. */
export function toWireEvent(event: EventRecord): string {
  return `${toIsoSeconds(event.at)} ${event.type} ${event.reason} ${event.message}`;
}
