import { PROVIDER } from '../algorithms.ts';
import {
  compareBy,
  isInWindow,
  pageOf,
  type Query,
  readChoice,
  readInteger,
  readJsonMap,
  readWindow,
} from '../parameters.ts';
import type { JobRecord } from '../state.ts';
import type { TrainingRequest } from '../training-request.ts';
import { toWireTrainingJob, trainingStatus } from '../training-wire.ts';

/** What ListTrainingJobs reads. */
export const LIST_TRAINING_JOBS_QUERY = [
  ...['WorkspaceId', 'Status', 'TrainingJobName', 'TrainingJobId', 'AlgorithmName', 'AlgorithmProvider'],
  ...['IsTempAlgo', 'Labels', 'StartTime', 'EndTime', 'SortBy', 'Order', 'PageNumber', 'PageSize'],
] as const;

/** The body of a ListTrainingJobs response: by default the jobs created in the last seven days, newest first. */
export function listTrainingJobs(
  jobs: readonly JobRecord[],
  read: (job: JobRecord) => TrainingRequest,
  query: Query,
  now: number,
): Record<string, unknown> {
  const order = readChoice(query, 'Order', ['ASC', 'DESC'], 'DESC');
  readChoice(query, 'SortBy', ['GmtCreateTime'], 'GmtCreateTime');
  const pageNumber = readInteger(query, 'PageNumber', { fallback: 1, min: 1, max: 1_000_000 });
  const pageSize = readInteger(query, 'PageSize', { fallback: 10, min: 1, max: 100 });
  const window = readWindow(query, now);
  const labels = Object.entries(readJsonMap(query, 'Labels'));
  const name = (query.get('TrainingJobName') ?? '').toLowerCase();
  const equals = (parameter: string, value: string) => (query.get(parameter) || value) === value;
  const found = jobs
    .map((job) => ({ job, request: read(job) }))
    .filter(
      ({ job, request }) =>
        isInWindow(job.createdAt, window) &&
        request.name.toLowerCase().includes(name) &&
        equals('TrainingJobId', job.jobId) &&
        equals('WorkspaceId', request.workspaceId) &&
        equals('Status', trainingStatus(job)) &&
        equals('AlgorithmName', request.algorithm?.name ?? '') &&
        equals('AlgorithmProvider', request.algorithm ? PROVIDER : '') &&
        equals('IsTempAlgo', String(request.algorithm === undefined)) &&
        labels.every(([key, value]) => request.labels[key] === value),
    )
    .sort(compareBy(({ job }) => job.sequence, order === 'ASC' ? 'asc' : 'desc'));
  return {
    TrainingJobs: pageOf(found, pageNumber, pageSize).map(({ job, request }) => toWireTrainingJob(job, request, now)),
    TotalCount: found.length,
  };
}
