import { jobPhaseOf } from './job-status.ts';
import { omitUndefined } from './omit-undefined.ts';
import type { WireJob, WirePod, WireStatusTransition } from './pai-wire.ts';
import type { Job, Pod, StatusChange } from './schemas.ts';

/** A job in our words. PAI writes an unset time as an empty text; it becomes absent. */
export function toJob(wire: WireJob): Job {
  return omitUndefined({
    jobId: wire.JobId,
    displayName: wire.DisplayName,
    phase: jobPhaseOf(wire.Status),
    status: wire.Status,
    subStatus: wire.SubStatus || undefined,
    reasonCode: wire.ReasonCode || undefined,
    reasonMessage: wire.ReasonMessage || undefined,
    workspaceId: wire.WorkspaceId || undefined,
    createdAt: wire.GmtCreateTime,
    startedAt: wire.GmtRunningTime || undefined,
    finishedAt: wire.GmtFinishTime || undefined,
    durationSeconds: wire.Duration,
    restarts: wire.RestartTimes || undefined,
    pods: (wire.Pods ?? []).map(toPod),
    statusHistory: (wire.StatusHistory ?? []).map(toStatusChange),
  });
}

function toPod(wire: WirePod): Pod {
  return omitUndefined({
    podId: wire.PodId,
    podUid: wire.PodUid || undefined,
    replacedUids: replacedBy(wire),
    type: wire.Type || undefined,
    status: wire.Status || undefined,
    ip: wire.Ip || undefined,
    startedAt: wire.GmtStartTime || undefined,
    finishedAt: wire.GmtFinishTime || undefined,
  });
}

/** PAI does not say in which order it lists them. */
function replacedBy({ PodUid, HistoryPods = [] }: WirePod): string[] | undefined {
  const startOf = ({ GmtStartTime, GmtCreateTime }: WirePod): string => String(GmtStartTime || GmtCreateTime || '');
  const ordered = [...HistoryPods].sort((a, b) => (startOf(a) < startOf(b) ? -1 : startOf(a) > startOf(b) ? 1 : 0));
  const uids = ordered.flatMap((old) => (old.PodUid && old.PodUid !== PodUid ? [old.PodUid] : []));
  return uids.length === 0 ? undefined : uids;
}

function toStatusChange(wire: WireStatusTransition): StatusChange {
  return omitUndefined({
    status: wire.Status,
    phase: jobPhaseOf(wire.Status),
    at: wire.StartTime || undefined,
    reasonCode: wire.ReasonCode || undefined,
    reasonMessage: wire.ReasonMessage || undefined,
  });
}
