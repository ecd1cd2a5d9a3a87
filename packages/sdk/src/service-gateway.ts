import { CptError, type ErrorCode, PaiError } from '@pai-cpt/core';
import { omitUndefined } from './omit-undefined.ts';

/** How `Authorization` holds a token: EAS takes it `bare`; a service that checks it as OpenAI's do wants `bearer`. */
export type TokenScheme = 'bare' | 'bearer';

/** One scheme for all services, or for each by its name or its group's. */
export type TokenSchemes = TokenScheme | ((name: string) => TokenScheme);

/**
 * Where a service answers, and what lets one in. Neither `token` nor `authorization`, the header with it, is enumerable, so that
 * printing or serialising an endpoint does not spread it.
 */
export interface ServiceEndpoint {
  readonly url: string;
  readonly token: string;
  readonly authorization: string;
}

/** An endpoint whose token does not show. */
export function serviceEndpoint(url: string, token: string, scheme: TokenScheme = 'bare'): ServiceEndpoint {
  const endpoint = { url: url.replace(/\/+$/, '') };
  return Object.defineProperties(endpoint, {
    token: { value: token, enumerable: false },
    authorization: { value: scheme === 'bearer' ? `Bearer ${token}` : token, enumerable: false },
  }) as ServiceEndpoint;
}

/** For calls that cost a service no work. */
export const GATEWAY_TIMEOUT_MS = 10_000;

/** One call of a service. */
export interface GatewayRequest {
  /** Below the endpoint's URL, such as `/v1/models`. */
  readonly path: string;
  /** Sent as JSON with POST; without a body it is a GET. */
  readonly body?: unknown;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * One call of a service through EAS's gateway; the answer's JSON.
 * @throws PaiError `CPT_PAI_FORBIDDEN` for a wrong token, `CPT_PAI_UNAVAILABLE` while the gateway has no route or the model
 * loads, `CPT_PAI_TIMEOUT`, `CPT_PAI_THROTTLED`, or `CPT_PAI_REJECTED`.
 */
export async function callGateway(
  endpoint: ServiceEndpoint,
  request: GatewayRequest,
): Promise<Record<string, unknown>> {
  const { path, body, timeoutMs, signal } = request;
  const timeout = AbortSignal.timeout(timeoutMs);
  const isPost = body !== undefined;
  const url = `${endpoint.url}${path}`;
  try {
    const response = await fetch(url, {
      method: isPost ? 'POST' : 'GET',
      headers: { authorization: endpoint.authorization, ...(isPost ? { 'content-type': 'application/json' } : {}) },
      ...(isPost ? { body: JSON.stringify(body) } : {}),
      // A redirect would carry the token to another host.
      redirect: 'error',
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    });
    const text = await response.text();
    if (!response.ok) throw refused(url, response.status, hide(text, endpoint.token));
    return parseObject(url, response.status, text);
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    if (CptError.isInstance(error)) throw error;
    const code = timeout.aborted ? 'CPT_PAI_TIMEOUT' : 'CPT_PAI_UNAVAILABLE';
    const why = timeout.aborted ? `no answer within ${timeoutMs} ms` : reasonOf(error);
    throw new PaiError(code, `${url}: ${hide(why, endpoint.token)}`, {}, { cause: error });
  }
}

/** The model that a service lists first. @throws PaiError as `callGateway` does, `CPT_PAI_UNAVAILABLE` when it lists none. */
export async function firstModel(endpoint: ServiceEndpoint, signal?: AbortSignal): Promise<string> {
  const { data } = await callGateway(endpoint, { path: '/v1/models', timeoutMs: GATEWAY_TIMEOUT_MS, signal });
  const [first] = Array.isArray(data) ? (data as { id?: unknown }[]) : [];
  if (typeof first?.id === 'string') return first.id;
  throw new PaiError('CPT_PAI_UNAVAILABLE', `${endpoint.url}/v1/models: lists no model`);
}

function parseObject(url: string, status: number, text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // told below: a gateway's page is no JSON at all
  }
  if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  throw new PaiError('CPT_PAI_UNAVAILABLE', `${url}: answered ${status} with no JSON object`, { status });
}

function refused(url: string, status: number, text: string): PaiError {
  return new PaiError(
    codeOf(status),
    `${url}: answered ${status}: ${text.replaceAll(/\s+/g, ' ').slice(0, 300)}`,
    omitUndefined({ status }),
  );
}

/** 404 is the gateway's answer before it has the route of a new service. */
function codeOf(status: number): ErrorCode {
  if (status === 401 || status === 403) return 'CPT_PAI_FORBIDDEN';
  if (status === 429) return 'CPT_PAI_THROTTLED';
  if (status === 404 || status >= 500) return 'CPT_PAI_UNAVAILABLE';
  return 'CPT_PAI_REJECTED';
}

/** fetch says "fetch failed" and hides the reason in the cause. */
function reasonOf(error: unknown): string {
  const { message, cause } = error as { message?: string; cause?: { message?: string; code?: string } };
  return [message, cause?.message ?? cause?.code].filter(Boolean).join(': ');
}

const hide = (text: string, token: string): string => (token.length > 3 ? text.replaceAll(token, '***') : text);
