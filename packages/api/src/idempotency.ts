import { createHash } from 'node:crypto';
import { CptError, InvalidInputError } from '@pai-cpt/core';
import type { FastifyReply } from 'fastify';
import type { ClaimedKey, IdempotencyKeys, KeyedRequest, StoredAnswer } from './db/idempotency-keys.ts';

/** An answer before it is serialised. */
export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: { [name: string]: unknown };
}

/**
 * Sends what `work` answers. With a key the work is done once: an equal request gets the stored answer, byte by byte,
 * marked `Idempotency-Replayed: true`. The answer of a failure that surely changed nothing is not kept, so that the
 * request may come again; after any other failure nobody may try again under the key, because PAI has no client token
 * and a second attempt could start a second job.
 * @throws InvalidInputError `CPT_INPUT_IDEMPOTENCY_KEY_REUSED`, `…_IN_FLIGHT` or `…_UNKNOWN`.
 */
export async function answerOnce(
  keys: IdempotencyKeys,
  request: Omit<KeyedRequest, 'key'> & { readonly key: string | undefined },
  reply: FastifyReply,
  work: () => Promise<Answer>,
): Promise<FastifyReply> {
  const { key } = request;
  if (key === undefined) return sendStored(reply, serialize(reply, await work()));
  const claim = await keys.claim({ ...request, key });
  switch (claim.outcome) {
    case 'claimed':
      return sendStored(reply, await workUnder(claim, reply, work));
    case 'answered':
      return sendStored(reply.header('idempotency-replayed', 'true'), claim.answer);
    case 'other-request':
      throw new InvalidInputError(
        'CPT_INPUT_IDEMPOTENCY_KEY_REUSED',
        `Idempotency-Key ${key} belongs to another request; use a new key for a new request`,
      );
    case 'in-flight':
      throw new InvalidInputError(
        'CPT_INPUT_IDEMPOTENCY_IN_FLIGHT',
        `a request with Idempotency-Key ${key} is being worked on; ask again for its answer`,
      );
    case 'unknown':
      throw new InvalidInputError(
        'CPT_INPUT_IDEMPOTENCY_UNKNOWN',
        `an earlier request with Idempotency-Key ${key} may have been carried out, its answer was lost; look in GET /v1/jobs, and use a new key if it was not`,
      );
  }
}

async function workUnder(claim: ClaimedKey, reply: FastifyReply, work: () => Promise<Answer>): Promise<StoredAnswer> {
  let answer: StoredAnswer;
  try {
    answer = serialize(reply, await work());
  } catch (error) {
    const end = didNothing(error) ? claim.forget() : claim.abandon();
    await end.catch((lost) => reply.log.error({ err: lost }, 'the idempotency key could not be given back'));
    throw error;
  }
  // The work is done and its answer is true, whether or not it can be kept; without it the key counts as unknown.
  await claim.complete(answer).catch((lost) => reply.log.error({ err: lost }, 'the answer could not be kept'));
  return answer;
}

/** True when PAI surely did nothing: it refused, or was never reached. */
function didNothing(error: unknown): boolean {
  if (!CptError.isInstance(error)) return false;
  const { code, httpStatus, details } = error;
  const wasReached = !['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN'].includes(String(details.systemCode));
  return httpStatus < 500 || httpStatus === 501 || code === 'CPT_PAI_SIGNATURE' || !wasReached;
}

function serialize(reply: FastifyReply, { status, headers = {}, body }: Answer): StoredAnswer {
  return { status, headers, body: reply.serializeInput(body, String(status), 'application/json') as string };
}

function sendStored(reply: FastifyReply, { status, headers, body }: StoredAnswer): FastifyReply {
  return reply.code(status).headers(headers).type('application/json; charset=utf-8').send(body);
}

/** Equal for requests that are equal as JSON: the order of keys does not count. */
export function fingerprintOf(request: unknown): string {
  return createHash('sha256')
    .update(JSON.stringify(sortKeys(request)))
    .digest('hex');
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (typeof value !== 'object' || value === null) return value;
  // As pairs below one name: an object would move keys that look like numbers, and swallow `__proto__`.
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return { entries: entries.map(([name, item]) => [name, sortKeys(item)]) };
}
