import { createHash, createHmac } from 'node:crypto';
import { InvalidInputError } from '@pai-cpt/core';
import type { WireCreateJob, WireJob } from '../pai-wire.ts';

/** PAI finds a job by a part of its name; the rest of the mark says that it is really the one. */
export const INTENT_VARIABLE = 'CPT_JOB_ID';
export const INTENT_TAG = 'cpt-intent';
export const ATTEMPT_TAG = 'cpt-attempt';
export const DIGEST_TAG = 'cpt-digest';
export const FORCED_TAG = 'cpt-forced';

/** The schema of a run allows this many characters for its name, and the marked name keeps to it. */
const LONGEST_NAME = 256;
/** Hexadecimal digits of the intent that stand in the display name. */
const NAME_DIGITS = 12;

/** The id of the submission that `key` names: 32 hexadecimal digits, the same on every machine. */
export function intentIdOf(key: string): string {
  return createHash('sha256').update(`pai-cpt submit\n${key}`).digest('hex').slice(0, 32);
}

/**
 * What tells one run from another under the same key. Keyed, because it becomes a tag that others may read while the
 * environment in the body may hold a secret that could be guessed from a plain hash.
 */
export function digestOf(body: WireCreateJob, target: string, key: string): string {
  const text = JSON.stringify([target, sortKeys(body)]);
  return createHmac('sha256', key).update(text).digest('hex').slice(0, 32);
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, item]) => [name, sortKeys(item)]));
}

/** The part of a display name that the jobs of an intent are listed by. */
export function nameMark(intentId: string): string {
  return `-cpt-${intentId.slice(0, NAME_DIGITS)}`;
}

/** The display name with its mark; a long name gives up its end, whole characters only. */
export function markName(name: string, intentId: string): string {
  const mark = nameMark(intentId);
  let kept = '';
  for (const character of name) {
    if (kept.length + character.length + mark.length > LONGEST_NAME) break;
    kept += character;
  }
  return kept + mark;
}

/** What a job is marked with. */
export interface Mark {
  readonly intentId: string;
  readonly digest: string;
  /** Checks that blocked the plan and were overruled. */
  readonly forced: readonly string[];
}

/**
 * The body with the mark in display name, environment and tags.
 * @throws InvalidInputError `CPT_INPUT_INVALID` when the run uses one of these names itself.
 */
export function markJob(body: WireCreateJob, { intentId, digest, forced }: Mark): WireCreateJob {
  const tags = { ...body.Settings?.Tags };
  for (const name of [INTENT_TAG, ATTEMPT_TAG, DIGEST_TAG, FORCED_TAG]) {
    if (Object.hasOwn(tags, name)) throw reserved(`/tags/${name}`);
  }
  if (Object.hasOwn(body.Envs ?? {}, INTENT_VARIABLE)) throw reserved(`/environment/${INTENT_VARIABLE}`);
  tags[INTENT_TAG] = intentId;
  tags[DIGEST_TAG] = digest;
  if (forced.length > 0) tags[FORCED_TAG] = forced.join('.');
  return {
    ...body,
    DisplayName: markName(body.DisplayName, intentId),
    Envs: { ...body.Envs, [INTENT_VARIABLE]: intentId },
    Settings: { ...body.Settings, Tags: tags },
  };
}

function reserved(pointer: string): InvalidInputError {
  return new InvalidInputError(
    'CPT_INPUT_INVALID',
    `${pointer}: is the mark by which a submitted job is found again; choose another name`,
    { field: pointer },
  );
}

/** The body of one call: each says which it is, so that a job tells which call made it. */
export function markAttempt(body: WireCreateJob, attemptId: string): WireCreateJob {
  return { ...body, Settings: { ...body.Settings, Tags: { ...body.Settings?.Tags, [ATTEMPT_TAG]: attemptId } } };
}

/** The tags of a listed job, in whatever shape they come. */
export function tagsOf(job: WireJob): Readonly<Record<string, unknown>> {
  const settings = job.Settings as { Tags?: unknown } | undefined;
  const tags = typeof settings === 'object' && settings !== null ? settings.Tags : undefined;
  return typeof tags === 'object' && tags !== null ? (tags as Record<string, unknown>) : {};
}

/** True for a job of this intent: by the whole id, never by the name, of which a user may have made a copy. */
export function isOfIntent(job: WireJob, intentId: string): boolean {
  const tag = tagsOf(job)[INTENT_TAG];
  if (tag !== undefined) return tag === intentId;
  const environment = job.Envs as Record<string, unknown> | undefined;
  return typeof environment === 'object' && environment !== null && environment[INTENT_VARIABLE] === intentId;
}

/** True when a listed job shows neither tags nor environment, so that only GetJob can tell whose it is. */
export function isUnmarked(job: WireJob): boolean {
  const environment = job.Envs as Record<string, unknown> | undefined;
  return tagsOf(job)[INTENT_TAG] === undefined && environment?.[INTENT_VARIABLE] === undefined;
}

/** True when nobody can tell whose a job is: to take it for another's would be to guess. */
export function hidesMarks(job: WireJob): boolean {
  return job.Settings === undefined && job.Envs === undefined;
}
