import { randomBytes } from 'node:crypto';
import { InvalidInputError, WaitTimeoutError } from '@pai-cpt/core';
import type { PaiTransport } from './pai-transport.ts';
import type { WireCreateJob } from './pai-wire.ts';
import { planRun } from './plan/plan.ts';
import type { PlanFacts } from './plan/plan-facts.ts';
import { type Clock, systemClock } from './poll.ts';
import { checkJobSize } from './routes/dlc.ts';
import { toJobBody, transportFor } from './routes/job-body.ts';
import { type CptRunSpecInput, parseRunSpec } from './run-spec.ts';
import type { Finding, Job } from './schemas.ts';
import { ensureJob, type Submitted } from './submit/ensure-job.ts';
import { type IntentRecord, isUnspent, readState, type SubmitJournal } from './submit/journal.ts';
import { digestOf, intentIdOf, markJob } from './submit/marker.ts';
import { type RecoveredSubmission, type RecoverOptions, recoverAll } from './submit/recover.ts';
import { note, SUBMIT_TIMING, type Submission, type SubmitTiming, timeOf } from './submit/submission.ts';
import { toJob } from './to-job.ts';

/** How patiently to submit. */
export interface SubmitPatience {
  /** For everything together; by default 15 minutes. */
  timeoutMs?: number | undefined;
  timing?: Partial<SubmitTiming> | undefined;
  signal?: AbortSignal | undefined;
}

/** How to submit. */
export interface SubmitOptions extends SubmitPatience {
  /**
   * A text of your choice that names this run. The same key gives the same job, however often and from wherever it is
   * submitted. Without one the submission gets a random id: two equal runs may both be wanted, so the content is no key.
   */
  key?: string | undefined;
  /** Where it is written down. By default in memory: a lost answer is dealt with, the end of this process is not. */
  journal?: SubmitJournal | undefined;
  /** Submit although the plan is blocked; the journal and a tag of the job tell which checks were overruled. */
  force?: boolean | undefined;
  /** What is known of the dataset, for the plan. */
  facts?: PlanFacts | undefined;
}

/** A job, and how the submission came to it. */
export interface SubmittedJob extends Job {
  readonly submission: {
    readonly intentId: string;
    readonly key?: string;
    readonly how: Submitted['how'];
    /** Jobs of the same submission that were stopped because this one is older. */
    readonly stopped: readonly string[];
  };
}

/** The client that submits. */
export interface Submitter {
  readonly pai: PaiTransport;
  readonly workspaceId: string | undefined;
  /** The endpoint or region, so that a journal is never carried out on another PAI. */
  readonly target: string;
  readonly journal: SubmitJournal;
  readonly clock?: Clock | undefined;
  readonly random?: (() => number) | undefined;
}

const TIMEOUT_MS = 15 * 60_000;

/**
 * Plans the run, then makes sure that its job exists, once: see docs/decisions/0007-exactly-once.md. What is wanted is
 * written to the journal before PAI is called; a call without an answer is followed by a search for the job, never by another
 * call, until the search has been in vain for the settle time.
 * @throws InvalidInputError `CPT_INPUT_INVALID`, `CPT_INPUT_PLAN_BLOCKED` with the blocking findings in `details.findings`,
 * `CPT_INPUT_JOB_TOO_LARGE`, `CPT_INPUT_SUBMIT_KEY_REUSED`, `CPT_INPUT_SUBMIT_IN_FLIGHT`, `CPT_INPUT_SUBMIT_FENCED`.
 * PaiError `CPT_PAI_SUBMIT_UNKNOWN` when the job may exist and cannot be found or ruled out, `CPT_PAI_SUBMIT_DUPLICATE`; the
 * same key continues both. Any other PaiError: nothing was created.
 */
export async function submitJob(
  submitter: Submitter,
  value: CptRunSpecInput,
  { force = false, facts = {}, ...options }: SubmitOptions = {},
): Promise<SubmittedJob> {
  requireKey(options.key);
  const spec = parseRunSpec(value);
  const { isBlocked, findings } = planRun(spec, facts);
  const blocking = findings.filter(({ level }) => level === 'block');
  if (isBlocked && !force) throw planBlocked(blocking);
  const body = await toJobBody(submitter.pai, spec, submitter.workspaceId, { signal: options.signal });
  const forced = blocking.map(({ check }) => check);
  return submitBody(submitter, { body, forced, withheld: Object.keys(spec.environment ?? {}) }, options);
}

/** A job to submit, before it is marked. */
export interface UnmarkedJob {
  readonly body: WireCreateJob;
  /** Checks that blocked its plan and were overruled. */
  readonly forced: readonly string[];
  /** Names of the environment variables whose values the journal must not hold. */
  readonly withheld: readonly string[];
}

