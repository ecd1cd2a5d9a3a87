import { inspect } from 'node:util';
import { CptError } from '@pai-cpt/core';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type AcsServer, type Reply, type SeenRequest, startAcsServer } from '../test/acs-server.ts';
import { manualClock } from '../test/scripted-pai.ts';
import { type AcsTransport, createPaiTransport, type PaiTransportOptions } from './pai-transport.ts';

const KEY = { accessKeyId: 'LTAI5tCanaryKeyId0001', accessKeySecret: 'canary-secret-9f86d081884c' };
const SECRETS = { [KEY.accessKeyId]: KEY.accessKeySecret };

let server: AcsServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
  vi.unstubAllEnvs();
});

/** A transport to a fresh server that gives these replies in turn, the last one again and again. */
async function connect(
  replies: Reply[] | ((request: SeenRequest, index: number) => Reply),
  options: Partial<PaiTransportOptions> = {},
  securityToken?: string,
) {
  const reply = Array.isArray(replies)
    ? (_: SeenRequest, index: number) => replies[Math.min(index, replies.length - 1)] as Reply
    : replies;
  server = await startAcsServer({ secrets: SECRETS, ...(securityToken ? { securityToken } : {}) }, reply);
  const clock = manualClock();
  const pai = createPaiTransport({
    ...{ regionId: 'cn-hangzhou', endpoint: server.url, credential: KEY, clock, random: () => 1 },
    ...options,
  });
  return { pai, clock, seen: server.seen };
}

async function failureOf(promise: Promise<unknown>): Promise<CptError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!CptError.isInstance(error)) throw new Error(`no error of ours: ${inspect(error)}`);
  return error;
}

describe('signed calls', () => {
  it('sends a query, a path and a body with odd characters, each signed', async () => {
    const { pai, seen } = await connect([{ json: { RequestId: 'R', Jobs: [], TotalCount: 0, JobId: 'dlc1' } }]);
    const odd = `a b+c*~é&=/'()!?#`;
    await pai.call('ListJobs', { query: { DisplayName: odd, Tags: { k: odd }, PageNumber: 2, PageSize: 50 } });
    await pai.call('GetJob', { path: { JobId: odd }, query: { NeedDetail: true } });
    const body = { DisplayName: odd, JobType: 'PyTorchJob' as const, JobSpecs: [], UserCommand: odd };
    await pai.call('CreateJob', { body });
    await pai.call('StopJob', { path: { JobId: 'dlc1' } });

    expect(seen.map(({ signatureFault }) => signatureFault)).toEqual([undefined, undefined, undefined, undefined]);
    const [list, get, create, stop] = seen as [SeenRequest, SeenRequest, SeenRequest, SeenRequest];
    const query = new URL(list.url, 'http://host').searchParams;
    expect(query.get('DisplayName')).toBe(odd);
    expect(JSON.parse(query.get('Tags') ?? '')).toEqual({ k: odd });
    expect(query.get('PageNumber')).toBe('2');
    expect(list.headers).toMatchObject({ 'x-acs-action': 'ListJobs', 'x-acs-version': '2020-12-03' });
    const [path, needDetail] = get.url.split('?');
    expect(decodeURIComponent(path ?? '')).toBe(`/api/v1/jobs/${odd}`);
    expect(path?.split('/')).toHaveLength(5);
    expect(needDetail).toBe('NeedDetail=true');
    expect(JSON.parse(create.body)).toEqual(body);
    expect(create.headers['content-type']).toBe('application/json; charset=utf-8');
    expect([stop.method, stop.url, stop.body]).toEqual(['POST', '/api/v1/jobs/dlc1/stop', '']);
  });

  it('signs a session with its token', async () => {
    const credential = { ...KEY, securityToken: 'canary-token-77' };
    const { pai, seen } = await connect([{ json: {} }], { credential }, 'canary-token-77');
    await pai.call('GetJob', { path: { JobId: 'dlc1' } });
    expect(seen[0]?.signatureFault).toBeUndefined();
  });

  it('asks the default chain when no credential is given', async () => {
    vi.stubEnv('ALIBABA_CLOUD_ACCESS_KEY_ID', KEY.accessKeyId);
    vi.stubEnv('ALIBABA_CLOUD_ACCESS_KEY_SECRET', KEY.accessKeySecret);
    server = await startAcsServer({ secrets: SECRETS }, () => ({ json: {} }));
    const pai = createPaiTransport({ regionId: 'cn-hangzhou', endpoint: server.url });
    await pai.call('GetJob', { path: { JobId: 'dlc1' } });
    expect(server.seen[0]?.signatureFault).toBeUndefined();
  });

  it('keeps fields that the types do not name', async () => {
    const { pai } = await connect([{ json: { JobId: 'dlc1', Status: 'Running', BrandNew: { Deep: [1] } } }]);
    expect(await pai.call('GetJob', { path: { JobId: 'dlc1' } })).toMatchObject({ BrandNew: { Deep: [1] } });
  });

  it.each(['', '.', '..'])('refuses the path argument %j before anything is sent', async (JobId) => {
    const { pai, seen } = await connect([{ json: {} }]);
    const error = await failureOf(pai.call('StopJob', { path: { JobId } }));
    expect(error.code).toBe('CPT_INPUT_INVALID');
    expect(seen).toHaveLength(0);
  });

  it('addresses a service by region and name', async () => {
    const { pai, seen } = await connect([{ json: {} }]);
    await pai.call('StartService', { path: { ClusterId: 'cn-hangzhou', ServiceName: 'qwen2' } });
    expect([seen[0]?.method, seen[0]?.url]).toEqual(['PUT', '/api/v2/services/cn-hangzhou/qwen2/start']);
    expect(seen[0]?.headers['x-acs-version']).toBe('2021-07-01');
    expect(seen[0]?.signatureFault).toBeUndefined();
  });
});

