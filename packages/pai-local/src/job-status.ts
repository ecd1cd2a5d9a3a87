import type { EventRecord, JobRecord, PodRecord } from './state.ts';

/** Why a status was entered. */
export interface Reason {
  readonly code: string;
  readonly message: string;
}

export function isTerminal(status: string): boolean {
  return status === 'Succeeded' || status === 'Failed' || status === 'Stopped';
}

/** Moves the job into `status`: closes the current entry of its history and opens the next. */
export function enterStatus(
  job: JobRecord,
  status: string,
  at: number,
  reason: Reason = { code: '', message: '' },
): void {
  const current = job.history.at(-1);
  if (current) current.endedAt = at;
  job.history.push({
    status,
    startedAt: at,
    ...(reason.code && { reasonCode: reason.code, reasonMessage: reason.message }),
  });
  job.status = status;
  job.reasonCode = reason.code;
  job.reasonMessage = reason.message;
  job.events.push({
    at,
    type: status === 'Failed' ? 'Warning' : 'Normal',
    reason: reason.code || status,
    message: reason.message || `Job ${job.jobId} is ${status}.`,
  });
}

/** When the job first entered `status`. */
export function enteredAt(job: JobRecord, status: string): number | undefined {
  return job.history.find((entry) => entry.status === status)?.startedAt;
}

/** When the job came to its end. */
export function finishedAt(job: JobRecord): number | undefined {
  return isTerminal(job.status) ? job.history.at(-1)?.startedAt : undefined;
}

/** The log of the life `podUid` of a pod, by default the present one: every life has its own. */
export function podLogName({ podId, podUid: present, earlier = [] }: PodRecord, podUid = present): string {
  const life = earlier.findIndex((before) => before.podUid === podUid);
  const number = life === -1 ? earlier.length : life;
  return number === 0 ? podId : `${podId}.${number}`;
}

export function normalEvent(at: number, reason: string, message: string): EventRecord {
  return { at, type: 'Normal', reason, message };
}

export function warningEvent(at: number, reason: string, message: string): EventRecord {
  return { at, type: 'Warning', reason, message };
}
