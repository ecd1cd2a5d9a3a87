import { type CptError, PaiError } from '@pai-cpt/core';
import type { InjectOptions } from 'fastify';
import { describe, expect, it, vi } from 'vitest';
import { RUN } from '../test/fake-client.ts';
import { problemOf, useTestServer } from '../test/test-server.ts';
import { buildServer } from './server.ts';

const api = useTestServer();

describe('a problem', () => {
  it.each<[string, CptError, number]>([
    ['cannot be reached', new PaiError('CPT_PAI_UNAVAILABLE', 'no answer', { systemCode: 'ECONNREFUSED' }), 502],
    ['does not answer in time', new PaiError('CPT_PAI_TIMEOUT', 'no answer'), 504],
    ['refuses the key', new PaiError('CPT_PAI_SIGNATURE', 'SignatureDoesNotMatch'), 502],
    ['forbids it', new PaiError('CPT_PAI_FORBIDDEN', 'NoPermission'), 403],
  ])('answers a problem when PAI %s, also for jobs it has seen', async (_, failure, status) => {
    api.client.failure = failure;
    expect(await problemOf(api.get('/v1/jobs'))).toMatchObject({ status, code: failure.code, detail: failure.message });
  });

  it('passes on how long PAI wants callers to wait', async () => {
    api.client.failure = new PaiError('CPT_PAI_THROTTLED', 'Throttling.User', { retryAfterMs: 2500 });
    const response = await api.get('/v1/jobs');
    expect(response.headers['retry-after']).toBe('3');
    expect(await problemOf(api.get('/v1/jobs'))).toMatchObject({ status: 429, retryable: true });
  });

  it.each<[string, InjectOptions, number, string]>([
    ['no body', {}, 400, 'CPT_INPUT_INVALID'],
    ['broken JSON', { payload: '{', headers: { 'content-type': 'application/json' } }, 400, 'CPT_INPUT_INVALID'],
    ['an array', { payload: [] }, 400, 'CPT_INPUT_INVALID'],
    ['plain text', { payload: '{}', headers: { 'content-type': 'text/plain' } }, 415, 'CPT_INPUT_MEDIA_TYPE'],
    [
      'a form',
      { payload: 'a=b', headers: { 'content-type': 'application/x-www-form-urlencoded' } },
      415,
      'CPT_INPUT_MEDIA_TYPE',
    ],
    ['too much', { payload: { model: 'x'.repeat(2 ** 20) } }, 413, 'CPT_INPUT_BODY_TOO_LARGE'],
    [
      'prototype pollution',
      { payload: '{"__proto__":{"a":1}}', headers: { 'content-type': 'application/json' } },
      400,
      'CPT_INPUT_INVALID',
    ],
  ])('refuses %s', async (_, options, status, code) => {
    const response = api.send({ method: 'POST', url: '/v1/jobs', ...options });
    expect(await problemOf(response)).toMatchObject({ status, code });
  });

  it('answers an unknown path and an unknown method with a problem', async () => {
    expect(await problemOf(api.get('/v2/jobs?x=1'))).toMatchObject({
      status: 404,
      detail: expect.stringContaining('GET /v2/jobs;'),
    });
    expect(await problemOf(api.send({ method: 'PUT', url: '/v1/jobs' }))).toMatchObject({ status: 404 });
    expect(await problemOf(api.get('/v1/jobs/%E0%A4%A'))).toMatchObject({ status: 400 });
  });

  it('says nothing outwards about a defect, and logs it', async () => {
    api.client.failure = new TypeError('cannot read x of undefined at /srv/secret/path');
    const logged = vi.fn();
    const logger = { level: 'error', stream: { write: logged } };
    const own = await buildServer({ client: api.client, repositories: api.repositories, logger });
    const response = await own.inject({ method: 'POST', url: '/v1/jobs', payload: RUN });
    expect(response.json()).toMatchObject({ status: 500, code: 'CPT_SERVICE_INTERNAL' });
    expect(response.body).not.toContain('secret');
    expect(logged.mock.calls.join()).toContain('/srv/secret/path');
    expect(logged.mock.calls.join()).toContain(response.json().request_id);
    await own.close();
  });
});
