import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { scriptedPai } from '../test/scripted-pai.ts';
import { callGateway, serviceEndpoint } from './service-gateway.ts';
import { Services } from './services.ts';

const TOKEN = 'MDkwODBiNjA0NjI2';
let server: Server;
let url: string;
/** Lets in what the gateway of EAS takes below /eas, and what services of OpenAI's kind want below /openai. */
beforeAll(async () => {
  server = createServer((request, response) => {
    const wanted = request.url?.startsWith('/openai') ? `Bearer ${TOKEN}` : TOKEN;
    const isIn = request.headers.authorization === wanted;
    response.writeHead(isIn ? 200 : 401).end(JSON.stringify({ data: [{ id: request.headers.authorization }] }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => new Promise((resolve) => server.close(resolve)));

const request = { path: '/v1/models', timeoutMs: 5000 };

describe('the token of an endpoint', () => {
  it('is sent bare, as EAS takes it, or after Bearer', async () => {
    expect(await callGateway(serviceEndpoint(`${url}/eas`, TOKEN), request)).toEqual({ data: [{ id: TOKEN }] });
    const bearer = serviceEndpoint(`${url}/openai`, TOKEN, 'bearer');
    expect(await callGateway(bearer, request)).toEqual({ data: [{ id: `Bearer ${TOKEN}` }] });
  });

  it.each(['bare', 'bearer'] as const)('shows in neither text, JSON nor error: %s', async (scheme) => {
    const endpoint = serviceEndpoint(scheme === 'bare' ? `${url}/openai` : `${url}/eas`, TOKEN, scheme);
    const error = await callGateway(endpoint, request).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'CPT_PAI_FORBIDDEN' });
    for (const text of [inspect(endpoint), JSON.stringify(endpoint), String(error), inspect(error, { depth: 9 })]) {
      expect(text).not.toContain(TOKEN);
    }
  });
});

it('is chosen for all services, or for each by its name', async () => {
  const pai = scriptedPai({
    DescribeService: ({ path }) => ({
      ...{ ServiceName: path.ServiceName, Status: 'Running', AccessToken: TOKEN },
      InternetEndpoint: `${url}/${path.ServiceName === 'own' ? 'openai' : 'eas'}`,
    }),
    DescribeGroup: () => ({ Name: 'own', AccessToken: TOKEN, InternetEndpoint: `${url}/openai` }),
  });
  const services = new Services(pai, undefined, (name) => (name === 'own' ? 'bearer' : 'bare'));
  const wait = { timeoutMs: 5000, pollMs: 10 };
  expect(await services.wait('own', wait)).toMatchObject({ status: 'Running' });
  expect(await services.wait('other', wait)).toMatchObject({ status: 'Running' });
  expect((await services.groupEndpoint('own')).authorization).toBe(`Bearer ${TOKEN}`);
  expect((await new Services(pai).endpoint('own')).authorization).toBe(TOKEN);
  expect((await new Services(pai, undefined, 'bearer').endpoint('own')).authorization).toBe(`Bearer ${TOKEN}`);
});
