import type { FastifyInstance } from 'fastify';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fakeClient } from '../test/fake-client.ts';
import type { Repositories } from './db/repositories.ts';
import { buildServer } from './server.ts';

const kept = async () => undefined;
const repositories = {
  jobs: { recordSeen: kept },
  services: { recordSeen: kept },
  ping: kept,
} as unknown as Repositories;

describe('a service with a token', () => {
  let server: FastifyInstance;
  beforeAll(async () => {
    server = await buildServer({ client: fakeClient(), repositories, token: 'tok3n' });
  });
  afterAll(() => server.close());
  const ask = (url: string, authorization?: string, host = 'api.example.com') =>
    server.inject({ url, headers: { host, ...(authorization !== undefined && { authorization }) } });

  it.each([
    '/v1/jobs',
    '/v1/services',
    '/openapi.json',
    '/docs',
    '/docs/json',
    '/errors/CPT_INPUT_INVALID',
    '/unknown',
  ])('keeps %s from those who do not have it', async (url) => {
    for (const authorization of [
      undefined,
      '',
      'tok3n',
      'Bearer',
      'Bearer tok3',
      'Bearer tok3nn',
      'Basic tok3n',
      'Bearer TOK3N',
    ]) {
      const response = await ask(url, authorization);
      expect(response.statusCode, `${authorization}`).toBe(401);
      expect(response.headers['www-authenticate']).toBe('Bearer realm="cpt-api"');
      expect(response.json()).toMatchObject({ code: 'CPT_INPUT_UNAUTHORIZED' });
      expect(response.body).not.toContain('tok3n');
    }
  });

  it('lets those in who have it, from wherever', async () => {
    expect((await ask('/v1/jobs', 'Bearer tok3n')).statusCode).toBe(200);
    expect((await ask('/v1/jobs', 'bearer  tok3n')).statusCode).toBe(200);
    expect((await ask('/unknown', 'Bearer tok3n')).statusCode).toBe(404);
  });

  it('tells everyone whether it is healthy', async () => {
    expect((await ask('/healthz')).statusCode).toBe(200);
  });

  it('checks before it reads a body', async () => {
    const response = await server.inject({ method: 'POST', url: '/v1/jobs', payload: 'x'.repeat(2 ** 21) });
    expect(response.statusCode).toBe(401);
  });
});

describe('a service without a token', () => {
  let server: FastifyInstance;
  beforeAll(async () => {
    server = await buildServer({ client: fakeClient(), repositories });
  });
  afterAll(() => server.close());
  const ask = (headers: Record<string, string>) => server.inject({ url: '/v1/jobs', headers });

  it.each(['localhost:8787', '127.0.0.1:8787', '[::1]:8787', 'localhost'])('answers %s', async (host) => {
    expect((await ask({ host })).statusCode).toBe(200);
    expect((await ask({ host, origin: `http://${host}` })).statusCode).toBe(200);
  });

  it('refuses a name that was made to resolve to this machine', async () => {
    const response = await ask({ host: 'rebound.example.com:8787' });
    expect(response.statusCode).toBe(403);
    expect(response.json()).toMatchObject({ code: 'CPT_INPUT_ORIGIN' });
  });

  it.each(['https://evil.example.com', 'http://127.0.0.1:9999', 'null'])('refuses a page of %s', async (origin) => {
    const response = await server.inject({
      method: 'POST',
      url: '/v1/jobs/dlc1/stop',
      headers: { host: '127.0.0.1:8787', origin },
    });
    expect(response.statusCode).toBe(403);
    expect(response.json()).toMatchObject({ code: 'CPT_INPUT_ORIGIN' });
  });
});
