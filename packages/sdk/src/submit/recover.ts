import { CptError } from '@pai-cpt/core';
import type { PaiTransport } from '../pai-transport.ts';
import { toJobBody } from '../routes/job-body.ts';
import { type CptRunSpecInput, parseRunSpec } from '../run-spec.ts';
import type { Job } from '../schemas.ts';
import { toJob } from '../to-job.ts';
import { close, ensureJob } from './ensure-job.ts';
import { type IntentRecord, type IntentState, isUnspent, readState, type SubmitJournal } from './journal.ts';
import { digestOf, markJob } from './marker.ts';
import type { Submission } from './submission.ts';

/** What became of a submission that was open. */
export interface RecoveredSubmission {
  readonly intentId: string;
  readonly key?: string;
  /**
   * As in `Submission.how`; or `refused`: PAI refused it and nothing is under way; `needs-spec`: no job exists, and creating
   * it takes the environment, which the journal does not keep; `in-flight`: another process works on it; `elsewhere`: it
   * belongs to another endpoint; `failed`: see `error`, and recover again later.
   */
  readonly outcome: 'created' | 'adopted' | 'known' | 'refused' | 'needs-spec' | 'in-flight' | 'elsewhere' | 'failed';
  readonly job?: Job;
  /** Jobs of the same submission that were stopped. */
  readonly stopped: readonly string[];
  readonly error?: unknown;
}

/** How to go on with what an earlier process left. */
export interface RecoverOptions {
  /** Gives a run again whose environment was withheld; `undefined` leaves it. */
  readonly specFor?: (intent: IntentRecord) => CptRunSpecInput | undefined | Promise<CptRunSpecInput | undefined>;
}

/** A call without an answer is looked after for this long; nothing takes longer to be carried out. */
const LOOKED_AFTER_MS = 24 * 3600_000;

/** What `recover` needs of its client. */
export interface RecoverContext {
  readonly target: string;
  readonly workspaceId: string | undefined;
  readonly open: (intent: IntentRecord, state: IntentState, claim: Submission['claim']) => Submission;
}

/** Goes on with every open submission of the journal, one after the other; the failure of one does not keep the others. */
export async function recoverAll(
  journal: SubmitJournal,
  context: RecoverContext,
  options: RecoverOptions,
  signal: AbortSignal | undefined,
): Promise<RecoveredSubmission[]> {
  const results: RecoveredSubmission[] = [];
  const damaged = (intentId: string, error: unknown): void => {
    results.push({ intentId, outcome: 'failed', stopped: [], error });
  };
  for (const { intent } of await journal.open(damaged)) {
    const { intentId } = intent;
    signal?.throwIfAborted();
    const result = await recoverOne(journal, intentId, context, options).catch(
      (error: unknown): RecoveredSubmission => {
        signal?.throwIfAborted();
        const isHeld = CptError.isInstance(error) && error.code === 'CPT_INPUT_SUBMIT_IN_FLIGHT';
        return { intentId, outcome: isHeld ? 'in-flight' : 'failed', stopped: [], error };
      },
    );
    if (result) results.push(result);
  }
  return results;
}

async function recoverOne(
  journal: SubmitJournal,
  intentId: string,
  context: RecoverContext,
  { specFor }: RecoverOptions,
): Promise<RecoveredSubmission | undefined> {
  const claim = await journal.claim(intentId, { isPatient: false });
  try {
    const state = readState(claim.records);
    const { intent } = state;
    if (!intent || state.isClosed) return undefined; // finished by its own process meanwhile
    const about = { intentId, ...(intent.key === undefined ? {} : { key: intent.key }), stopped: [] };
    if (intent.target !== context.target) return { ...about, outcome: 'elsewhere' };
    const submission = context.open(intent, state, claim);
    if (state.attempts.length > 0 && isUnspent(state)) {
      await close(submission);
      return { ...about, outcome: 'refused' };
    }
    const submitted = await ensureJob(submission, await bodyOf(intent, submission.pai, context, specFor));
    if (!submitted) return { ...about, outcome: 'needs-spec' };
    if (isOver(submission)) await close(submission);
    return { ...about, outcome: submitted.how, job: toJob(submitted.job), stopped: submitted.stopped };
  } finally {
    await claim.release();
  }
}

async function bodyOf(
  intent: IntentRecord,
  pai: PaiTransport,
  { workspaceId, target }: RecoverContext,
  specFor: RecoverOptions['specFor'],
) {
  if (intent.withheld.length === 0) return intent.request;
  const spec = await specFor?.(intent);
  if (!spec) return undefined;
  const body = await toJobBody(pai, parseRunSpec(spec), workspaceId);
  const isSame = digestOf(body, target, intent.key ?? intent.intentId) === intent.digest;
  return isSame ? markJob(body, intent) : undefined;
}

/** True when the last call is so old that no job of it can come any more. */
function isOver({ state, clock }: Submission): boolean {
  const last = Date.parse(state.attempts.at(-1)?.at ?? '');
  return !(clock.now() - last < LOOKED_AFTER_MS);
}
