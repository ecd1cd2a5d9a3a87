import { CptError, ERRORS } from '@pai-cpt/core';
import { describe, expect, it } from 'vitest';
import { problemOf, useTestServer } from '../../test/test-server.ts';
import { buildServer } from '../server.ts';

const api = useTestServer();

describe('about', () => {
  it('is healthy while the database answers', async () => {
    expect((await api.get('/healthz')).json()).toEqual({ status: 'ok' });
    const lost = {
      ...api.repositories,
      ping: () => Promise.reject(new CptError('CPT_SERVICE_DATABASE', 'it is gone')),
    };
    const own = await buildServer({ client: api.client, repositories: lost });
    const response = await own.inject('/healthz');
    expect(response.json()).toMatchObject({ status: 503, code: 'CPT_SERVICE_DATABASE', retryable: true });
    await own.close();
  });

  it('explains every problem type', async () => {
    const { type } = await problemOf(api.get('/v1/jobs/none'));
    const { meaning } = ERRORS.CPT_PAI_NOT_FOUND;
    expect((await api.get(type)).json()).toEqual({ code: 'CPT_PAI_NOT_FOUND', status: 404, retryable: false, meaning });
    expect(await problemOf(api.get('/errors/toString'))).toMatchObject({ status: 404, code: 'CPT_INPUT_NOT_FOUND' });
  });

  it('serves a page over the document', async () => {
    expect((await api.get('/docs')).headers['content-type']).toContain('text/html');
    expect((await api.get('/docs/static/swagger-ui-bundle.js')).statusCode).toBe(200);
  });
});