describe('failures and retries', () => {
  const throttled: Reply = {
    status: 400,
    json: { Code: 'Throttling.User', Message: 'slow down', RequestId: 'R-7' },
    headers: { 'x-acs-retry-after': '1500' },
  };
  const broken: Reply = { status: 500, json: { Code: 'InternalError', Message: 'oops', RequestId: 'R-8' } };
  const create = { body: { DisplayName: 'a', JobType: 'PyTorchJob' as const, JobSpecs: [], UserCommand: 'true' } };
  const get = { path: { JobId: 'dlc1' } };

  it('waits as long as PAI asks, with a fresh signature each time', async () => {
    const { pai, clock, seen } = await connect([throttled, throttled, { json: { JobId: 'dlc1' } }]);
    expect(await pai.call('CreateJob', create)).toEqual({ JobId: 'dlc1' });
    expect(seen.map(({ signatureFault }) => signatureFault)).toEqual([undefined, undefined, undefined]);
    expect(clock.sleeps).toEqual([1500, 1500]);
  });

  it('doubles its own bound on the wait and gives up after the last attempt', async () => {
    const { pai, clock, seen } = await connect([broken]);
    const error = await failureOf(pai.call('GetJob', get));
    expect(error.code).toBe('CPT_PAI_UNAVAILABLE');
    expect(error.details).toMatchObject({ status: 500, paiCode: 'InternalError', requestId: 'R-8', attempts: 4 });
    expect(error.message).toBe('GetJob: PAI answered 500 InternalError: oops (request R-8) (after 4 attempts)');
    expect(seen).toHaveLength(4);
    expect(clock.sleeps).toEqual([250, 500, 1000]);
  });

  it('makes a create once when it may have been carried out', async () => {
    for (const reply of [broken, { raw: '<html>502</html>', status: 502 }, { reset: true }] as Reply[]) {
      const { pai, seen } = await connect([reply]);
      expect((await failureOf(pai.call('CreateJob', create))).code).toBe('CPT_PAI_UNAVAILABLE');
      expect(seen).toHaveLength(1);
      await server?.close();
    }
  });

  it('repeats a refused connection, also of a create', async () => {
    const { pai, clock } = await connect([{ json: {} }]);
    await server?.close();
    const error = await failureOf(pai.call('CreateJob', create));
    expect([error.code, error.details.systemCode]).toEqual(['CPT_PAI_UNAVAILABLE', 'ECONNREFUSED']);
    expect(clock.sleeps).toHaveLength(3);
  });

  it.each(['<html>Bad gateway</html>', '', 'null'])(
    'takes an answer of %j for an outage, whatever its status',
    async (raw) => {
      const { pai, seen } = await connect([{ status: 200, raw }, { json: { JobId: 'dlc1' } }]);
      expect(await pai.call('GetJob', get)).toEqual({ JobId: 'dlc1' });
      expect(seen).toHaveLength(2);
    },
  );

  it('ends a call that hangs at the read timeout, and repeats it only where that is safe', async () => {
    const { pai, seen } = await connect([{ hang: true }], { readTimeoutMs: 60, retry: { maxAttempts: 2 } });
    expect((await failureOf(pai.call('GetJob', get))).code).toBe('CPT_PAI_TIMEOUT');
    expect(seen).toHaveLength(2);
    const error = await failureOf(pai.call('CreateJob', create));
    expect(error.code).toBe('CPT_PAI_TIMEOUT');
    expect(error.message).toContain('look whether it was done');
    expect(seen).toHaveLength(3);
  });

  it('lets an answer take longer than the connection may', async () => {
    // The client's own connectTimeout is the socket's idle time: 40 ms of it would end this call.
    server = await startAcsServer({ secrets: SECRETS }, () => ({ json: {} }));
    const slow: AcsTransport = {
      callApi: async (_params, _request, runtime) => ({ statusCode: 200, body: { ...runtime } }),
    };
    const pai = createPaiTransport({
      regionId: 'cn-hangzhou',
      transport: slow,
      connectTimeoutMs: 40,
      readTimeoutMs: 900,
    });
    expect(await pai.call('GetJob', get)).toEqual({ connectTimeout: 900, readTimeout: 900 });
  });

  it('ends a call of a client that never answers, though its read timeout never fires', async () => {
    const silent: AcsTransport = { callApi: () => new Promise(() => {}) };
    const pai = createPaiTransport({
      ...{ regionId: 'cn-hangzhou', transport: silent, callTimeoutMs: 30 },
      ...{ clock: manualClock(), retry: { maxAttempts: 2 } },
    });
    const error = await failureOf(pai.call('GetJob', get));
    expect([error.code, error.details.attempts]).toEqual(['CPT_PAI_TIMEOUT', 2]);
    expect(error.message).toContain('no answer within 30 ms');
    expect((await failureOf(pai.call('CreateJob', create))).details.attempts).toBeUndefined();
  });

  it('rejects with the reason of an abort at once, and frees the socket', async () => {
    const { pai, seen } = await connect([{ hang: true }]);
    const controller = new AbortController();
    const call = pai.call('GetJob', get, { signal: controller.signal });
    while (seen.length === 0) await new Promise((resolve) => setTimeout(resolve, 2));
    const reason = new Error('enough');
    controller.abort(reason);
    await expect(call).rejects.toBe(reason);
    expect(seen).toHaveLength(1);
    await vi.waitFor(async () => expect(await server?.connections()).toBe(0), { timeout: 2000, interval: 5 });
  });

  it('rejects with the standard reason too, which looks like an error of the system', async () => {
    const { pai, seen } = await connect([{ hang: true }], { retry: { maxAttempts: 1 } });
    const controller = new AbortController();
    const call = pai.call('GetJob', get, { signal: controller.signal });
    while (seen.length === 0) await new Promise((resolve) => setTimeout(resolve, 2));
    controller.abort(); // a DOMException with a numeric code
    await expect(call).rejects.toBe(controller.signal.reason);
  });

  it('rejects when the abort comes before the request is made, and makes none', async () => {
    const { pai, seen } = await connect([{ json: {} }]);
    const controller = new AbortController();
    const call = pai.call('GetJob', get, { signal: controller.signal }); // the client is being loaded
    controller.abort(new Error('enough'));
    await expect(call).rejects.toThrow('enough');
    expect(seen).toHaveLength(0);
  });

  it('rejects when the abort comes while a client prepares its request', async () => {
    const controller = new AbortController();
    const transport: AcsTransport = {
      callApi: () => {
        controller.abort(new Error('enough'));
        return new Promise(() => {});
      },
    };
    const pai = createPaiTransport({ regionId: 'cn-hangzhou', transport, callTimeoutMs: 500 });
    await expect(pai.call('GetJob', get, { signal: controller.signal })).rejects.toThrow('enough');
  });

  it('is not started after an abort', async () => {
    const { pai, seen } = await connect([{ json: {} }]);
    await expect(pai.call('GetJob', get, { signal: AbortSignal.abort(new Error('no')) })).rejects.toThrow('no');
    expect(seen).toHaveLength(0);
  });

  it('names a missing credential', async () => {
    for (const name of ['ALIBABA_CLOUD_ACCESS_KEY_ID', 'ALIBABA_CLOUD_ACCESS_KEY_SECRET', 'HOME']) vi.stubEnv(name, '');
    vi.stubEnv('ALIBABA_CLOUD_ECS_METADATA_DISABLED', 'true');
    const { seen, pai } = await connect([{ json: {} }], { credential: undefined as never });
    const error = await failureOf(pai.call('GetJob', get));
    expect(error.code).toBe('CPT_CONFIG_CREDENTIALS');
    expect(error.message).toContain('ALIBABA_CLOUD_ACCESS_KEY_ID');
    expect(seen).toHaveLength(0);
  });
});

