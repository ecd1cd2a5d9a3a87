import { createRequire } from 'node:module';
import { CptError, InvalidInputError, PaiError } from '@pai-cpt/core';
import { omitUndefined } from './omit-undefined.ts';
import { checkRegionId, type Endpoint, parseEndpoint, regionalEndpoint } from './pai-endpoints.ts';
import { toPaiError } from './pai-errors.ts';
import { DEFAULT_RETRY, type RetryPolicy, retryDelayMs } from './pai-retry.ts';
import { PAI_OPERATIONS, type PaiAction, type PaiCalls, type PaiOperation, type PaiProduct } from './pai-wire.ts';
import { type Clock, systemClock } from './poll.ts';
import { createRedactor, type Redactor, secretsIn } from './redact.ts';
import { guardSocket } from './socket-guard.ts';

/**
 * The one method that is used of a client of Alibaba Cloud. An instance of any generated official client fits, by its
 * shape alone: pass it to sign and send with its credentials and its endpoint.
 */
export interface AcsTransport {
  callApi(
    params: {
      action: string;
      version: string;
      protocol: string;
      pathname: string;
      method: string;
      authType: string;
      style: string;
      reqBodyType: string;
      bodyType: string;
    },
    request: { headers: Record<string, string>; query: Record<string, string>; body?: unknown },
    runtime: { connectTimeout: number; readTimeout: number },
  ): Promise<{ statusCode?: number; headers?: unknown; body?: unknown }>;
}

/** An access key, or a session of one. */
export interface AccessKeyCredential {
  accessKeyId: string;
  accessKeySecret: string;
  securityToken?: string;
}

/** Where PAI is, who asks, and how patiently. */
export interface PaiTransportOptions {
  regionId: string;
  /** One endpoint with its scheme for all products, such as a pai-local; otherwise the region's own. */
  endpoint?: string;
  /** Without one, the default chain of @alicloud/credentials is asked at the first call. */
  credential?: AccessKeyCredential;
  /**
   * A client to send with instead, for all products or for some; or `official`: the generated clients of Alibaba Cloud for
   * DLC and EAS, which must be installed beside this package and know the endpoints of their regions. Studio and
   * AIWorkSpace are then called as without it.
   */
  transport?: AcsTransport | Partial<Record<PaiProduct, AcsTransport>> | 'official';
  connectTimeoutMs?: number;
  readTimeoutMs?: number;
  /** For one attempt as a whole, whatever trickles in and whichever client sends it; 60 s by default. */
  callTimeoutMs?: number;
  retry?: Partial<RetryPolicy>;
  clock?: Clock;
  random?: () => number;
}

/** The arguments of an operation; `path` and `body` must be given exactly where it has them. */
export type PaiInput<Action extends PaiAction> = Omit<PaiCalls[Action], 'answer'>;

/** PAI as a function: signs, sends, retries what may be retried, and turns failures into `PaiError`. */
export interface PaiTransport {
  readonly regionId: string;
  /**
   * The answer's body as PAI sent it.
   * @throws PaiError `CPT_PAI_…` by kind; `details` carry `status`, `paiCode`, `requestId` and `attempts`.
   * @throws InvalidInputError `CPT_INPUT_INVALID` for a path argument that would change the path, `CPT_CONFIG_CREDENTIALS`
   * when no credential is found.
   */
  call<Action extends PaiAction>(
    action: Action,
    input: PaiInput<Action>,
    options?: { signal?: AbortSignal | undefined },
  ): Promise<PaiCalls[Action]['answer']>;
}

