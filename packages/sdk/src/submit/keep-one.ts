import { PaiError } from '@pai-cpt/core';
import { isFinalStatus } from '../job-status.ts';
import type { WireJob } from '../pai-wire.ts';
import { readJob, type Sightings } from './look-for-jobs.ts';
import { callWithin, isPassing, note, pause, type Submission, timeOf } from './submission.ts';

/**
 * The one job that stays: the oldest, and of one second the one with the smallest id. It depends on nothing but the jobs
 * themselves, so all who see the same jobs keep the same one; a rule with "mine" in it would let two clients stop each
 * other's job. An ended job counts too: what was stopped by its owner must not be replaced by a late duplicate.
 */
export function chooseJob(seen: Sightings): WireJob | undefined {
  const rank = ({ GmtCreateTime, JobId }: WireJob): string => `${GmtCreateTime} ${JobId}`;
  return [...seen.values()].sort((a, b) => (rank(a) < rank(b) ? -1 : 1))[0];
}

/**
 * Keeps the job that `chooseJob` names and stops the others. Gives it and the ids of those it stopped; `undefined` when the
 * list was stale and the job to keep is not there: nothing is stopped then.
 * @throws PaiError `CPT_PAI_SUBMIT_DUPLICATE` when the deadline comes before all others are seen stopping.
 */
export async function keepOne(
  submission: Submission,
  seen: Sightings,
): Promise<{ job: WireJob; stopped: string[] } | undefined> {
  const chosen = chooseJob(seen);
  if (!chosen) return undefined;
  const others = [...seen.values()].filter(({ JobId, Status }) => JobId !== chosen.JobId && !isFinalStatus(Status));
  const job = others.length === 0 ? chosen : await readJob(submission, chosen.JobId);
  if (!job) return undefined;
  for (const { JobId } of others) {
    const at = timeOf(submission.clock);
    await note(submission, { type: 'duplicate', at, jobId: JobId, keptJobId: job.JobId });
    await stopForSure(submission, JobId, job.JobId);
  }
  return { job, stopped: others.map(({ JobId }) => JobId) };
}

/** Asks until the job is seen stopping or ended. */
async function stopForSure(submission: Submission, jobId: string, keptJobId: string): Promise<void> {
  let lastError: unknown;
  for (let round = 0; submission.clock.now() < submission.deadline; round++) {
    try {
      await callWithin(submission, 'StopJob', { path: { JobId: jobId } });
    } catch (error) {
      submission.signal?.throwIfAborted();
      lastError = error; // it may have ended by itself, and then the refusal says nothing: look
    }
    try {
      const job = await readJob(submission, jobId);
      if (job && (job.Status === 'Stopping' || isFinalStatus(job.Status))) return;
    } catch (error) {
      submission.signal?.throwIfAborted();
      if (!isPassing(error)) break;
      lastError = error;
    }
    await pause(submission, round);
  }
  throw new PaiError(
    'CPT_PAI_SUBMIT_DUPLICATE',
    `job ${jobId} repeats ${keptJobId} and could not be stopped; stop it by hand, or submit again with the same key`,
    { jobId, keptJobId, intentId: submission.intent.intentId },
    { cause: lastError },
  );
}