describe('a client that is injected', () => {
  const answering = (name: string): AcsTransport & { actions: string[] } => {
    const actions: string[] = [];
    return {
      actions,
      callApi: async (params) => {
        actions.push(`${params.method} ${params.pathname} ${params.version} ${params.style} ${params.authType}`);
        return { statusCode: 200, headers: {}, body: { JobId: name, ServiceName: name } };
      },
    };
  };

  it('signs and sends everything itself', async () => {
    const transport = answering('injected');
    const pai = createPaiTransport({ regionId: 'cn-hangzhou', transport });
    expect(await pai.call('GetJob', { path: { JobId: 'dlc1' } })).toMatchObject({ JobId: 'injected' });
    expect(transport.actions).toEqual(['GET /api/v1/jobs/dlc1 2020-12-03 ROA AK']);
  });

  it('serves only its product when it is given for one', async () => {
    const dlc = answering('official');
    const { pai, seen } = await connect([{ json: { ServiceName: 'own' } }], { transport: { dlc } });
    await pai.call('StopJob', { path: { JobId: 'dlc1' } });
    await pai.call('DescribeService', { path: { ClusterId: 'cn-hangzhou', ServiceName: 'q' } });
    expect(dlc.actions).toHaveLength(1);
    expect(seen.map(({ url }) => url)).toEqual(['/api/v2/services/cn-hangzhou/q']);
  });

  it('may throw the plain errors of older clients', async () => {
    const error = Object.assign(new Error('JobNotExists: gone'), {
      code: 'JobNotExists',
      statusCode: 404,
      data: { RequestId: 'R-2' },
    });
    const pai = createPaiTransport({ regionId: 'cn-hangzhou', transport: { callApi: () => Promise.reject(error) } });
    const failure = await failureOf(pai.call('GetJob', { path: { JobId: 'dlc1' } }));
    expect(failure.code).toBe('CPT_PAI_NOT_FOUND');
    expect(failure.details).toMatchObject({ status: 404, paiCode: 'JobNotExists', requestId: 'R-2' });
  });

  it('is named when it was made without a credential, and not asked again', async () => {
    // What @alicloud/openapi-core 1.0.8 throws before it sends anything.
    const error = Object.assign(new Error('Please set up the credentials correctly.'), {
      ...{ name: 'ClientError', code: 'InvalidCredentials', statusCode: undefined, requestId: undefined },
    });
    let calls = 0;
    const transport: AcsTransport = {
      callApi: () => {
        calls++;
        return Promise.reject(error);
      },
    };
    const pai = createPaiTransport({ regionId: 'cn-hangzhou', transport, clock: manualClock() });
    const failure = await failureOf(pai.call('GetJob', { path: { JobId: 'dlc1' } }));
    expect([failure.code, failure.details.field, calls]).toEqual(['CPT_CONFIG_CREDENTIALS', 'transport', 1]);
  });

  it('leaves an error of the program as it is', async () => {
    const bug = new TypeError('x is not a function');
    const pai = createPaiTransport({ regionId: 'cn-hangzhou', transport: { callApi: () => Promise.reject(bug) } });
    await expect(pai.call('GetJob', { path: { JobId: 'dlc1' } })).rejects.toBe(bug);
  });
});

it('shows no secret in any error, message, cause or print', async () => {
  const credential = { ...KEY, securityToken: 'canary-token-5feceb66ffc8' };
  const echo = (request: SeenRequest): Reply => ({
    status: 400,
    json: {
      Code: 'SignatureDoesNotMatch',
      Message: `server string to sign is: ${JSON.stringify(request.headers)} with ${credential.accessKeySecret}`,
      RequestId: 'R-9',
    },
  });
  const { pai } = await connect(echo, { credential }, credential.securityToken);
  const error = await failureOf(pai.call('GetJob', { path: { JobId: 'dlc1' } }));
  expect(error.code).toBe('CPT_PAI_SIGNATURE');
  const printed = [
    inspect(error, { depth: 10, showHidden: true }),
    JSON.stringify({ ...error, message: error.message, cause: String((error.cause as Error).stack) }),
    inspect(pai, { depth: 10, showHidden: true }),
    JSON.stringify(pai),
  ].join('\n');
  for (const secret of Object.values(credential)) expect(printed).not.toContain(secret);
  expect(printed).not.toMatch(/Signature=[0-9a-f]{8}/);
  expect(printed).toContain('***');
});
