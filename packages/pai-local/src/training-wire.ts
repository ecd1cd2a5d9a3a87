import { type Algorithm, PROVIDER } from './algorithms.ts';
import { toIsoSeconds } from './clock.ts';
import { enteredAt, finishedAt } from './job-status.ts';
import type { JobRecord, StatusRecord } from './state.ts';
import type { TrainingRequest } from './training-request.ts';

/**
 * What Studio calls the statuses that the job runner goes through. Studio writes Succeed, and has no word for stopping: a
 * job that is being stopped keeps its status until it is Terminated.
 */
const STATUS: Readonly<Record<string, string>> = {
  Creating: 'Creating',
  Queuing: 'Initializing',
  EnvPreparing: 'Submitted',
  Running: 'Running',
  Succeeded: 'Succeed',
  Failed: 'Failed',
  Stopped: 'Terminated',
};

const REASON: Readonly<Record<string, string>> = {
  JobSucceeded: 'TrainingJobSucceed',
  JobStoppedByUser: 'TrainingJobTerminated',
};

/** Reasons of a failure before the program ran. */
const BEFORE_START = ['ImagePullFailed', 'FailedMount'];

function statusOf({ status, reasonCode = '' }: Pick<StatusRecord, 'status' | 'reasonCode'>): string | undefined {
  return status === 'Failed' && BEFORE_START.includes(reasonCode) ? 'InitializeFailed' : STATUS[status];
}

/** Studio's word for where the job stands. */
export function trainingStatus(job: JobRecord): string {
  return job.history.map(statusOf).findLast((status) => status !== undefined) ?? 'Creating';
}

/** A training job as ListTrainingJobs sends it. */
export function toWireTrainingJob(job: JobRecord, request: TrainingRequest, now: number): Record<string, unknown> {
  const running = enteredAt(job, 'Running');
  const { AlgorithmSpec: _, ...echoed } = job.request;
  return {
    ...echoed,
    TrainingJobId: job.jobId,
    WorkspaceId: request.workspaceId,
    Status: trainingStatus(job),
    ReasonCode: REASON[job.reasonCode] ?? job.reasonCode,
    ReasonMessage: job.reasonMessage,
    IsTempAlgo: request.algorithm === undefined,
    ...(request.algorithm && { AlgorithmId: request.algorithm.id }),
    HyperParameters: Object.entries(request.hyperParameters).map(([Name, Value]) => ({ Name, Value })),
    Duration: running === undefined ? 0 : Math.floor(((finishedAt(job) ?? now) - running) / 1000),
    GmtCreateTime: toIsoSeconds(job.createdAt),
    GmtModifiedTime: toIsoSeconds(job.history.at(-1)?.startedAt ?? job.createdAt),
    TrainingJobUrl: `https://pai.console.aliyun.com/?workspaceId=${request.workspaceId}#/training/jobs/${job.jobId}`,
    UserId: '1000000000000001',
    StatusTransitions: transitionsOf(job),
  };
}

function transitionsOf(job: JobRecord): Record<string, unknown>[] {
  const entries = job.history.filter((entry) => statusOf(entry) !== undefined);
  return entries.map((entry, index) => {
    const next = entries[index + 1];
    return {
      Status: statusOf(entry),
      StartTime: toIsoSeconds(entry.startedAt),
      ...(next && { EndTime: toIsoSeconds(next.startedAt) }),
      ...(entry.reasonCode && {
        ReasonCode: REASON[entry.reasonCode] ?? entry.reasonCode,
        ReasonMessage: entry.reasonMessage,
      }),
    };
  });
}

/** An algorithm as GetAlgorithm and ListAlgorithms send it. */
export function toWireAlgorithm({ id, name, displayName }: Algorithm): Record<string, unknown> {
  return {
    ...{ AlgorithmId: id, AlgorithmName: name, DisplayName: displayName, AlgorithmProvider: PROVIDER, WorkspaceId: '' },
    ...{ GmtCreateTime: '2024-06-07T00:00:00Z', GmtModifiedTime: '2024-06-07T00:00:00Z' },
  };
}
