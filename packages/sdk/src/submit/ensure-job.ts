import { randomBytes } from 'node:crypto';
import { CptError, InvalidInputError, PaiError } from '@pai-cpt/core';
import type { WireCreateJob, WireJob } from '../pai-wire.ts';
import { keepOne } from './keep-one.ts';
import { type Found, lookForJobs } from './look-for-jobs.ts';
import { DIGEST_TAG, markAttempt, tagsOf } from './marker.ts';
import { callWithin, mayHaveActed, note, pause, type Submission, timeOf, unknownOutcome } from './submission.ts';

/** How a submission came to its job. */
export interface Submitted {
  readonly job: WireJob;
  /**
   * `created`: by a call of this submission that was answered. `adopted`: found in PAI, where a call without an answer or
   * another client had made it. `known`: the journal had it already.
   */
  readonly how: 'created' | 'adopted' | 'known';
  /** Jobs of the same intent that were stopped now. */
  readonly stopped: readonly string[];
}

/**
 * The one job of the intent, whatever happened before: found, or created and then found. `body` gives the marked body;
 * `undefined` when it is not to be created.
 */
export async function ensureJob(
  submission: Submission,
  body: WireCreateJob | undefined,
): Promise<Submitted | undefined> {
  const { state, intent, timing, clock, signal } = submission;
  // Nobody else can know an intent without a key, and nothing was sent yet: there is nothing to look for.
  let mayBeThere = intent.key !== undefined || state.attempts.length > 0;
  const answered = new Set<string>();
  for (let round = 0, creates = 0; ; round++) {
    signal?.throwIfAborted();
    if (mayBeThere) {
      const submitted = await settle(submission, await lookForJobs(submission), answered);
      if (submitted) return submitted;
      if (submitted === null) {
        if (clock.now() >= submission.deadline)
          throw unknownOutcome(submission, 'its job is listed and cannot be read');
        await pause(submission, round);
        continue;
      }
    }
    if (!body) return undefined;
    if (creates++ === timing.mostCreates) {
      throw unknownOutcome(submission, `${timing.mostCreates} calls of CreateJob had no answer and left no job`);
    }
    if (clock.now() >= submission.deadline) throw unknownOutcome(submission, 'its time is over');
    const jobId = await createOnce(submission, body);
    if (jobId !== undefined) answered.add(jobId);
    mayBeThere = true;
  }
}

/** `null` when the list was stale and must be read again; `undefined` when there is no job and none can come. */
async function settle(
  submission: Submission,
  { seen, open }: Found,
  answered: ReadonlySet<string>,
): Promise<Submitted | null | undefined> {
  const { state, clock, intent } = submission;
  const kept = await keepOne(submission, seen);
  if (!kept) {
    if (seen.size > 0) return null;
    if (state.jobId !== undefined) {
      throw new PaiError('CPT_PAI_NOT_FOUND', `job ${state.jobId} of "${intent.request.DisplayName}" was deleted`, {
        jobId: state.jobId,
        intentId: intent.intentId,
      });
    }
    const lost = open.find(({ jobId }) => jobId !== undefined);
    if (lost) throw unknownOutcome(submission, `PAI named job ${lost.jobId} and then knew nothing of it`);
    return undefined;
  }
  const { job, stopped } = kept;
  const digest = tagsOf(job)[DIGEST_TAG];
  if (digest !== undefined && digest !== intent.digest) throw keyReused(submission, job);
  const how = state.jobId === job.JobId ? 'known' : answered.has(job.JobId) ? 'created' : 'adopted';
  if (how !== 'known') await note(submission, { type: 'job', at: timeOf(clock), jobId: job.JobId, how });
  if (open.length === 0) await close(submission);
  return { job, how, stopped };
}

function keyReused({ intent }: Submission, job: WireJob): InvalidInputError {
  return new InvalidInputError(
    'CPT_INPUT_SUBMIT_KEY_REUSED',
    `the key "${intent.key}" belongs to job ${job.JobId} ("${job.DisplayName}"), which is another run; choose another key`,
    { key: intent.key, intentId: intent.intentId, jobId: job.JobId, field: 'key' },
  );
}

/**
 * One CreateJob, written down before and after. The id of the job, or `undefined` when nobody knows what became of the call.
 * @throws PaiError what PAI refused it with.
 */
async function createOnce(submission: Submission, body: WireCreateJob): Promise<string | undefined> {
  const { clock, signal, state } = submission;
  const attemptId = `${state.attempts.length + 1}-${randomBytes(4).toString('hex')}`;
  await note(submission, { type: 'create', at: timeOf(clock), attemptId });
  let jobId: unknown;
  try {
    jobId = (await callWithin(submission, 'CreateJob', { body: markAttempt(body, attemptId) })).JobId;
  } catch (error) {
    signal?.throwIfAborted();
    if (mayHaveActed(error)) return undefined;
    const code = CptError.isInstance(error) ? error.code : 'CPT_PAI_REJECTED';
    await note(submission, { type: 'refused', at: timeOf(clock), attemptId, code });
    if (state.attempts.every(({ isRefused }) => isRefused)) await close(submission);
    throw error;
  }
  if (typeof jobId !== 'string' || jobId === '') return undefined; // 200 with something else in it
  await note(submission, { type: 'answer', at: timeOf(clock), attemptId, jobId });
  return jobId;
}

/** Says in the journal that nothing is under way. */
export async function close(submission: Submission): Promise<void> {
  if (!submission.state.isClosed) await note(submission, { type: 'closed', at: timeOf(submission.clock) });
}
