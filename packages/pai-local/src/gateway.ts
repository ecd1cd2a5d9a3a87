import { createHash, timingSafeEqual } from 'node:crypto';
import { request as forward, type IncomingMessage, type ServerResponse } from 'node:http';
import { ApiError } from './api-error.ts';
import type { createTraffic, Destination } from './service-traffic.ts';

/** Requests under this path belong to services, not to an API. */
export const GATEWAY_PREFIX = '/api/predict/';

/** A service that says nothing for so long is given up; a long generation sends something before. */
const SILENCE_LIMIT_MS = 10 * 60_000;
/** These belong to one connection, not to the message (RFC 9110, 7.6.1). */
const HOP_HEADERS = ['connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade'];

/**
 * Passes a request on to its service, or to one of its group, and the answer back, both as streams. The gateway itself answers 404
 * for an unknown service, 401 for a missing or wrong token, and 503 while the service is not up.
 */
export function handleGatewayRequest(
  traffic: ReturnType<typeof createTraffic>,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): void {
  const [, name = '', rest = ''] = /^\/api\/predict\/([^/?]+)(.*)$/.exec(incoming.url ?? '') ?? [];
  const destination = traffic.find(name);
  const port =
    destination && isAuthorized(incoming.headers.authorization, destination.accessToken) && destination.port();
  if (!destination) {
    refuse(outgoing, new ApiError(404, 'ServiceNotFound', `There is no service "${name}".`));
  } else if (port === false) {
    refuse(outgoing, new ApiError(401, 'Unauthorized', `The Authorization header has not the token of ${name}.`));
  } else if (port === undefined) {
    refuse(outgoing, noInstance(destination));
  } else {
    pass(port, rest.startsWith('/') ? rest : `/${rest}`, incoming, outgoing, () => noInstance(destination));
  }
}

const noInstance = ({ name, status }: Destination): ApiError =>
  new ApiError(503, 'ServiceUnavailable', `No instance of ${name} takes requests now; it is ${status}.`);

/** EAS takes the bare token; stock OpenAI clients put `Bearer` before what they are given as a key. */
function isAuthorized(header: string | undefined, token: string): boolean {
  const given = header?.replace(/^Bearer +/i, '').trim() ?? '';
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(token));
}

function pass(
  port: number,
  path: string,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  unavailable: () => ApiError,
): void {
  const upstream = forward({
    host: '127.0.0.1',
    port,
    path,
    method: incoming.method,
    headers: withoutHopHeaders(incoming.headers),
    agent: false,
    timeout: SILENCE_LIMIT_MS,
  });
  upstream.on('response', (response) => {
    outgoing.writeHead(response.statusCode ?? 502, withoutHopHeaders(response.headers));
    outgoing.flushHeaders(); // an event stream may be silent at first
    response.pipe(outgoing);
    response.on('error', () => outgoing.destroy());
    response.on('aborted', () => outgoing.destroy());
  });
  upstream.on('timeout', () => upstream.destroy(new Error('the service is silent')));
  upstream.on('error', () => {
    if (outgoing.headersSent) outgoing.destroy();
    else refuse(outgoing, unavailable());
  });
  outgoing.on('close', () => upstream.destroy()); // the client has gone, or has all it asked for
  incoming.pipe(upstream);
}

function withoutHopHeaders(headers: IncomingMessage['headers']): Record<string, string | string[]> {
  const kept: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined && !HOP_HEADERS.includes(name)) kept[name] = value;
  }
  return kept;
}

/** Answers for the gateway itself; the connection is closed, since the rest of the request is not read. */
function refuse(outgoing: ServerResponse, error: ApiError): void {
  outgoing.writeHead(error.status, { 'content-type': 'application/json; charset=utf-8', connection: 'close' });
  outgoing.end(JSON.stringify({ Code: error.code, Message: error.message }));
}
