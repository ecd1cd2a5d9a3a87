import type { WireCreateJob } from '../pai-wire.ts';

/** What is to be submitted, written before PAI is asked for anything. A later one replaces an earlier of which nothing came. */
export interface IntentRecord {
  readonly type: 'intent';
  readonly at: string;
  readonly intentId: string;
  readonly key?: string;
  /** The endpoint or region that the job belongs to. */
  readonly target: string;
  readonly digest: string;
  /** The marked body of CreateJob, without the values of the run's own environment: they may be secrets. */
  readonly request: WireCreateJob;
  /** Names of the variables that are left out of `request`. */
  readonly withheld: readonly string[];
  /** Checks that blocked the plan and were overruled. */
  readonly forced: readonly string[];
}

/** One line of the journal of an intent. */
export type JournalRecord =
  | IntentRecord
  /** A CreateJob is about to be sent. Until one of the next two follows, the job may or may not exist. */
  | { readonly type: 'create'; readonly at: string; readonly attemptId: string }
  | { readonly type: 'answer'; readonly at: string; readonly attemptId: string; readonly jobId: string }
  /** PAI refused, or was not reached: this call made no job. */
  | { readonly type: 'refused'; readonly at: string; readonly attemptId: string; readonly code: string }
  /** A second job of the intent is about to be stopped. */
  | { readonly type: 'duplicate'; readonly at: string; readonly jobId: string; readonly keptJobId: string }
  /** The job of the intent. A later one takes the place of an earlier. */
  | { readonly type: 'job'; readonly at: string; readonly jobId: string; readonly how: 'created' | 'adopted' }
  /** As the last record: nothing is under way. */
  | { readonly type: 'closed'; readonly at: string };

/** An intent, held by one caller. */
export interface JournalClaim {
  /** What was written so far, oldest first. */
  readonly records: readonly JournalRecord[];
  /**
   * Adds a record, which is safe from a crash when this resolves.
   * @throws InvalidInputError `CPT_INPUT_SUBMIT_FENCED` when another caller has taken the intent since.
   */
  append(record: JournalRecord): Promise<void>;
  /** Lets go. Safe to call twice. */
  release(): Promise<void>;
}

/**
 * Where submissions are written down so that a crash cannot forget one. The file journal of `@pai-cpt/sdk/node` keeps them
 * in a directory; a service keeps them in its database. An implementation must give an intent to one caller at a time, and
 * when it takes an intent from a caller (a lease that ran out), refuse that caller's later appends.
 */
export interface SubmitJournal {
  /**
   * Takes the intent, and waits while another caller holds it. With `isPatient` false it does not wait.
   * @throws InvalidInputError `CPT_INPUT_SUBMIT_IN_FLIGHT` when it did not wait; the signal's reason when it waited too long.
   */
  claim(intentId: string, options?: { signal?: AbortSignal; isPatient?: boolean }): Promise<JournalClaim>;
  /**
   * The intents whose last record is not `closed`. One whose first record never came to the disk was never sent.
   * @param onDamaged is told of an intent that cannot be read, and the others are still found; without it that is thrown.
   */
  open(onDamaged?: (intentId: string, error: unknown) => void): Promise<OpenIntent[]>;
}

/** An intent of which something is under way. With a `jobId` it has its job, and only a late repetition may still come. */
export interface OpenIntent {
  readonly intent: IntentRecord;
  readonly jobId?: string;
}

/** One call of CreateJob, as far as the journal knows. */
export interface Attempt {
  readonly attemptId: string;
  readonly at: string;
  jobId?: string;
  isRefused: boolean;
}

/** What the records of an intent add up to. */
export interface IntentState {
  intent?: IntentRecord;
  readonly attempts: Attempt[];
  jobId?: string;
  /** Nothing is under way. */
  isClosed: boolean;
}

/** Takes one more record into account. */
export function applyRecord(state: IntentState, record: JournalRecord): void {
  const attempt = 'attemptId' in record && state.attempts.find(({ attemptId }) => attemptId === record.attemptId);
  if (record.type === 'intent') state.intent = record;
  else if (record.type === 'create') {
    state.attempts.push({ attemptId: record.attemptId, at: record.at, isRefused: false });
  } else if (record.type === 'answer' && attempt) attempt.jobId = record.jobId;
  else if (record.type === 'refused' && attempt) attempt.isRefused = true;
  else if (record.type === 'job') state.jobId = record.jobId;
  state.isClosed = record.type === 'closed';
}

/** True while the key is still free for another run: nothing was sent, or PAI refused all of it. */
export function isUnspent({ attempts, jobId }: IntentState): boolean {
  return jobId === undefined && attempts.every(({ isRefused }) => isRefused);
}

/** The state after `records`. */
export function readState(records: readonly JournalRecord[]): IntentState {
  const state: IntentState = { attempts: [], isClosed: false };
  for (const record of records) applyRecord(state, record);
  return state;
}

/** The intent of these records, unless nothing of it is under way. */
export function openIntent(records: readonly JournalRecord[]): OpenIntent | undefined {
  const { intent, isClosed, jobId } = readState(records);
  return isClosed || !intent ? undefined : { intent, ...(jobId !== undefined && { jobId }) };
}
