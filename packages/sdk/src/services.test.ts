import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { inspect } from 'node:util';
import { CptError } from '@pai-cpt/core';
import { afterEach, describe, expect, it } from 'vitest';
import { manualClock, paiError, type Script, scriptedPai } from '../test/scripted-pai.ts';
import type { WireService } from './service-wire.ts';
import { Services } from './services.ts';

const TOKEN = 'canary-token-MzJiMDVj';

let close: (() => Promise<void>) | undefined;
afterEach(() => close?.());

interface Seen {
  method: string;
  url: string;
  authorization: string | undefined;
  body: string;
}

/** A gateway that answers `/api/predict/<service>/…` as `answer` says. */
async function startGateway(answer: (seen: Seen, response: ServerResponse, index: number) => void) {
  const seen: Seen[] = [];
  const server = createServer(async (request: IncomingMessage, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { method = '', url = '', headers } = request;
    seen.push({ method, url, authorization: headers.authorization, body: Buffer.concat(chunks).toString() });
    answer(seen.at(-1) as Seen, response, seen.length - 1);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  close = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(() => resolve()));
  };
  return { seen, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/predict/q` };
}

const json = (response: ServerResponse, status: number, body: unknown): void => {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
};

const wireService = (Status: string, more: Partial<WireService> = {}): WireService => ({
  ...{ ServiceName: 'q', Status, AccessToken: TOKEN },
  ...more,
});
const withScript = (script: Script) => {
  const pai = scriptedPai(script);
  return { pai, services: new Services(pai, '268') };
};
const path = { ClusterId: 'cn-hangzhou', ServiceName: 'q' };

describe('the control plane', () => {
  it('creates a service from its specification', async () => {
    const { services, pai } = withScript({
      CreateService: () => ({
        ServiceId: 'eas-1',
        ServiceName: 'qwen2_cpt',
        Region: 'cn-hangzhou',
        Status: 'Creating',
      }),
    });
    const spec = {
      ...{ name: 'qwen2_cpt', checkpoint: { uri: 'nas://fs1.cn-hangzhou/m' }, image: 'vllm:1', instanceType: 'ecs.a' },
    };
    expect(await services.deploy(spec, { isUnverified: true })).toEqual({
      ...{ name: 'qwen2_cpt', serviceId: 'eas-1', phase: 'pending', status: 'Creating' },
    });
    expect(pai.calls[0]?.input).toMatchObject({
      query: { WorkspaceId: '268' },
      body: { metadata: { workspace_id: '268' } },
    });
    await expect(services.deploy({ ...spec, name: 'Bad' }, {})).rejects.toMatchObject({ code: 'CPT_INPUT_INVALID' });
  });

  it('gives a service in its own words and without its token', async () => {
    const { services, pai } = withScript({
      DescribeService: () =>
        wireService('Running', {
          ...{
            InternetEndpoint: 'http://1.cn-hangzhou.pai-eas.aliyuncs.com/api/predict/q/',
            Message: 'fine',
            Reason: '',
          },
          ...{ RunningInstance: 1, TotalInstance: 2, CreateTime: '2026-11-24T00:00:00Z' },
        }),
    });
    const service = await services.get('q');
    expect(service).toEqual({
      ...{ name: 'q', phase: 'running', status: 'Running', message: 'fine', runningInstances: 1, instances: 2 },
      ...{ url: 'http://1.cn-hangzhou.pai-eas.aliyuncs.com/api/predict/q', createdAt: '2026-11-24T00:00:00Z' },
    });
    expect(pai.calls[0]?.input).toEqual({ path });
  });

  it('lists every page once', async () => {
    const names = (from: number, count: number) =>
      Array.from({ length: count }, (_, index) => ({ ServiceName: `s${from + index}`, Status: 'Running' }));
    const pages = [names(0, 100), names(99, 31)];
    const { services, pai } = withScript({
      ListServices: (_, calls) => ({ Services: pages[calls] ?? [], PageNumber: 1, PageSize: 100, TotalCount: 130 }),
    });
    const listed: string[] = [];
    for await (const { name } of services.list()) listed.push(name);
    expect(listed).toEqual(Array.from({ length: 130 }, (_, index) => `s${index}`));
    expect(pai.calls).toHaveLength(2);
  });

  it('starts, stops and deletes by region and name', async () => {
    const done = () => ({ Message: 'ok' });
    const { services, pai } = withScript({ StartService: done, StopService: done, DeleteService: done });
    await services.start('q');
    await services.stop('q');
    await services.delete('q');
    expect(pai.calls).toEqual([
      { action: 'StartService', input: { path } },
      { action: 'StopService', input: { path } },
      { action: 'DeleteService', input: { path } },
    ]);
  });
});

describe('endpoint', () => {
  it('has a token that does not show', async () => {
    const { services } = withScript({
      DescribeService: () => wireService('Running', { InternetEndpoint: 'http://host/api/predict/q' }),
    });
    const endpoint = await services.endpoint('q');
    const { url, token } = endpoint;
    expect([url, token]).toEqual(['http://host/api/predict/q', TOKEN]);
    expect(inspect(endpoint) + JSON.stringify(endpoint) + String(endpoint)).not.toContain(TOKEN);
  });

  it('is inside the VPC when there is no other, and none before the service has one', async () => {
    const { services } = withScript({
      DescribeService: (_, calls) =>
        wireService('Creating', calls === 0 ? { IntranetEndpoint: 'http://vpc/api/predict/q' } : {}),
    });
    expect((await services.endpoint('q')).url).toBe('http://vpc/api/predict/q');
    await expect(services.endpoint('q')).rejects.toThrow(/is Creating and has no endpoint yet/);
  });
});

describe('wait', () => {
  it('waits past Running until the gateway has the route', async () => {
    const { url, seen } = await startGateway((_, response, index) => {
      if (index === 0) json(response, 404, { message: 'no route' });
      else if (index === 1) response.writeHead(503).end('<html>loading</html>');
      else json(response, 200, { data: [{ id: 'm' }] });
    });
    const statuses = ['Creating', 'Waiting', 'Hibernating', 'Running'];
    const { services } = withScript({
      DescribeService: (_, calls) => wireService(statuses[calls] ?? 'Running', { InternetEndpoint: url }),
    });
    const clock = manualClock();
    expect(await services.wait('q', { timeoutMs: 60_000, pollMs: 1000, clock })).toMatchObject({ phase: 'running' });
    expect(clock.sleeps).toHaveLength(5);
    expect(seen.map((request) => request.url)).toEqual(Array(3).fill('/api/predict/q/v1/models'));
    expect(seen[0]?.authorization).toBe(TOKEN);
  });

  it.each(['Failed', 'Stopped', 'DeleteFailed'])('ends when the service is %s', async (status) => {
    const { services } = withScript({ DescribeService: () => wireService(status, { Message: 'image not found' }) });
    const error = await services
      .wait('q', { timeoutMs: 60_000, clock: manualClock() })
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: 'CPT_PAI_SERVICE_FAILED',
      message: expect.stringContaining('image not found'),
    });
  });

  it('ends at its deadline and tells what was last in the way', async () => {
    const { url } = await startGateway((_, response) => json(response, 503, {}));
    const { services } = withScript({ DescribeService: () => wireService('Running', { InternetEndpoint: url }) });
    const error = await services
      .wait('q', { timeoutMs: 5000, clock: manualClock() })
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'CPT_WAIT_TIMEOUT' });
    expect(((error as Error).cause as Error).message).toContain('answered 503');
  });

  it('ends when PAI refuses to tell', async () => {
    const refused = paiError('CPT_PAI_FORBIDDEN');
    const { services } = withScript({
      DescribeService: () => {
        throw refused;
      },
    });
    await expect(services.wait('q', { timeoutMs: 5000, clock: manualClock() })).rejects.toBe(refused);
  });
});

describe('complete', () => {
  const describe200 = (url: string): Script => ({
    DescribeService: () => wireService('Running', { InternetEndpoint: url }),
  });

  it('asks the model that the service has, with the token', async () => {
    const { url, seen } = await startGateway((request, response) => {
      if (request.method === 'GET') json(response, 200, { object: 'list', data: [{ id: 'qwen2-cpt' }] });
      else {
        json(response, 200, {
          ...{ id: 'cmpl-1', object: 'text_completion', model: 'qwen2-cpt' },
          choices: [{ index: 0, text: ' world', finish_reason: 'length', logprobs: null }],
          usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 },
        });
      }
    });
    const { services } = withScript(describe200(url));
    const completion = await services.complete('q', {
      prompt: 'hello',
      maxTokens: 2,
      temperature: 0,
      stop: ['\n'],
      seed: 7,
    });
    expect(completion).toEqual({
      model: 'qwen2-cpt',
      choices: [{ index: 0, text: ' world', finishReason: 'length' }],
      usage: { promptTokens: 1, completionTokens: 2 },
    });
    expect(seen[1]).toMatchObject({ method: 'POST', url: '/api/predict/q/v1/completions', authorization: TOKEN });
    expect(JSON.parse(seen[1]?.body ?? '')).toEqual({
      ...{ model: 'qwen2-cpt', prompt: 'hello', max_tokens: 2, temperature: 0, stop: ['\n'], seed: 7 },
    });
  });

  it.each<[number, string, string]>([
    [401, 'CPT_PAI_FORBIDDEN', 'wrong token'],
    [400, 'CPT_PAI_REJECTED', 'max_tokens is too large'],
    [429, 'CPT_PAI_THROTTLED', 'busy'],
    [503, 'CPT_PAI_UNAVAILABLE', 'no instance'],
  ])('is refused with %i as %s, without its token', async (status, code, text) => {
    const { url } = await startGateway((_, response) => json(response, status, { message: `${text} (${TOKEN})` }));
    const { services } = withScript(describe200(url));
    const error = await services.complete('q', { prompt: 'x', model: 'm' }).catch((thrown: unknown) => thrown);
    if (!CptError.isInstance(error)) throw error;
    expect(error).toMatchObject({ code, details: { status } });
    expect(error.message).toContain(text);
    expect(inspect(error, { depth: 9 })).not.toContain(TOKEN);
  });

  it('does not carry the token along a redirect', async () => {
    const { url, seen } = await startGateway((_, response) =>
      response.writeHead(302, { location: '/elsewhere' }).end(),
    );
    const { services } = withScript(describe200(url));
    await expect(services.complete('q', { prompt: 'x', model: 'm' })).rejects.toMatchObject({
      code: 'CPT_PAI_UNAVAILABLE',
    });
    expect(seen).toHaveLength(1);
  });

  it('ends at its time limit, and on abort with the reason', async () => {
    const { url, seen } = await startGateway(() => {});
    const { services } = withScript(describe200(url));
    await expect(services.complete('q', { prompt: 'x', model: 'm', timeoutMs: 40 })).rejects.toMatchObject({
      code: 'CPT_PAI_TIMEOUT',
    });
    const controller = new AbortController();
    const call = services.complete('q', { prompt: 'x', model: 'm', signal: controller.signal });
    while (seen.length < 2) await new Promise((resolve) => setTimeout(resolve, 2));
    const reason = new Error('enough');
    controller.abort(reason);
    await expect(call).rejects.toBe(reason);
  });

  it('takes a page for an outage', async () => {
    const { url } = await startGateway((_, response) => response.writeHead(200).end('<html>'));
    const { services } = withScript(describe200(url));
    await expect(services.complete('q', { prompt: 'x', model: 'm' })).rejects.toMatchObject({
      code: 'CPT_PAI_UNAVAILABLE',
    });
  });
});
