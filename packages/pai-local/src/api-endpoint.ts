import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { describeError } from '@pai-cpt/core/node';
import { ApiError, accessDenied } from './api-error.ts';
import type { Clock } from './clock.ts';
import type { Faults } from './faults.ts';
import { answerWithFaults, type WireAnswer } from './faulty-answer.ts';
import { matchOperation, type Operation } from './operations.ts';
import { readBody } from './read-body.ts';
import type { WireRequest } from './signature.ts';

/** What answers the APIs. */
export interface Endpoint {
  readonly operations: readonly Operation[];
  /** Checks the signature and gives the access key id. */
  readonly verify: (request: WireRequest) => string;
  /** True when the key may not call the action. */
  readonly isDenied: (accessKeyId: string, action: string) => boolean;
  readonly faults: Faults;
  readonly clock: Clock;
}

/** A request as the operations see it: who signed it has been settled. */
export interface PlainRequest {
  readonly method: string;
  readonly url: string;
  readonly action: string;
  readonly version: string;
  readonly body: Uint8Array;
}

/** Answers a request to one of the APIs; unless a fault is at work every answer, also a refusal, is JSON and names its RequestId. */
export async function answerApiRequest(
  endpoint: Endpoint,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  const { method = '', url = '', headers } = incoming;
  const requestId = randomUUID().toUpperCase();
  const answer = await readBody(incoming)
    .then((body) => {
      const accessKeyId = endpoint.verify({ method, url, headers: incoming.rawHeaders, body });
      const action = String(headers['x-acs-action']);
      if (endpoint.isDenied(accessKeyId, action)) throw accessDenied(accessKeyId, action);
      return answerPlainRequest(
        endpoint,
        { method, url, action, version: String(headers['x-acs-version']), body },
        requestId,
      );
    })
    .catch((error: unknown) => toAnswer(requestId, { error }));
  deliver(answer, incoming, outgoing);
}

/** The answer to a request whose signature needs no check. Never rejects. */
export async function answerPlainRequest(
  { operations, faults, clock }: Pick<Endpoint, 'operations' | 'faults' | 'clock'>,
  plain: PlainRequest,
  requestId: string = randomUUID().toUpperCase(),
): Promise<WireAnswer> {
  try {
    const { operation, request } = matchOperation(operations, plain);
    const context = { faults, clock, toAnswer: toAnswer.bind(undefined, requestId) };
    return await answerWithFaults(operation, request, context);
  } catch (error) {
    return toAnswer(requestId, { error });
  }
}

function toAnswer(requestId: string, outcome: { body: Record<string, unknown> } | { error: unknown }): WireAnswer {
  const refusal = 'error' in outcome ? toApiError(outcome.error) : undefined;
  const body = 'body' in outcome ? outcome.body : { Code: refusal?.code, Message: refusal?.message, ...refusal?.more };
  return {
    status: refusal?.status ?? 200,
    contentType: 'application/json; charset=utf-8',
    headers: { 'x-acs-request-id': requestId },
    text: JSON.stringify({ RequestId: requestId, ...body }),
    delivery: 'whole',
    ms: 0,
  };
}

function deliver(answer: WireAnswer, incoming: IncomingMessage, outgoing: ServerResponse): void {
  const { status, delivery, text } = answer;
  if (delivery === 'drop') return void incoming.socket.resetAndDestroy();
  if (delivery === 'hang') {
    const timer = setTimeout(() => incoming.socket.destroy(), Math.min(answer.ms, 2 ** 30));
    return void outgoing.once('close', () => clearTimeout(timer));
  }
  outgoing.writeHead(status, {
    'content-type': answer.contentType,
    ...answer.headers,
    ...(delivery !== 'whole' && { 'content-length': String(Buffer.byteLength(text)) }),
    ...(!incoming.complete && { connection: 'close' }), // the rest of the body is not read
  });
  if (delivery === 'whole') return void outgoing.end(text);
  const half = Buffer.from(text).subarray(0, Buffer.byteLength(text) >> 1);
  if (delivery === 'cut') return void outgoing.write(half, () => incoming.socket.resetAndDestroy());
  writeSlowly(Buffer.from(text), answer.ms, outgoing);
}

/** Eight pieces, so that it takes as long whatever its size. */
function writeSlowly(text: Buffer, pieceMs: number, outgoing: ServerResponse): void {
  const size = Math.max(1, Math.ceil(text.byteLength / 8));
  let at = 0;
  const timer = setInterval(() => {
    outgoing.write(text.subarray(at, at + size));
    at += size;
    if (at < text.byteLength) return;
    clearInterval(timer);
    outgoing.end();
  }, pieceMs);
  outgoing.once('close', () => clearInterval(timer));
}

/** Refusals as they are; anything else is a fault of this program, told to its operator and not to the client. */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  process.stderr.write(`pai-local: ${describeError(error)}\n`);
  return new ApiError(500, 'InternalError', 'The request processing has failed due to some unknown error.');
}
