import { ERRORS, InvalidInputError, PaiError } from '@pai-cpt/core';
import { beforeEach, describe, expect, it } from 'vitest';
import { aJob, RUN } from '../../test/fake-client.ts';
import { problemOf, useTestServer } from '../../test/test-server.ts';

const api = useTestServer();

describe('GET /v1/jobs', () => {
  it('lists what PAI has, whoever created it, and keeps it', async () => {
    api.client.pai.jobs.push(aJob({ jobId: 'dlc-by-sdk' }));
    const response = await api.get('/v1/jobs');
    expect(response.statusCode).toBe(200);
    expect(response.json()).toEqual({ jobs: [aJob({ jobId: 'dlc-by-sdk' })], hasMore: false });
    expect(await api.repositories.jobs.find('dlc-by-sdk')).toMatchObject({ phase: 'running', spec: null });
  });

  it('gives pages that neither repeat nor skip a job when others appear and vanish between them', async () => {
    const second = (number: number) => `2026-11-24T08:00:${String(number).padStart(2, '0')}Z`;
    // Pairs of one second, in the order in which PAI happens to have them.
    const ids = ['09', '08', '06', '07', '04', '05', '02', '03', '01'];
    api.client.pai.jobs.push(...ids.map((id) => aJob({ jobId: id, createdAt: second(Math.floor(Number(id) / 2)) })));
    const first = (await api.get('/v1/jobs?limit=4')).json();
    expect(first.jobs.map((job: { jobId: string }) => job.jobId)).toEqual(['09', '08', '07', '06']);
    expect(first.hasMore).toBe(true);

    api.client.pai.jobs.unshift(aJob({ jobId: '10', createdAt: second(50) }));
    api.client.pai.jobs.splice(
      api.client.pai.jobs.findIndex((job) => job.jobId === '06'),
      1,
    );
    const next = (await api.get(`/v1/jobs?limit=4&after=${first.next}`)).json();
    expect(next.jobs.map((job: { jobId: string }) => job.jobId)).toEqual(['05', '04', '03', '02']);
    const last = (await api.get(`/v1/jobs?limit=4&after=${next.next}`)).json();
    expect(last).toMatchObject({ jobs: [{ jobId: '01' }], hasMore: false });
    expect(last).not.toHaveProperty('next');
  });

  it.each(['limit=0', 'limit=101', 'limit=1.5', 'limit=', 'limit=1&limit=2', 'limit=0x10', 'after=nonsense', 'after='])(
    'refuses ?%s, naming the parameter',
    async (query) => {
      const problem = await problemOf(api.get(`/v1/jobs?${query}`));
      expect(problem).toMatchObject({ status: 400, code: 'CPT_INPUT_INVALID' });
      expect(problem.errors[0].pointer).toBe(`/${query.split('=')[0]}`);
    },
  );

  it('refuses an unknown parameter, naming the known ones', async () => {
    const problem = await problemOf(api.get('/v1/jobs?limt=5'));
    expect(problem.errors).toEqual([{ pointer: '/limt', message: 'is not known; known are: limit, after' }]);
  });
});

