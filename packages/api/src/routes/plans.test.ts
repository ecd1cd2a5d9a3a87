import { describe, expect, it } from 'vitest';
import { RUN } from '../../test/fake-client.ts';
import { problemOf, useTestServer } from '../../test/test-server.ts';

const api = useTestServer();

describe('POST /v1/plans', () => {
  it('gives the plan of the SDK', async () => {
    const dataset = { tokens: 1e9, sequences: 1e6, documents: 1e5, source: 'dataset.idx' };
    const response = await api.post('/v1/plans', { spec: RUN, facts: { dataset } });
    expect(response.statusCode).toBe(200);
    // ⌊⌊1,638,400 tokens / 32 samples⌋ / 1024 tokens⌋
    expect(response.json()).toMatchObject({ iterations: 50, tokensPerIteration: 32_768, tokens: 1_638_400 });
    expect(response.json()).toEqual(api.client.plan(RUN, { dataset }));
    expect(api.client.calls).toEqual([]);
  });

  it.each<[string, unknown, string[]]>([
    ['no body', undefined, ['']],
    ['no spec', {}, ['/spec']],
    ['an unknown field', { spec: RUN, fatcs: {} }, ['/fatcs']],
    ['an unknown field of the spec', { spec: { ...RUN, imgae: 'x' } }, ['/spec/imgae']],
    ['an unknown field of the facts', { spec: RUN, facts: { datset: {} } }, ['/facts/datset']],
    [
      'wrong facts',
      { spec: RUN, facts: { dataset: { tokens: '5' } } },
      ['/facts/dataset/sequences', '/facts/dataset/tokens'],
    ],
  ])('refuses %s, naming it from the root of the body', async (_, body, pointers) => {
    const problem = await problemOf(api.post('/v1/plans', body));
    expect(problem).toMatchObject({ status: 400, code: 'CPT_INPUT_INVALID' });
    const named = problem.errors.map((error: { pointer: string }) => error.pointer);
    expect(named).toEqual(expect.arrayContaining(pointers));
  });
});
