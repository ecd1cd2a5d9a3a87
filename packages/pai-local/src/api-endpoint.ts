import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { describeError } from '@pai-cpt/core/node';
import { ApiError, invalidParameter } from './api-error.ts';
import { matchOperation, type Operation } from './operations.ts';
import type { WireRequest } from './signature.ts';

const MAX_BODY_BYTES = 1024 * 1024;

/** Answers a request to one of the APIs; every answer, also a refusal, is JSON and names its RequestId. */
export async function answerApiRequest(
  operations: readonly Operation[],
  verify: (request: WireRequest) => void,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  const requestId = randomUUID().toUpperCase();
  const { status, body } = await operate(operations, verify, incoming).catch((error: unknown) => {
    const refusal = toApiError(error);
    return { status: refusal.status, body: { Code: refusal.code, Message: refusal.message } };
  });
  outgoing.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'x-acs-request-id': requestId,
    ...(!incoming.complete && { connection: 'close' }), // the rest of the body is not read
  });
  outgoing.end(JSON.stringify({ RequestId: requestId, ...body }));
}

async function operate(
  operations: readonly Operation[],
  verify: (request: WireRequest) => void,
  incoming: IncomingMessage,
): Promise<{ status: number; body: Record<string, unknown> }> {
  const { method = '', url = '', headers } = incoming;
  const body = await readBody(incoming);
  verify({ method, url, headers: incoming.rawHeaders, body });
  const { operation, request } = matchOperation(operations, {
    method,
    url,
    action: String(headers['x-acs-action']),
    version: String(headers['x-acs-version']),
    body,
  });
  return { status: 200, body: await operation.handle(request) };
}

/** By events, not by iteration: leaving a `for await` early would destroy the socket that the refusal goes out on. */
function readBody(incoming: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    incoming.on('data', (chunk: Buffer) => {
      bytes += chunk.byteLength;
      if (bytes <= MAX_BODY_BYTES) chunks.push(chunk);
      else {
        incoming.pause();
        reject(invalidParameter(`The body has more than ${MAX_BODY_BYTES} bytes.`));
      }
    });
    incoming.on('end', () => resolve(Buffer.concat(chunks)));
    incoming.on('error', () => reject(invalidParameter('The body ended early.')));
  });
}

/** Refusals as they are; anything else is a fault of this program, told to its operator and not to the client. */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  process.stderr.write(`pai-local: ${describeError(error)}\n`);
  return new ApiError(500, 'InternalError', 'The request processing has failed due to some unknown error.');
}
