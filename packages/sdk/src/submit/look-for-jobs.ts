import { CptError } from '@pai-cpt/core';
import type { WireJob } from '../pai-wire.ts';
import { isTrainingJobBody } from '../training-jobs.ts';
import type { Attempt } from './journal.ts';
import { ATTEMPT_TAG, hidesMarks, isOfIntent, isUnmarked, nameMark, tagsOf } from './marker.ts';
import { callWithin, isPassing, pause, type Submission, unknownOutcome } from './submission.ts';

const PAGE_SIZE = 50;
/** A list that never ends, page after page, is not read for ever. */
const MOST_PAGES = 1000;
/** PAI lists the last seven days unless told when to start; no job is older than this version of its API. */
const BEFORE_EVERY_JOB = '2020-12-03T00:00:00Z';

/** The jobs of an intent by id, as they were last seen. */
export type Sightings = Map<string, WireJob>;

/**
 * Reads every page of the jobs that bear the mark, and adds those of the intent to `seen`. Oldest first, so that a job that is
 * created meanwhile moves no other to another page. Gives true when the list was read to its end.
 */
async function readOnce(submission: Submission, seen: Sightings): Promise<boolean> {
  const { intentId, request } = submission.intent;
  let items = 0;
  for (let page = 1; page <= MOST_PAGES; page++) {
    const query = {
      ...{ DisplayName: searchName(submission), StartTime: BEFORE_EVERY_JOB, PageNumber: page, PageSize: PAGE_SIZE },
      ...{ SortBy: 'GmtCreateTime' as const, Order: 'asc' as const },
      ...(request.WorkspaceId === undefined ? {} : { WorkspaceId: request.WorkspaceId }),
    };
    const answer = await callWithin(submission, 'ListJobs', { query });
    if (!Array.isArray(answer.Jobs)) return false; // 200 with something else in it
    for (const listed of answer.Jobs) {
      const job = isUnmarked(listed) ? await readJob(submission, listed.JobId) : listed;
      if (job && isOfIntent(job, intentId)) seen.set(job.JobId, job);
      else if (job && hidesMarks(job)) {
        throw unknownOutcome(
          submission,
          `job ${job.JobId} has its name, and PAI shows neither tags nor environment of it`,
        );
      }
    }
    items += answer.Jobs.length;
    if (answer.Jobs.length === 0 || items >= answer.TotalCount) return true;
  }
  return false;
}

/**
 * What the jobs of the intent are listed by. DLC finds a part of a name, so the mark alone also shows another run under the same
 * key; whether Studio does is not documented, and the whole name is right either way.
 */
function searchName({ intent: { intentId, request } }: Submission): string {
  return isTrainingJobBody(request) ? request.DisplayName : nameMark(intentId);
}

/** A job by its id; `undefined` when PAI knows none, or none yet. */
export async function readJob(submission: Submission, jobId: string): Promise<WireJob | undefined> {
  try {
    const job = await callWithin(submission, 'GetJob', { path: { JobId: jobId } });
    return typeof job.JobId === 'string' ? job : undefined;
  } catch (error) {
    if (CptError.isInstance(error) && error.code === 'CPT_PAI_NOT_FOUND') return undefined;
    throw error;
  }
}

/** Calls that may have made a job which nobody has seen yet. */
export function openAttempts(attempts: readonly Attempt[], seen: Sightings): Attempt[] {
  const jobs = [...seen.values()];
  return attempts.filter(
    ({ attemptId, jobId, isRefused }) =>
      !isRefused &&
      !(jobId !== undefined && seen.has(jobId)) &&
      !jobs.some((job) => tagsOf(job)[ATTEMPT_TAG] === attemptId),
  );
}

/** What was found, and whether any of our own calls is still unaccounted for. */
export interface Found {
  readonly seen: Sightings;
  readonly open: readonly Attempt[];
}

/**
 * Looks for the jobs of the intent until it is sure: every call of ours is accounted for and what is there has been read
 * again after `confirmMs`, or the settle time and its readings are over. PAI shows jobs late but, as is assumed, in the
 * order in which it made them; so whoever sees his own job sees every older one, and `confirmMs` covers those of the same second.
 * @throws PaiError `CPT_PAI_SUBMIT_UNKNOWN` when it cannot look, with the last error as its cause. Before anything was sent,
 * the error itself.
 */
export async function lookForJobs(submission: Submission): Promise<Found> {
  const { clock, timing, state, deadline } = submission;
  const seen: Sightings = new Map();
  const began = clock.now();
  let reads = 0;
  let sureSince: number | undefined;
  let lastError: unknown;
  for (let round = 0; ; round++) {
    try {
      if (await readOnce(submission, seen)) {
        reads++;
        const open = openAttempts(state.attempts, seen);
        if (state.jobId !== undefined) {
          // It was settled before: one reading shows what has come since.
          await addNamed(submission, [state.jobId], seen);
          if (seen.has(state.jobId)) return { seen, open: openAttempts(state.attempts, seen) };
        } else if (open.length === 0) {
          if (seen.size === 0) return { seen, open };
          sureSince ??= clock.now();
          if (clock.now() - sureSince >= timing.confirmMs) return { seen, open };
        }
        if (reads >= timing.settleReads && clock.now() - began >= timing.settleMs) {
          await addNamed(
            submission,
            open.map(({ jobId }) => jobId),
            seen,
          );
          return { seen, open: openAttempts(state.attempts, seen) };
        }
      }
    } catch (error) {
      submission.signal?.throwIfAborted();
      if (state.attempts.length === 0) throw error;
      const isHopeless = !isPassing(error) || clock.now() - began >= timing.settleMs;
      if (isHopeless && (await areAllNamed(submission, seen))) return { seen, open: [] };
      if (!isPassing(error)) throw unknownOutcome(submission, 'PAI refuses to list jobs', error);
      lastError = error;
    }
    if (clock.now() >= deadline) throw unknownOutcome(submission, 'its time is over', lastError);
    if (sureSince === undefined) await pause(submission, round);
    else await clock.sleep(timing.confirmMs, submission.signal);
  }
}

/** Jobs that PAI has named to us and does not list: absence from a list is not death, so each is asked for by its id. */
async function addNamed(
  submission: Submission,
  jobIds: readonly (string | undefined)[],
  seen: Sightings,
): Promise<void> {
  for (const jobId of jobIds) {
    if (jobId === undefined || seen.has(jobId)) continue;
    const job = await readJob(submission, jobId);
    if (job) seen.set(jobId, job);
  }
}

/** True when PAI has named the job of every call of ours and knows it by its id: enough where the list cannot be had. */
async function areAllNamed(submission: Submission, seen: Sightings): Promise<boolean> {
  const open = openAttempts(submission.state.attempts, seen);
  if (open.some(({ jobId }) => jobId === undefined)) return false;
  const named = open.map(({ jobId }) => jobId);
  await addNamed(submission, named, seen).catch(() => {}); // the list's own error says more
  return seen.size > 0 && openAttempts(submission.state.attempts, seen).length === 0;
}
