import { parseJobRequest } from '../job-request.ts';
import { finishedAt } from '../job-status.ts';
import { toWireListItem } from '../job-wire.ts';
import {
  compareBy,
  isInWindow,
  pageOf,
  type Query,
  readChoice,
  readInteger,
  readJsonMap,
  readList,
  readWindow,
} from '../parameters.ts';
import type { JobRecord } from '../state.ts';

/** What ListJobs reads. ShowOwn and FromAllWorkspaces select nothing here: there is one user, and he sees all. */
export const LIST_JOBS_QUERY = [
  'WorkspaceId',
  'DisplayName',
  'JobId',
  'JobIds',
  'JobType',
  'Status',
  'Tags',
  'StartTime',
  'EndTime',
  'ShowOwn',
  'FromAllWorkspaces',
  'SortBy',
  'Order',
  'PageNumber',
  'PageSize',
] as const;

const SORT_BY = ['DisplayName', 'JobType', 'Status', 'GmtCreateTime', 'GmtFinishTime'] as const;

/** The body of a ListJobs response. */
export function listJobs(jobs: readonly JobRecord[], query: Query, now: number): Record<string, unknown> {
  const order = readChoice(query, 'Order', ['desc', 'asc'], 'desc');
  const sortBy = readChoice(query, 'SortBy', SORT_BY, 'GmtCreateTime');
  const pageNumber = readInteger(query, 'PageNumber', { fallback: 1, min: 1, max: 1_000_000 });
  const pageSize = readInteger(query, 'PageSize', { fallback: 50, min: 1, max: 1000 });
  const found = jobs
    .filter(jobFilter(query, now))
    .sort(compareBy(({ sequence }) => sequence, order))
    .sort(compareBy(sortKey(sortBy), order));
  return {
    Jobs: pageOf(found, pageNumber, pageSize).map((job) => toWireListItem(job, now)),
    TotalCount: found.length,
  };
}

/** A job is listed also when its data set has been deleted. */
const anyDataset = (): string => 'nas://deleted.region/';

function jobFilter(query: Query, now: number): (job: JobRecord) => boolean {
  const window = readWindow(query, now);
  const tags = Object.entries(readJsonMap(query, 'Tags'));
  const jobIds = readList(query, 'JobIds');
  const name = query.get('DisplayName')?.toLowerCase() ?? '';
  const equals = (parameter: string, value: unknown) => (query.get(parameter) || value) === value;
  return (job) => {
    const request = parseJobRequest(job.request, anyDataset);
    return (
      isInWindow(job.createdAt, window) &&
      request.displayName.toLowerCase().includes(name) &&
      (jobIds === undefined || jobIds.includes(job.jobId)) &&
      equals('JobId', job.jobId) &&
      equals('WorkspaceId', request.workspaceId) &&
      equals('JobType', job.request.JobType) &&
      equals('Status', job.status) &&
      tags.every(([key, value]) => request.tags[key] === value)
    );
  };
}

function sortKey(sortBy: (typeof SORT_BY)[number]): (job: JobRecord) => string | number {
  if (sortBy === 'GmtCreateTime') return (job) => job.sequence;
  if (sortBy === 'GmtFinishTime') return (job) => finishedAt(job) ?? Number.POSITIVE_INFINITY;
  if (sortBy === 'Status') return (job) => job.status;
  return (job) => String(job.request[sortBy]);
}
