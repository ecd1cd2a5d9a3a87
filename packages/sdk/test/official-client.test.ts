import { createRequire } from 'node:module';
import { afterEach, expect, it, vi } from 'vitest';
import { createPaiTransport, type PaiTransportOptions } from '../src/pai-transport.ts';
import { type AcsServer, startAcsServer } from './acs-server.ts';

const KEY = { accessKeyId: 'LTAI5tCanaryKeyId0002', accessKeySecret: 'canary-official-secret' };
const DLC = '@alicloud/pai-dlc20201203';

/** A generated client is a class over this one, with methods of its own; `made` counts them. */
const { default: Core } = createRequire(import.meta.url)('@alicloud/openapi-core') as {
  default: new (config: object) => { callApi(...args: unknown[]): unknown };
};
let made = 0;
class GeneratedClient extends Core {
  constructor(config: object) {
    super(config);
    made++;
  }
}

let server: AcsServer | undefined;
afterEach(async () => {
  await server?.close();
  vi.doUnmock(DLC);
});

async function connect(more: Partial<PaiTransportOptions> = {}) {
  server = await startAcsServer({ secrets: { [KEY.accessKeyId]: KEY.accessKeySecret } }, () => ({
    json: { JobId: 'dlc1', Status: 'Running', BrandNew: 1 },
  }));
  const pai = createPaiTransport({
    ...{ regionId: 'cn-hangzhou', endpoint: server.url, credential: KEY, transport: 'official' as const },
    ...more,
  });
  return { pai, seen: server.seen };
}

it.each([
  ['as an ES module', { default: GeneratedClient }],
  ['as a CommonJS module', { default: { default: GeneratedClient } }],
])('sends with the official client, which is imported %s', async (_, module) => {
  vi.doMock(DLC, () => module);
  made = 0;
  const { pai, seen } = await connect();
  expect(await pai.call('GetJob', { path: { JobId: 'dlc1' } })).toMatchObject({ JobId: 'dlc1', BrandNew: 1 });
  await pai.call('GetJob', { path: { JobId: 'dlc1' } });
  expect(made).toBe(1);
  expect(seen.map(({ signatureFault }) => signatureFault)).toEqual([undefined, undefined]);
});

it('calls Studio and AIWorkSpace, which need no package, as without it', async () => {
  const { pai, seen } = await connect();
  await pai.call('GetTrainingJob', { path: { TrainingJobId: 'train1' } });
  expect(seen[0]?.url).toBe('/api/v1/trainingjobs/train1');
});

it('tells the command when the package is not installed', async () => {
  const { pai, seen } = await connect();
  const calling = pai.call('GetJob', { path: { JobId: 'dlc1' } });
  await expect(calling).rejects.toMatchObject({ code: 'CPT_CONFIG_OFFICIAL_CLIENT', details: { package: DLC } });
  await expect(calling).rejects.toThrow(`npm install ${DLC}`);
  expect(seen).toEqual([]);
});

it('refuses a package that is something else', async () => {
  vi.doMock(DLC, () => ({ default: { default: class {} } }));
  const { pai } = await connect();
  await expect(pai.call('GetJob', { path: { JobId: 'dlc1' } })).rejects.toThrow(/no client of this kind/);
});

it('sends with any object that has callApi', async () => {
  const asked: unknown[] = [];
  const transport = {
    async callApi(...args: unknown[]) {
      asked.push(args);
      return { statusCode: 200, headers: {}, body: { DatasetId: 'd-1', Name: 'x', Uri: 'nas://a.b/' } };
    },
  };
  const pai = createPaiTransport({ regionId: 'cn-hangzhou', transport });
  await pai.call('GetDataset', { path: { DatasetId: 'd-1' } });
  expect(asked).toMatchObject([[{ action: 'GetDataset', version: '2021-02-04', style: 'ROA' }, { query: {} }, {}]]);
});
