import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import { createPaiTransport, type PaiTransportOptions } from '../src/pai-transport.ts';
import { type AcsServer, startAcsServer } from './acs-server.ts';

const KEY = { accessKeyId: 'LTAI5tCanaryKeyId0002', accessKeySecret: 'canary-official-secret' };
const DLC = '@alicloud/pai-dlc20201203';

type Maker = new (
  config: object,
) => {
  callApi(...args: unknown[]): unknown;
  checkConfig(config: object): void;
  _endpointRule: string;
  _regionId: string;
  _endpoint: string;
};
const { default: Core } = createRequire(import.meta.url)('@alicloud/openapi-core') as { default: Maker };

/** What was made, newest last. */
const made: GeneratedClient[] = [];

/** As @alicloud/pai-dlc20201203 1.11.0 and @alicloud/eas20210701 7.9.0 are: a class over the core's, with a table of endpoints. */
class GeneratedClient extends Core {
  constructor(config: object) {
    super(config);
    this._endpointRule = 'regional'; // without it, checkConfig asks for an endpoint
    this.checkConfig(config);
    const endpointMap: Record<string, string> = { 'cn-hangzhou-finance': 'pai-dlc.aliyuncs.com' };
    this._endpoint ??= endpointMap[this._regionId] ?? `pai-dlc.${this._regionId}.aliyuncs.com`;
    made.push(this);
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
  made.length = 0;
  const { pai, seen } = await connect();
  expect(await pai.call('GetJob', { path: { JobId: 'dlc1' } })).toMatchObject({ JobId: 'dlc1', BrandNew: 1 });
  await pai.call('GetJob', { path: { JobId: 'dlc1' } });
  expect(made.map(({ _endpoint }) => `http://${_endpoint}`)).toEqual([server?.url]);
  expect(seen.map(({ signatureFault }) => signatureFault)).toEqual([undefined, undefined]);
});

it('calls Studio and AIWorkSpace, which need no package, as without it', async () => {
  const { pai, seen } = await connect();
  await pai.call('GetTrainingJob', { path: { TrainingJobId: 'train1' } });
  expect(seen[0]?.url).toBe('/api/v1/trainingjobs/train1');
});

it('leaves the endpoint of a region to the official client, whose table may be newer', async () => {
  class Answering extends GeneratedClient {
    override callApi = async () => ({ statusCode: 200, body: { JobId: 'dlc1' } });
  }
  vi.doMock(DLC, () => ({ default: { default: Answering } }));
  const pai = createPaiTransport({ regionId: 'cn-hangzhou-finance', credential: KEY, transport: 'official' });
  await pai.call('GetJob', { path: { JobId: 'dlc1' } });
  expect(made.at(-1)?._endpoint).toBe('pai-dlc.aliyuncs.com');
});

it('tells the command when the package is not installed', async () => {
  vi.doMock(DLC, () => {
    throw new Error(`Cannot find package '${DLC}'`);
  });
  const { pai, seen } = await connect();
  const calling = pai.call('GetJob', { path: { JobId: 'dlc1' } });
  await expect(calling).rejects.toMatchObject({ code: 'CPT_CONFIG_OFFICIAL_CLIENT', details: { package: DLC } });
  await expect(calling).rejects.toThrow(`npm install ${DLC}`);
  expect(seen).toEqual([]);
});

it('names the packages as optional peers, which pnpm-workspace.yaml keeps from being installed here', () => {
  const read = (path: string) => readFileSync(join(import.meta.dirname, path), 'utf8');
  const { peerDependencies, peerDependenciesMeta } = JSON.parse(read('../package.json'));
  expect(Object.keys(peerDependencies)).toEqual(['@alicloud/eas20210701', DLC]);
  for (const name of Object.keys(peerDependencies)) {
    expect(peerDependenciesMeta[name]).toEqual({ optional: true });
    expect(read('../../../pnpm-workspace.yaml')).toContain(`"${name}": "-"`);
  }
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