describe('POST /v1/jobs', () => {
  it('creates the job, says where it is, and keeps it with its spec', async () => {
    const response = await api.post('/v1/jobs', RUN);
    expect(response.statusCode).toBe(201);
    expect(response.headers.location).toBe('/v1/jobs/dlc1');
    expect(response.json()).toEqual(api.client.pai.jobs[0]);
    expect(api.client.calls).toEqual(['submit qwen2-72b-cpt']); // a default of the SDK
    expect(await api.repositories.jobs.find('dlc1')).toMatchObject({
      spec: { model: 'qwen2-72b' },
      status: 'Creating',
    });
  });

  it('keeps no value of an environment variable', async () => {
    await api.post('/v1/jobs', { ...RUN, environment: { HF_TOKEN: 'hf_secret' } });
    const record = await api.repositories.jobs.find('dlc1');
    expect(record?.spec).toMatchObject({ environment: { HF_TOKEN: '(not kept)' } });
    expect(JSON.stringify(record)).not.toContain('hf_secret');
  });

  it('forces a blocked plan only when it is told to', async () => {
    await api.post('/v1/jobs?force=true', RUN);
    await api.post('/v1/jobs?force=false', RUN);
    expect(api.client.calls).toEqual(['submit qwen2-72b-cpt by force', 'submit qwen2-72b-cpt']);
    expect(await problemOf(api.post('/v1/jobs?force=yes', RUN))).toMatchObject({ errors: [{ pointer: '/force' }] });
  });

  it('does not invite to a second job when PAI did not answer whether there is a first', async () => {
    const displayName = 'qwen2-72b-cpt-0123456789ab';
    api.client.failure = new PaiError('CPT_PAI_SUBMIT_UNKNOWN', 'no answer; recover the journal', { displayName });
    const response = await api.post('/v1/jobs', RUN);
    expect(response.headers).not.toHaveProperty('retry-after');
    expect(response.json()).toMatchObject({
      ...{ status: 504, code: 'CPT_SERVICE_SUBMIT_UNKNOWN', retryable: false },
      detail: expect.stringMatching(
        /within 60 s whether it created the job qwen2-72b-cpt-0123456789ab; look for it in GET/,
      ),
    });
    expect(api.client.submitTimeouts).toEqual([60_000]);
  });

  it('answers a problem when the plan is blocked', async () => {
    api.client.failure = new InvalidInputError('CPT_INPUT_PLAN_BLOCKED', 'the plan is blocked: P1: 0 iterations');
    const problem = await problemOf(api.post('/v1/jobs', RUN));
    expect(problem).toMatchObject({
      status: ERRORS.CPT_INPUT_PLAN_BLOCKED.httpStatus,
      detail: api.client.failure.message,
    });
  });

  it('names an unknown field and the nearest known one, and asks nothing of PAI', async () => {
    const run = { ...RUN, imge: 'x', hyperParameters: { learningRate: 1e-5 } };
    const problem = await problemOf(api.post('/v1/jobs', run));
    expect(problem).toMatchObject({ status: 400, code: 'CPT_INPUT_INVALID' });
    expect(problem.errors).toEqual([
      { pointer: '/imge', message: 'is not a known field; did you mean "image"?' },
      {
        pointer: '/hyperParameters/learningRate',
        message: 'is not a known field; did you mean "learning_rate"?',
      },
    ]);
    expect(api.client.calls).toEqual([]);
  });

  it('takes no text for a number', async () => {
    const run = { ...RUN, compute: { ...RUN.compute, nodes: '4' } };
    expect(await problemOf(api.post('/v1/jobs', run))).toMatchObject({ errors: [{ pointer: '/compute/nodes' }] });
  });

  it('refuses what contradicts itself', async () => {
    const run = { ...RUN, compute: { ...RUN.compute, quotaId: 'quota1' } };
    expect(await problemOf(api.post('/v1/jobs', run))).toMatchObject({ errors: [{ pointer: '/compute' }] });
  });
});

describe('one job', () => {
  beforeEach(() => {
    api.client.pai.jobs.push(aJob({ jobId: 'dlc7', pods: [{ podId: 'dlc7-master-0', status: 'Running' }] }));
  });

  it('is what PAI says now, and is kept', async () => {
    const response = await api.get('/v1/jobs/dlc7');
    expect(response.json()).toEqual(api.client.pai.jobs[0]);
    expect(await api.repositories.jobs.find('dlc7')).toMatchObject({ facts: { pods: [{ podId: 'dlc7-master-0' }] } });
  });

  it('can be stopped', async () => {
    const response = await api.post('/v1/jobs/dlc7/stop');
    expect(response.statusCode).toBe(202);
    expect(response.json()).toMatchObject({ jobId: 'dlc7', status: 'Stopping' });
    expect(await api.repositories.jobs.find('dlc7')).toMatchObject({ status: 'Stopping' });
  });

  it('can be deleted, and is forgotten', async () => {
    await api.get('/v1/jobs/dlc7');
    const response = await api.send({ method: 'DELETE', url: '/v1/jobs/dlc7' });
    expect(response.statusCode).toBe(204);
    expect(response.body).toBe('');
    expect(api.client.pai.jobs).toEqual([]);
    expect(await api.repositories.jobs.find('dlc7')).toBeUndefined();
  });

  it.each<['GET' | 'POST' | 'DELETE', string]>([
    ['GET', '/v1/jobs/none'],
    ['POST', '/v1/jobs/none/stop'],
    ['DELETE', '/v1/jobs/none'],
    ['GET', '/v1/services/none'],
  ])('%s %s answers 404', async (method, url) => {
    expect(await problemOf(api.send({ method, url }))).toMatchObject({ status: 404, code: 'CPT_PAI_NOT_FOUND' });
  });

  it('keeps a slash in an id inside the id', async () => {
    await api.get('/v1/jobs/..%2Fservices');
    expect(api.client.calls).toEqual(['get ../services']);
  });
});
