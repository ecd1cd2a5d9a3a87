import { CptError, PaiError } from '@pai-cpt/core';
import type { PaiInput, PaiTransport } from '../pai-transport.ts';
import type { PaiAction, PaiCalls } from '../pai-wire.ts';
import type { Clock } from '../poll.ts';
import { applyRecord, type IntentRecord, type IntentState, type JournalClaim, type JournalRecord } from './journal.ts';

/** How long to look before a job counts as not created, and how long one call may take. */
export interface SubmitTiming {
  /** A list must have been without the job for this long before the job is created again. */
  readonly settleMs: number;
  /** And in this many whole readings. */
  readonly settleReads: number;
  /** Between the first sight of the job and the reading that decides. More than the second that PAI's times are rounded to. */
  readonly confirmMs: number;
  readonly firstPollMs: number;
  readonly longestPollMs: number;
  /** The deadline of one call, its repetitions included. */
  readonly callMs: number;
  /** How often a create of unknown outcome may be followed by another, in one go. */
  readonly mostCreates: number;
}

export const SUBMIT_TIMING: SubmitTiming = {
  settleMs: 120_000,
  settleReads: 5,
  confirmMs: 1500,
  firstPollMs: 1000,
  longestPollMs: 15_000,
  callMs: 60_000,
  mostCreates: 3,
};

/** A submission being worked on: an intent that is held, and what there is to work with. */
export interface Submission {
  readonly pai: PaiTransport;
  readonly clock: Clock;
  readonly random: () => number;
  readonly timing: SubmitTiming;
  /** Milliseconds since 1970; no call is begun after it. */
  readonly deadline: number;
  readonly signal: AbortSignal | undefined;
  readonly claim: JournalClaim;
  readonly state: IntentState;
  readonly intent: IntentRecord;
}

/** Writes a record and takes it into account, in this order. */
export async function note(submission: Submission, record: JournalRecord): Promise<void> {
  await submission.claim.append(record);
  applyRecord(submission.state, record);
}

/** Now, as a record carries it. */
export const timeOf = (clock: Clock): string => new Date(clock.now()).toISOString();

/** A call that ends, by its own deadline if by nothing else: a body that drips for ever keeps a read timeout from firing. */
export async function callWithin<Action extends PaiAction>(
  { pai, clock, timing, deadline, signal }: Submission,
  action: Action,
  input: PaiInput<Action>,
): Promise<PaiCalls[Action]['answer']> {
  const limit = Math.max(1, Math.min(timing.callMs, deadline - clock.now()));
  const late = new AbortController();
  const done = new AbortController();
  void clock.sleep(limit, done.signal).then(
    () => late.abort(new PaiError('CPT_PAI_TIMEOUT', `${action}: no answer within ${limit} ms`, { action })),
    () => {},
  );
  try {
    return await pai.call(action, input, { signal: signal ? AbortSignal.any([signal, late.signal]) : late.signal });
  } finally {
    done.abort();
  }
}

/** Waits for the `round`th time, longer each time, and never past the deadline. */
export function pause({ clock, timing, random, deadline, signal }: Submission, round: number): Promise<void> {
  const bound = Math.min(timing.longestPollMs, timing.firstPollMs * 1.5 ** round);
  const left = Math.max(0, deadline - clock.now());
  return clock.sleep(Math.min(left, bound * (0.75 + random() * 0.5)), signal);
}

/** The refusal to guess: the job may or may not exist, and the deadline is here. */
export function unknownOutcome({ intent }: Submission, why: string, cause?: unknown): PaiError {
  const again = intent.key === undefined ? 'recover the journal' : `submit again with the key "${intent.key}"`;
  const details = { intentId: intent.intentId, displayName: intent.request.DisplayName, key: intent.key };
  return new PaiError(
    'CPT_PAI_SUBMIT_UNKNOWN',
    `whether the job "${details.displayName}" exists is not known: ${why}; ${again}, which looks for it first`,
    details,
    cause === undefined ? {} : { cause },
  );
}

const NEVER_SENT = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN']);

/** True when PAI may have carried out the call that failed so. Only an answer that refuses, or no connection, says it has not. */
export function mayHaveActed(error: unknown): boolean {
  if (!CptError.isInstance(error)) return true;
  if (NEVER_SENT.has(String(error.details.systemCode))) return false;
  return error.code === 'CPT_PAI_UNAVAILABLE' || error.code === 'CPT_PAI_TIMEOUT';
}

/** True for a failure to look that may pass: outages, and a session token that is about to be renewed. */
export function isPassing(error: unknown): boolean {
  return CptError.isInstance(error) && (error.isRetryable || error.code === 'CPT_PAI_SIGNATURE');
}