/** A transport to PAI's real API, or to whatever speaks it at `endpoint`. Nothing is connected or resolved yet. */
export function createPaiTransport(options: PaiTransportOptions): PaiTransport {
  const { connectTimeoutMs = 5000, readTimeoutMs = 30_000, callTimeoutMs = 60_000 } = options;
  const { clock = systemClock, random = Math.random } = options;
  const regionId = checkRegionId(options.regionId);
  const override = options.endpoint === undefined ? undefined : parseEndpoint(options.endpoint);
  const policy = { ...DEFAULT_RETRY, ...options.retry };
  const redactor = createRedactor();
  const clients = new Map<PaiProduct, AcsTransport>();

  const clientOf = async (product: PaiProduct): Promise<AcsTransport> => {
    const found = clients.get(product) ?? givenTransport(options.transport, product);
    if (found) return found;
    const Client = options.transport === 'official' ? await loadOfficialClient(product) : undefined;
    // A generated client has a table of its own, which knows the regions of its day.
    const endpoint = override ?? (Client ? undefined : regionalEndpoint(product, regionId));
    const made = createClient(endpoint, regionId, options.credential, redactor, Client);
    clients.set(product, made);
    return made;
  };

  const send = async (action: string, operation: PaiOperation, input: PaiInput<PaiAction>, signal?: AbortSignal) => {
    const client = await clientOf(operation.product);
    signal?.throwIfAborted(); // loading a client takes its time
    const { params, request } = toAcsRequest(action, operation, input);
    // Both are the read timeout: see socket-guard.ts for what the client makes of `connectTimeout`.
    const runtime = { connectTimeout: readTimeoutMs, readTimeout: readTimeoutMs };
    const call = () => client.callApi(params, request, runtime);
    redactor.learn(...secretsIn(input.body));
    const answer = await within(callTimeoutMs, signal, (end) =>
      abandonOn(end, guardSocket(call, { connectTimeoutMs, signal: end })),
    );
    if (typeof answer.body === 'object' && answer.body !== null) return answer.body;
    throw new PaiError(
      'CPT_PAI_UNAVAILABLE',
      `${action}: PAI answered ${answer.statusCode ?? ''} with no JSON object`,
      omitUndefined({ action, status: answer.statusCode }),
    );
  };

  return {
    regionId,
    async call(action, input, { signal } = {}) {
      const operation: PaiOperation = PAI_OPERATIONS[action];
      for (let attempt = 1; ; attempt++) {
        signal?.throwIfAborted();
        try {
          return (await send(action, operation, input, signal)) as PaiCalls[typeof action]['answer'];
        } catch (thrown) {
          if (signal?.aborted) throw signal.reason;
          const error = CptError.isInstance(thrown) ? thrown : toPaiError(action, thrown, redactor.redact);
          const delay = retryDelayMs(error, { isIdempotent: operation.isIdempotent, attempt, policy, random });
          if (delay === undefined) throw withAttempts(error, attempt);
          await clock.sleep(delay, signal);
        }
      }
    },
  };
}

function givenTransport(given: PaiTransportOptions['transport'], product: PaiProduct): AcsTransport | undefined {
  if (given === undefined || given === 'official') return undefined;
  return 'callApi' in given && typeof given.callApi === 'function'
    ? (given as AcsTransport)
    : (given as Partial<Record<PaiProduct, AcsTransport>>)[product];
}

/** @alicloud is loaded at the first call only: it costs 70 ms, and planning or a schema never needs it. */
function createClient(
  endpoint: Endpoint | undefined,
  regionId: string,
  credential: AccessKeyCredential | undefined,
  redactor: Redactor,
  Official: ClientClass | undefined,
): AcsTransport {
  // By require, not import: loaders disagree on what the default of such a CommonJS module is.
  const require = createRequire(import.meta.url);
  const { default: Core, $OpenApiUtil } = require('@alicloud/openapi-core') as OpenApiCore;
  const Client = Official ?? Core;
  const { default: Credential, Config } = require('@alicloud/credentials') as Credentials;
  const type = credential?.securityToken ? 'sts' : 'access_key';
  const source = credential ? new Credential(new Config({ type, ...credential })) : new Credential();
  const config = new $OpenApiUtil.Config(
    endpoint ? { endpoint: endpoint.host, protocol: endpoint.protocol, regionId } : { protocol: 'https', regionId },
  );
  config.credential = watchedCredential(source, redactor) as typeof source;
  return new Client(config) as AcsTransport;
}

/** What a generated client is made by. */
type ClientClass = new (config: InstanceType<OpenApiCore['$OpenApiUtil']['Config']>) => unknown;

/** Not every registry serves these, so they are no dependencies. */
const OFFICIAL_PACKAGES: Partial<Record<PaiProduct, string>> = {
  dlc: '@alicloud/pai-dlc20201203',
  eas: '@alicloud/eas20210701',
};

