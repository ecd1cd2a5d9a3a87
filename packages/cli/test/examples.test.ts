import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type PaiLocal, parseScenario, startPaiLocal } from '@pai-cpt/pai-local';
import { afterAll, beforeAll, expect, it } from 'vitest';

/** The examples as a user runs them, against a pai-local. */

const ROOT = join(import.meta.dirname, '../../..');
const FIXTURES = join(ROOT, 'fixtures');
const run = promisify(execFile);

let folder: string;
let pai: PaiLocal;
const nas = () => join(folder, 'nas/demo-nas/cpt');

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'examples-'));
  mkdirSync(join(nas(), 'corpus'), { recursive: true });
  cpSync(join(FIXTURES, 'corpus/english.jsonl'), join(nas(), 'corpus/english.jsonl'));
  cpSync(join(FIXTURES, 'tokenizer'), join(nas(), 'tokenizer'), { recursive: true });
  cpSync(join(FIXTURES, 'checkpoints/qwen2-tp2-pp2/megatron'), join(nas(), 'checkpoint'), { recursive: true });
  const training = { iterations: 30, iterationMs: 5, saveInterval: 10, warmupIterations: 0 };
  pai = await startPaiLocal({
    ...{ accessKeys: { 'test-id': 'test-secret' }, pace: 20 },
    ...{ stateDirectory: join(folder, 'state'), nasDirectory: join(folder, 'nas') },
    scenario: parseScenario({ jobs: [{ name: 'qwen2-72b-cpt', ...training }] }),
  });
});
afterAll(async () => {
  await pai?.close();
  rmSync(folder, { recursive: true, force: true });
});

async function example(name: string, ...args: string[]): Promise<{ code: number; stdout: string }> {
  const env = {
    ...{ PATH: process.env.PATH, HOME: folder, PAI_ENDPOINT: pai.url },
    ...{ ALIBABA_CLOUD_ACCESS_KEY_ID: 'test-id', ALIBABA_CLOUD_ACCESS_KEY_SECRET: 'test-secret' },
  };
  const command = [join(ROOT, 'examples', name), ...args];
  return run(process.execPath, command, { env, cwd: folder }).then(
    ({ stdout }) => ({ code: 0, stdout }),
    (error: { code: number; stdout: string; stderr: string }) => ({
      code: error.code,
      stdout: error.stdout + error.stderr,
    }),
  );
}

it('journey A: tokenises, and does not do it twice', async () => {
  const first = await example('tokenise.mjs');
  expect(first).toMatchObject({ code: 0, stdout: expect.stringMatching(/\(created\)\nsucceeded after \d+ s, 0\/10/) });
  expect(readdirSync(join(nas(), 'dataset')).filter((name) => !name.startsWith('.'))).toEqual([
    ...['dataset.bin', 'dataset.idx', 'dataset.json'],
  ]);
  expect((await example('tokenise.mjs')).stdout).toContain('(known)');
});

it('journey C: converts', async () => {
  const { code, stdout } = await example('convert.mjs');
  expect(stdout).toContain('all parts are done, the output is whole');
  expect(code).toBe(0);
  expect(existsSync(join(nas(), 'hf/model.safetensors'))).toBe(true);
});

it('journey B: plans, submits and watches', async () => {
  const spec = JSON.parse(readFileSync(join(ROOT, 'examples/qwen2-72b.json'), 'utf8'));
  spec.output = { uri: 'nas://demo-nas.cn-hangzhou/output', mountPath: '/mnt/output' };
  writeFileSync(join(folder, 'spec.json'), JSON.stringify(spec));
  const good = await example('train.mjs', 'spec.json');
  expect(good.stdout.match(/checkpoint \d+/g)).toEqual(['checkpoint 10', 'checkpoint 20', 'checkpoint 30']);
  expect(good).toMatchObject({ code: 0, stdout: expect.stringMatching(/\nend: succeeded .*\n$/) });
});

it('shows a lost answer, a spike and a restart', async () => {
  const { code, stdout } = await example('show.mjs');
  expect(code).toBe(0);
  const lines = stdout.split('\n');
  expect(lines.slice(0, 2)).toEqual([
    'job adopted: the answer to CreateJob was lost, the job was found',
    'jobs of this name: 1',
  ]);
  expect(stdout).toMatch(/opened: the loss jumped since iteration 60; .*checkpoint of iteration 40/);
  expect(stdout).toContain('phase running (Restarting)');
  expect(stdout).toContain('loaded iteration 80 from /mnt/output/checkpoint');
  expect(stdout).toMatch(/closed: the loss jumped/);
  expect(stdout).toContain('end: succeeded\n160 iterations, 19 of them trained twice\n');
});

it('no example is longer than a page', () => {
  const names = readdirSync(join(ROOT, 'examples')).filter((name) => name.endsWith('.mjs'));
  expect(names).toEqual(expect.arrayContaining(['convert.mjs', 'show.mjs', 'tokenise.mjs', 'train.mjs']));
  for (const name of names)
    expect(readFileSync(join(ROOT, 'examples', name), 'utf8').split('\n').length).toBeLessThan(61);
});

it('the README of the SDK quotes the example as it is', () => {
  const readme = readFileSync(join(ROOT, 'packages/sdk/README.md'), 'utf8');
  const code = readFileSync(join(ROOT, 'examples/tokenise.mjs'), 'utf8');
  const call = /const job = await client\.jobs\.submitTool\([\s\S]*?\n\);\n/.exec(code)?.[0];
  expect(call).toBeDefined();
  expect(readme).toContain(call);
});
