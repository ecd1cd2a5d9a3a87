import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type PaiLocal, startPaiLocal } from '@pai-cpt/pai-local';
import { afterAll, beforeAll, expect, it } from 'vitest';

/** What a run needs, looked up and registered by a user, against a PAI of this machine. */

const cli = join(import.meta.dirname, '../bin/cpt.js');
let root: string;
let pai: PaiLocal;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'cpt-workspace-'));
  pai = await startPaiLocal({
    ...{ accessKeys: { 'test-id': 'test-secret' }, pace: 20 },
    ...{ stateDirectory: join(root, 'pai'), nasDirectory: join(root, 'nas') },
  });
});
afterAll(async () => {
  await pai.close();
  rmSync(root, { recursive: true });
});

function cpt(...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  const env = {
    ...process.env,
    ...{ NO_COLOR: '1', PAI_ENDPOINT: pai.url, PAI_WORKSPACE_ID: '10001' },
    ...{ ALIBABA_CLOUD_ACCESS_KEY_ID: 'test-id', ALIBABA_CLOUD_ACCESS_KEY_SECRET: 'test-secret' },
  };
  const child = spawn(process.execPath, [cli, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
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

it('says what is missing for a run, until it is there', async () => {
  const before = await cpt('doctor');
  expect(before.code).toBe(1);
  expect(before.out.split('\n').map((line) => line.split(':')[0]?.replace(/ +/, ' '))).toEqual([
    ...['ok account', 'ok workspace', 'MISSING output', 'ok gpus', ''],
  ]);
  const registered = await cpt('datasets', 'register', 'output', 'nas://fs1.cn-hangzhou/output');
  expect(registered.out).toMatch(/^d-\w+\n$/);
  const after = await cpt('doctor', '--gpus', '64', '--json');
  expect(after.code).toBe(1);
  const checks = after.out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(checks.map(({ name, isMet }) => `${name} ${isMet}`)).toEqual([
    ...['account true', 'workspace true', 'output true', 'gpus false'],
  ]);
  expect(checks[3].detail).toMatch(/^64 GPUs are needed; quota \w+ \(\S+\) has 32 GPUs free/);
});

it('checks a data set in place, and registers a conversion only when it is whole', async () => {
  const folder = join(root, 'nas/fs1/hf');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'corpus.bin'), 'x');
  writeFileSync(join(folder, 'corpus.idx'), 'x');
  const check = await cpt('datasets', 'check', 'nas://fs1.cn-hangzhou/hf', '--local', folder);
  expect([check.code, check.out]).toEqual([1, expect.stringContaining('rename corpus.bin and corpus.idx')]);

  const register = ['models', 'register', 'law', 'nas://fs1.cn-hangzhou/hf/', '--local', folder, '--iteration', '1000'];
  const refused = await cpt(...register);
  expect([refused.code, refused.err]).toEqual([2, expect.stringContaining('no finished conversion lies here')]);
  writeFileSync(join(folder, 'config.json'), '{}');
  writeFileSync(join(folder, 'model.safetensors'), 'x');
  expect((await cpt(...register)).out).toBe('0.1.0\n');
  const listed = JSON.parse((await cpt('models', 'list', '--json')).out);
  expect(listed).toMatchObject({ name: 'law', latest: { version: '0.1.0', lineage: { iteration: 1000 } } });
});

it('lists quotas, and plans with what a quota has free', async () => {
  expect((await cpt('quotas', 'list')).out).toMatch(/quotalocalecs32 {2}ECS {2}\S+ {2}32 of 32 GPUs free\n.*Lingjun/);
  const spec = join(root, 'spec.json');
  const run = {
    ...{ model: 'qwen2-72b', image: 'registry/x:1', dataSources: [], data: { train: '/mnt/output/dataset' } },
    output: { uri: 'nas://fs1.cn-hangzhou/output', mountPath: '/mnt/output' },
    compute: { nodes: 8, gpusPerNode: 8, quotaId: 'quotalocalecs32' },
  };
  writeFileSync(spec, JSON.stringify(run));
  const plan = await cpt('plan', spec, '--ask');
  expect(plan.code).toBe(3);
  expect(plan.out).toContain('32 free GPUs (GetQuota quotalocalecs32 (local_ecs): 32 GPUs allocatable, 0 allocated)');
});