/** @throws InvalidInputError `CPT_CONFIG_OFFICIAL_CLIENT` when the package is not installed, or is none of these clients. */
async function loadOfficialClient(product: PaiProduct): Promise<ClientClass | undefined> {
  const name = OFFICIAL_PACKAGES[product];
  if (name === undefined) return undefined;
  const refuse = (why: string, cause?: unknown): InvalidInputError =>
    new InvalidInputError(
      'CPT_CONFIG_OFFICIAL_CLIENT',
      `transport "official" needs ${name}, ${why}: npm install ${name}, or leave transport out`,
      { field: 'transport', package: name },
      { cause },
    );
  let found: { default?: unknown };
  try {
    found = (await import(name)) as { default?: unknown };
  } catch (error) {
    throw refuse('which cannot be loaded', error);
  }
  // Of a CommonJS module `default` is the module itself, whose own `default` is the class.
  const inner = (found.default as { default?: unknown } | undefined)?.default ?? found.default;
  if (typeof inner === 'function' && 'callApi' in inner.prototype) return inner as ClientClass;
  throw refuse('whose version here is no client of this kind');
}

type OpenApiCore = typeof import('@alicloud/openapi-core', { with: { 'resolution-mode': 'require' }});
type Credentials = typeof import('@alicloud/credentials', { with: { 'resolution-mode': 'require' }});

interface CredentialSource {
  getCredential(): Promise<{ accessKeyId?: string; accessKeySecret?: string; securityToken?: string }>;
}

/** The same source; each credential it hands out is taught to the redactor first, also those that rotate. */
function watchedCredential(source: CredentialSource, redactor: Redactor): CredentialSource {
  return {
    async getCredential() {
      try {
        const found = await source.getCredential();
        redactor.learn(found.accessKeyId, found.accessKeySecret, found.securityToken);
        return found;
      } catch (error) {
        throw new InvalidInputError(
          'CPT_CONFIG_CREDENTIALS',
          `no credential for Alibaba Cloud: set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET, or give one (${redactor.redact(String(error instanceof Error ? error.message : error))})`,
          { field: 'credential' },
        );
      }
    },
  };
}

function toAcsRequest(action: string, operation: PaiOperation, { path, query, body }: PaiInput<PaiAction>) {
  return {
    params: {
      action,
      version: operation.version,
      protocol: 'HTTPS',
      pathname: fillPath(operation.path, { ...path }),
      method: operation.method,
      authType: 'AK',
      style: 'ROA',
      reqBodyType: 'json',
      bodyType: 'json',
    },
    request: { headers: {}, query: toQuery({ ...query }), ...(body === undefined ? {} : { body }) },
  };
}

/** The template with its arguments, each one segment: a slash is encoded, and `.` or `..` would climb, so they are refused. */
function fillPath(template: string, values: Record<string, string>): string {
  return template.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    const value = values[name];
    if (value !== undefined && value !== '' && value !== '.' && value !== '..') return percentEncode(value);
    throw new InvalidInputError(
      'CPT_INPUT_INVALID',
      `${name} is ${JSON.stringify(value)}; it cannot be a name in PAI`,
      {
        field: name,
      },
    );
  });
}

/** RFC 3986, as the signature wants it: encodeURIComponent leaves five more characters as they are. */
function percentEncode(value: string): string {
  return encodeURIComponent(value).replaceAll(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** Query values are strings; objects travel as JSON. */
function toQuery(query: Record<string, unknown>): Record<string, string> {
  const entries = Object.entries(query).filter(([, value]) => value !== undefined);
  return Object.fromEntries(
    entries.map(([name, value]) => [name, typeof value === 'object' ? JSON.stringify(value) : String(value)]),
  );
}

/** A read timeout starts anew with every byte, and a client that is given may have none: so the whole attempt has an end. */
async function within<T>(
  timeoutMs: number,
  signal: AbortSignal | undefined,
  run: (end: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = new AbortController();
  const reason = Object.assign(new Error(`no answer within ${timeoutMs} ms`), { name: 'RequestTimeoutError' });
  const timer = setTimeout(() => late.abort(reason), timeoutMs);
  try {
    return await run(signal ? AbortSignal.any([signal, late.signal]) : late.signal);
  } finally {
    clearTimeout(timer);
  }
}

/** The promise's outcome, or the signal's reason as soon as it is aborted, or was. */
async function abandonOn<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  let stop = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
  promise.catch(() => {}); // it loses the race, and its late failure is nobody's
  return Promise.race([promise, aborted]).finally(() => signal.removeEventListener('abort', stop));
}

function withAttempts(error: unknown, attempts: number): unknown {
  if (!(CptError.isInstance(error) && attempts > 1)) return error;
  return new PaiError(
    error.code,
    `${error.message} (after ${attempts} attempts)`,
    { ...error.details, attempts },
    {
      cause: error.cause,
    },
  );
}
