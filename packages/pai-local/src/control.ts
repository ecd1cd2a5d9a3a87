import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Admission, machineResource } from './admission.ts';
import { toApiError } from './api-endpoint.ts';
import { ApiError, invalidParameter } from './api-error.ts';
import { type Clock, isVirtual } from './clock.ts';
import { type Faults, parseFaultPlan } from './faults.ts';
import type { JobRunner } from './job-runner.ts';
import { parseBody } from './operations.ts';
import { readBody } from './read-body.ts';

/** Requests to the server itself; nothing of PAI lies here. */
export const CONTROL_PREFIX = '/_local/';

/** What the control requests act on. */
export interface Controlled {
  readonly faults: Faults;
  readonly runner: Pick<JobRunner, 'strike'>;
  readonly clock: Clock;
  readonly admission: Pick<Admission, 'setCapacity'>;
}

/**
 * Answers `GET`, `PUT` and `DELETE /_local/faults` and `POST /_local/pods/<PodId>/kill` and `/preempt`, and
 * `POST /_local/clock {"advanceMs": n}`, and
 * `PUT /_local/stock {"<EcsSpec>": machines or null}`. There is no such path without a control token, and none from another
 * machine: whoever may make a server lie must be told apart from whoever may use it.
 */
export async function handleControlRequest(
  controlled: Controlled,
  controlToken: string | undefined,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  const answer = await control(controlled, controlToken, incoming).then(
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
  { faults, runner, clock, admission }: Controlled,
  controlToken: string | undefined,
  incoming: IncomingMessage,
): Promise<Record<string, unknown>> {
  const isLoopback = /^(::ffff:)?127\.|^::1$/.test(incoming.socket.remoteAddress ?? '');
  const path = incoming.url?.slice(CONTROL_PREFIX.length) ?? '';
  const strike = /^pods\/([\w-]+)\/(kill|preempt)$/.exec(path);
  if (controlToken === undefined || !isLoopback || (!['faults', 'clock', 'stock'].includes(path) && !strike)) {
    throw new ApiError(404, 'NotFound', 'Nothing lies under this path.');
  }
  if (!isSame(incoming.headers.authorization ?? '', `Bearer ${controlToken}`)) {
    throw new ApiError(401, 'Unauthorized', 'Give the control token: Authorization: Bearer <token>.');
  }
  if (strike) {
    const [, podId = '', how] = strike;
    if (incoming.method !== 'POST') throw new ApiError(405, 'MethodNotAllowed', 'POST.');
    if (runner.strike(how as 'kill' | 'preempt', podId)) return { podId };
    throw new ApiError(404, 'PodNotRunning', `No pod ${podId} runs.`);
  }
  if (path === 'stock') {
    if (incoming.method !== 'PUT') throw new ApiError(405, 'MethodNotAllowed', 'PUT.');
    return setStock(admission, parseBody(await readBody(incoming)));
  }
  if (path === 'clock') {
    if (incoming.method === 'POST') await advance(clock, parseBody(await readBody(incoming)).advanceMs);
    else if (incoming.method !== 'GET') throw new ApiError(405, 'MethodNotAllowed', 'GET or POST.');
    return { now: new Date(clock.now()).toISOString() };
  }
  if (incoming.method === 'PUT') faults.set(parseFaultPlan(parseBody(await readBody(incoming))));
  else if (incoming.method === 'DELETE') faults.set({ rules: [] });
  else if (incoming.method !== 'GET') throw new ApiError(405, 'MethodNotAllowed', 'GET, PUT or DELETE.');
  return { faults: faults.counts() };
}

/** Machines of the public pool by type; null: as many as anybody wants. */
function setStock(admission: Controlled['admission'], body: Record<string, unknown>): Record<string, unknown> {
  const wrong = Object.entries(body).find(
    ([, count]) => count !== null && !(Number.isInteger(count) && Number(count) >= 0),
  );
  if (wrong) throw invalidParameter(`${wrong[0]} is ${JSON.stringify(wrong[1])}, not a whole number from 0, or null.`);
  for (const [ecsSpec, count] of Object.entries(body)) {
    admission.setCapacity(machineResource(ecsSpec), count === null ? undefined : Number(count));
  }
  return body;
}

async function advance(clock: Clock, ms: unknown): Promise<void> {
  if (!isVirtual(clock))
    throw new ApiError(409, 'ClockIsReal', 'The clock is real; start the server with --clock virtual.');
  if (typeof ms !== 'number' || !(ms >= 0 && ms <= MOST_ADVANCE_MS)) {
    throw new ApiError(
      400,
      'InvalidParameter',
      `advanceMs is ${JSON.stringify(ms)}, not a number of milliseconds from 0.`,
    );
  }
  await clock.advance(ms);
}

/** A year. */
const MOST_ADVANCE_MS = 366 * 24 * 3_600_000;

/** In constant time, whatever the lengths. */
function isSame(given: string, expected: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(expected));
}
