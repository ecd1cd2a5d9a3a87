import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type PaiLocal, startPaiLocal } from '@pai-cpt/pai-local';
import { CptClient } from '@pai-cpt/sdk';
import { afterAll, beforeAll, expect, it } from 'vitest';

/** `cpt services autoscale` against a PAI of this machine. The service itself need not run for it. */

const cli = join(import.meta.dirname, '../bin/cpt.js');
const KEY = { accessKeyId: 'test-id', accessKeySecret: 'test-secret' };
let root: string;
let pai: PaiLocal;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'cpt-autoscale-'));
  pai = await startPaiLocal({
    ...{ accessKeys: { [KEY.accessKeyId]: KEY.accessKeySecret }, pace: 20 },
    ...{ stateDirectory: join(root, 'pai'), nasDirectory: join(root, 'nas') },
  });
  const { services } = new CptClient({ regionId: 'cn-hangzhou', endpoint: pai.url, credential: KEY });
  await services.deploy(
    { name: 'qwen', checkpoint: { uri: 'nas://fs1.cn-hangzhou/hf' }, instanceType: 'ecs.local', image: 'none' },
    { isUnverified: true },
  );
});
afterAll(async () => {
  await pai.close();
  rmSync(root, { recursive: true });
});

function autoscale(...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  const env = {
    ...{ PATH: process.env.PATH, HOME: root, NO_COLOR: '1', PAI_ENDPOINT: pai.url },
    ...{ ALIBABA_CLOUD_ACCESS_KEY_ID: KEY.accessKeyId, ALIBABA_CLOUD_ACCESS_KEY_SECRET: KEY.accessKeySecret },
  };
  const child = spawn(process.execPath, [cli, 'services', 'autoscale', ...args], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said.out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said.err += text;
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, ...said }));
  });
}

it('sets a rule, tells it, changes it and takes it away', async () => {
  expect((await autoscale('qwen')).out).toBe('qwen  not scaled automatically\n');
  const set = await autoscale('qwen', '--min', '1', '--max', '4', '--qps', '10', '--gpu', '80', '--down-after', '600');
  expect(set).toMatchObject({
    ...{ code: 0, out: 'qwen  1 to 4 instances by qps above 10, gpu[util] above 80, down after 600 s\n' },
  });
  const changed = await autoscale('qwen', '--min', '0', '--max', '2', '--cpu', '70', '--json');
  expect(JSON.parse(changed.out)).toEqual({
    name: 'qwen',
    scaler: { minInstances: 0, maxInstances: 2, rules: [{ metric: 'cpu', threshold: 70 }] },
  });
  expect(JSON.parse((await autoscale('qwen', '--json')).out).scaler.maxInstances).toBe(2);
  expect(JSON.parse((await autoscale('qwen', '--delete', '--json')).out)).toEqual({ name: 'qwen', scaler: null });
  expect((await autoscale('qwen', '--delete')).err).toContain('[CPT_PAI_NOT_FOUND]');
});

it.each([
  ['without --max', ['--min', '1', '--qps', '5'], 'needs --min, --max'],
  ['without a metric', ['--min', '1', '--max', '5'], 'at least one of --qps, --cpu, --gpu'],
  ['of words', ['--min', 'one', '--max', '5', '--qps', '5'], '--min is "one"'],
  ['upside down', ['--min', '3', '--max', '2', '--qps', '5'], '0 ≤ minInstances ≤ maxInstances'],
  ['that is deleted at once', ['--min', '3', '--delete'], '--delete goes with no other rule'],
])('refuses a rule %s', async (_, args, why) => {
  const { code, out, err } = await autoscale('qwen', ...args);
  expect([code, out, err]).toEqual([2, '', expect.stringContaining(why)]);
});
