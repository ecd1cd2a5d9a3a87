import { randomUUID } from 'node:crypto';
import type { RestartPolicy } from './job-request.ts';
import { warningEvent } from './job-status.ts';
import type { PodRecord } from './state.ts';

/** The second number of `RestartTimes`, as PAI's example has it; a restart after a preemption does not count. */
export const MOST_RESTARTS = 10;

/** The lowest exit code that `ExitCode` takes for a passing failure: 128 + n is the end by signal n. */
const FIRST_PASSING_CODE = 128;

/** True when a pod that ended with `exitCode`, which is not 0, is to be started again. */
export function isRestarted(policy: RestartPolicy | undefined, exitCode: number): boolean {
  if (policy === 'ExitCode') return exitCode >= FIRST_PASSING_CODE;
  return policy === 'Always' || policy === 'OnFailure';
}

/** Ends the present life of a pod and begins another, with another PodUid. */
export function beginNextLife(pod: PodRecord, now: number, why: string): void {
  const { podUid, createdAt, startedAt } = pod;
  const ended = { podUid, status: 'Failed' as const, createdAt, finishedAt: now };
  pod.earlier = [...(pod.earlier ?? []), { ...ended, ...(startedAt !== undefined && { startedAt }) }];
  pod.events.push(warningEvent(now, 'Restarting', `Pod ${pod.podId} (${podUid}) ${why}`));
  pod.podUid = randomUUID();
  pod.createdAt = now;
  pod.status = 'Pending';
  delete pod.startedAt;
  delete pod.finishedAt;
}
