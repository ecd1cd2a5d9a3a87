import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { toApiError } from './api-endpoint.ts';
import { ApiError } from './api-error.ts';
import { type Faults, parseFaultPlan } from './faults.ts';
import { parseBody } from './operations.ts';
import { readBody } from './read-body.ts';

/** Requests to the server itself; nothing of PAI lies here. */
export const CONTROL_PREFIX = '/_local/';

/**
 * Answers `GET`, `PUT` and `DELETE /_local/faults`. There is no such path without a control token, and none from another
 * machine: whoever may make a server lie must be told apart from whoever may use it.
 */
export async function handleControlRequest(
  faults: Faults,
  controlToken: string | undefined,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  const answer = await control(faults, controlToken, incoming).then(
    (body) => ({ status: 200, body }),
    (error: unknown) => {
      const { status, code, message } = toApiError(error);
      return { status, body: { Code: code, Message: message } };
    },
  );
  outgoing.writeHead(answer.status, { 'content-type': 'application/json; charset=utf-8' });
  outgoing.end(JSON.stringify(answer.body));
}

async function control(
  faults: Faults,
  controlToken: string | undefined,
  incoming: IncomingMessage,
): Promise<Record<string, unknown>> {
  const isLoopback = /^(::ffff:)?127\.|^::1$/.test(incoming.socket.remoteAddress ?? '');
  if (controlToken === undefined || !isLoopback || incoming.url !== `${CONTROL_PREFIX}faults`) {
    throw new ApiError(404, 'NotFound', 'Nothing lies under this path.');
  }
  if (!isSame(incoming.headers.authorization ?? '', `Bearer ${controlToken}`)) {
    throw new ApiError(401, 'Unauthorized', 'Give the control token: Authorization: Bearer <token>.');
  }
  if (incoming.method === 'PUT') faults.set(parseFaultPlan(parseBody(await readBody(incoming))));
  else if (incoming.method === 'DELETE') faults.set({ rules: [] });
  else if (incoming.method !== 'GET') throw new ApiError(405, 'MethodNotAllowed', 'GET, PUT or DELETE.');
  return { faults: faults.counts() };
}

/** In constant time, whatever the lengths. */
function isSame(given: string, expected: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(expected));
}