/** Makes sure that the job of `unmarked` exists, once. @throws What `submitJob` throws, but for the plan. */
export async function submitBody(
  submitter: Submitter,
  { body: unmarked, forced, withheld }: UnmarkedJob,
  { key, journal = submitter.journal, ...patience }: Omit<SubmitOptions, 'force' | 'facts'> = {},
): Promise<SubmittedJob> {
  requireKey(key);
  const intentId = key === undefined ? randomBytes(16).toString('hex') : intentIdOf(key);
  const digest = digestOf(unmarked, submitter.target, key ?? intentId);
  const body = markJob(unmarked, { intentId, digest, forced });
  checkJobSize(body);

  const open = opener(submitter, patience);
  const { clock = systemClock } = submitter;
  const began = clock.now();
  const claim = await claimWithin(journal, intentId, clock, patience);
  try {
    const state = readState(claim.records);
    const { intent } = state;
    const isSame = intent?.digest === digest;
    if (intent && !isSame && !isUnspent(state)) throw keyReused(intent);
    const wanted = isSame ? intent : toIntent({ intentId, key, digest, forced }, body, withheld, submitter);
    const submission = open(wanted, state, claim, began);
    if (!isSame) await note(submission, wanted);
    const submitted = await ensureJob(submission, body);
    if (!submitted) throw new Error('a submission with a body always ends with a job');
    const { how, stopped } = submitted;
    const named = key === undefined ? { intentId } : { intentId, key };
    return { ...toJob(submitted.job), submission: { ...named, how, stopped } };
  } finally {
    await claim.release();
  }
}

/** Goes on with every submission that the journal holds open. Never fails for one of them: each result tells. */
export function recoverJobs(
  submitter: Submitter,
  journal: SubmitJournal,
  { specFor, ...patience }: RecoverOptions & SubmitPatience = {},
): Promise<RecoveredSubmission[]> {
  const { target, workspaceId } = submitter;
  const context = { target, workspaceId, open: opener(submitter, patience) };
  return recoverAll(journal, context, specFor ? { specFor } : {}, patience.signal);
}

type Open = (
  intent: IntentRecord,
  state: Submission['state'],
  claim: Submission['claim'],
  began?: number,
) => Submission;

function opener({ pai, clock = systemClock, random = Math.random }: Submitter, patience: SubmitPatience): Open {
  const timing = { ...SUBMIT_TIMING, ...patience.timing };
  return (intent, state, claim, began = clock.now()) => {
    const deadline = began + (patience.timeoutMs ?? TIMEOUT_MS);
    return {
      pai: transportFor(pai, intent.request),
      clock,
      random,
      timing,
      deadline,
      signal: patience.signal,
      claim,
      state,
      intent,
    };
  };
}

/** Takes the intent, and waits for another holder as long as the submission may take. */
async function claimWithin(
  journal: SubmitJournal,
  intentId: string,
  clock: Clock,
  { timeoutMs = TIMEOUT_MS, signal }: SubmitPatience,
): Promise<Submission['claim']> {
  const late = new AbortController();
  const done = new AbortController();
  void clock.sleep(timeoutMs, done.signal).then(
    () =>
      late.abort(
        new WaitTimeoutError('CPT_WAIT_TIMEOUT', `submission ${intentId} was held by another for ${timeoutMs} ms`, {
          intentId,
        }),
      ),
    () => {},
  );
  try {
    return await journal.claim(intentId, { signal: signal ? AbortSignal.any([signal, late.signal]) : late.signal });
  } finally {
    done.abort();
  }
}

function toIntent(
  { key, ...mark }: { intentId: string; key: string | undefined; digest: string; forced: readonly string[] },
  body: WireCreateJob,
  withheld: readonly string[],
  { clock = systemClock, target }: Submitter,
): IntentRecord {
  const environment = Object.entries(body.Envs ?? {}).filter(([name]) => !withheld.includes(name));
  return {
    type: 'intent',
    at: timeOf(clock),
    ...mark,
    ...(key === undefined ? {} : { key }),
    target,
    request: { ...body, Envs: Object.fromEntries(environment) },
    withheld: [...withheld],
  };
}

function requireKey(key: string | undefined): void {
  if (key === undefined || /^[\x20-\x7e]{1,255}$/.test(key)) return;
  throw new InvalidInputError('CPT_INPUT_INVALID', 'key: give 1 to 255 printable ASCII characters', { field: 'key' });
}

function keyReused(found: IntentRecord): InvalidInputError {
  return new InvalidInputError(
    'CPT_INPUT_SUBMIT_KEY_REUSED',
    `the key "${found.key}" was used at ${found.at} for another run ("${found.request.DisplayName}" on ${found.target}); choose another key`,
    { key: found.key, intentId: found.intentId, field: 'key' },
  );
}

function planBlocked(findings: readonly Finding[]): InvalidInputError {
  const reasons = findings.map(({ check, message, advice }) => `${check}: ${message}${advice ? ` (${advice})` : ''}`);
  return new InvalidInputError('CPT_INPUT_PLAN_BLOCKED', `the plan is blocked: ${reasons.join('; ')}`, { findings });
}
