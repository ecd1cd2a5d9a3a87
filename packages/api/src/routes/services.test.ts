import { describe, expect, it } from 'vitest';
import { useTestServer } from '../../test/test-server.ts';

const api = useTestServer();

describe('services', () => {
  const service = (name: string) => ({ name, phase: 'running' as const, status: 'Running', url: `http://eas/${name}` });

  it('are listed by name, in pages, and kept', async () => {
    api.client.pai.services.push(service('b'), service('c'), service('a'));
    const first = (await api.get('/v1/services?limit=2')).json();
    expect(first).toMatchObject({ services: [service('a'), service('b')], hasMore: true });
    const next = (await api.get(`/v1/services?limit=2&after=${first.next}`)).json();
    expect(next).toEqual({ services: [service('c')], hasMore: false });
    expect(await api.repositories.services.find('c')).toMatchObject({ phase: 'running' });
  });

  it('are read one by one, without what the schema does not name', async () => {
    api.client.pai.services.push(Object.assign(service('qwen'), { AccessToken: 'secret' }));
    const response = await api.get('/v1/services/qwen');
    expect(response.json()).toEqual(service('qwen'));
  });
});
