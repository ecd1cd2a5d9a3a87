import { InvalidInputError, PaiError } from '@pai-cpt/core';
import { describe, expect, it } from 'vitest';
import { RUN } from '../test/fake-client.ts';
import { problemOf, useTestServer } from '../test/test-server.ts';
import { openRepositories, type Repositories } from './db/repositories.ts';
import { buildServer } from './server.ts';

const api = useTestServer();

describe('Idempotency-Key', () => {
  let number = 0;
  const newKey = () => ({ 'idempotency-key': `key-${number++}` });

  it('gives the stored answer, byte by byte, to an equal request', async () => {
    const key = newKey();
    const first = await api.post('/v1/jobs', RUN, key);
    const { model, ...rest } = RUN; // the order of fields does not count, nor does a default that is written out
    const second = await api.post('/v1/jobs', { ...rest, hyperParameters: { batch_size: 1 }, model }, key);
    expect(second.statusCode).toBe(201);
    expect(second.body).toBe(first.body);
    expect(second.headers.location).toBe('/v1/jobs/dlc1');
    expect(first.headers).not.toHaveProperty('idempotency-replayed');
    expect(second.headers['idempotency-replayed']).toBe('true');
    expect(api.client.pai.jobs).toHaveLength(1);
  });

  it('survives a restart of the service', async () => {
    const key = newKey();
    await api.post('/v1/jobs', RUN, key);
    const again = await openRepositories(api.databaseUrl);
    const other = await buildServer({ client: api.client, repositories: again });
    const response = await other.inject({ method: 'POST', url: '/v1/jobs', payload: RUN, headers: key });
    expect(response.headers['idempotency-replayed']).toBe('true');
    await other.close();
    await again.close();
  });

  it('creates once for equal requests at the same time', async () => {
    const key = newKey();
    let create = () => {};
    api.client.creating = new Promise((resolve) => {
      create = resolve;
    });
    const first = api.post('/v1/jobs', RUN, key);
    await expect.poll(() => api.client.calls.length).toBe(1);
    const second = await problemOf(api.post('/v1/jobs', RUN, key));
    expect(second).toMatchObject({ status: 409, code: 'CPT_INPUT_IDEMPOTENCY_IN_FLIGHT', retryable: true });
    create();
    expect((await first).statusCode).toBe(201);
    expect((await api.post('/v1/jobs', RUN, key)).headers['idempotency-replayed']).toBe('true');
    expect(api.client.pai.jobs).toHaveLength(1);
  });

  it('creates once for many equal requests at the same time', async () => {
    const key = newKey();
    const answers = await Promise.all(Array.from({ length: 20 }, () => api.post('/v1/jobs', RUN, key)));
    expect(api.client.pai.jobs).toHaveLength(1);
    const created = answers.filter((each) => each.statusCode === 201 && !each.headers['idempotency-replayed']);
    expect(created).toHaveLength(1);
    expect(answers.filter((each) => each.statusCode !== 201 && each.statusCode !== 409)).toEqual([]);
  });

  it('refuses another request under the same key', async () => {
    const key = newKey();
    await api.post('/v1/jobs', RUN, key);
    const code = 'CPT_INPUT_IDEMPOTENCY_KEY_REUSED';
    expect(await problemOf(api.post('/v1/jobs', { ...RUN, priority: 9 }, key))).toMatchObject({ status: 422, code });
    expect(await problemOf(api.post('/v1/jobs?force=true', RUN, key))).toMatchObject({ status: 422, code });
    expect(api.client.pai.jobs).toHaveLength(1);
  });

  it.each<[string, Error]>([
    ['PAI refused it', new PaiError('CPT_PAI_REJECTED', 'InvalidParameter')],
    ['PAI limits the rate', new PaiError('CPT_PAI_THROTTLED', 'Throttling')],
    ['PAI refused the access key', new PaiError('CPT_PAI_SIGNATURE', 'SignatureDoesNotMatch')],
    ['nothing was sent', new PaiError('CPT_PAI_UNAVAILABLE', 'no answer', { systemCode: 'ECONNREFUSED' })],
    ['the plan is blocked', new InvalidInputError('CPT_INPUT_PLAN_BLOCKED', 'blocked')],
  ])('lets a request come again when %s', async (_, failure) => {
    const key = newKey();
    api.client.failure = failure;
    expect((await api.post('/v1/jobs', RUN, key)).statusCode).toBeGreaterThanOrEqual(400);
    api.client.failure = undefined;
    expect((await api.post('/v1/jobs', RUN, key)).statusCode).toBe(201);
  });

  it.each<[string, Error]>([
    ['the connection broke', new PaiError('CPT_PAI_UNAVAILABLE', 'no answer', { systemCode: 'ECONNRESET' })],
    ['PAI took too long', new PaiError('CPT_PAI_TIMEOUT', 'no answer')],
    ['PAI failed', new PaiError('CPT_PAI_UNAVAILABLE', 'InternalError', { status: 500 })],
    ['the service has a defect', new TypeError('x is undefined')],
  ])('never creates again when %s, because the job may exist', async (_, failure) => {
    const key = newKey();
    api.client.failure = failure;
    expect((await api.post('/v1/jobs', RUN, key)).statusCode).toBeGreaterThanOrEqual(500);
    api.client.failure = undefined;
    const problem = await problemOf(api.post('/v1/jobs', RUN, key));
    expect(problem).toMatchObject({ status: 409, code: 'CPT_INPUT_IDEMPOTENCY_UNKNOWN', retryable: false });
    expect(problem.detail).toContain('GET /v1/jobs');
    expect(api.client.pai.jobs).toEqual([]);
  });

  it('answers the created job even when the database fails meanwhile', async () => {
    const failing: Repositories = {
      ...api.repositories,
      jobs: { ...api.repositories.jobs, recordCreated: () => Promise.reject(new Error('disk full')) },
      idempotencyKeys: {
        claim: async () => ({
          outcome: 'claimed',
          complete: () => Promise.reject(new Error('disk full')),
          forget: () => Promise.reject(new Error('disk full')),
          abandon: () => Promise.reject(new Error('disk full')),
        }),
      },
    };
    const own = await buildServer({ client: api.client, repositories: failing });
    const send = () => own.inject({ method: 'POST', url: '/v1/jobs', payload: RUN, headers: newKey() });
    expect((await send()).statusCode).toBe(201);
    api.client.failure = new PaiError('CPT_PAI_REJECTED', 'InvalidParameter');
    expect((await send()).json()).toMatchObject({ status: 422, code: 'CPT_PAI_REJECTED' });
    await own.close();
  });

  it.each(['', 'a b', 'x'.repeat(256)])('refuses the key %j', async (key) => {
    const problem = await problemOf(api.post('/v1/jobs', RUN, { 'idempotency-key': key }));
    expect(problem).toMatchObject({ status: 400, errors: [{ pointer: '/idempotency-key' }] });
    expect(api.client.calls).toEqual([]);
  });
});
