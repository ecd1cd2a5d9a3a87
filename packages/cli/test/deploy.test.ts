import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type PaiLocal, startPaiLocal } from '@pai-cpt/pai-local';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

/** Journey D as a user runs it: convert, verify, deploy behind a gate, against a pai-local that serves the model for real. */

const ROOT = join(import.meta.dirname, '../../..');
const FIXTURES = join(ROOT, 'fixtures');
const run = promisify(execFile);

let folder: string;
let model: string;
let pai: PaiLocal;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cpt-deploy-'));
  model = join(folder, 'nas/fs1/hf');
  mkdirSync(join(folder, 'nas/fs1'), { recursive: true });
  await convert('to-megatron', REFERENCE, megatron(), '--tp', '2', '--pp', '2');
  await convert('to-hf', megatron(), model, '--reference', REFERENCE);
  cpSync(join(FIXTURES, 'tokenizer/tokenizer.json'), join(model, 'tokenizer.json'));
  // What transformers gives for these weights, greedily.
  writeFileSync(join(folder, 'golden.jsonl'), '{"prompt":"QZ#XK","maxTokens":8,"contains":["8D?"]}\n');
  writeFileSync(
    join(folder, 'wrong.jsonl'),
    '{"id":"capital","prompt":"QZ#XK","maxTokens":8,"contains":["Hangzhou"]}\n',
  );
  for (const name of ['qwen_v1', 'qwen_v2', 'qwen_v3']) {
    const spec = { name, group: 'qwen', checkpoint: { uri: 'nas://fs1.cn-hangzhou/hf' }, instanceType: 'ecs.local' };
    writeFileSync(join(folder, `${name}.json`), JSON.stringify({ ...spec, image: 'pai-local/tiny-vllm:latest' }));
  }
  pai = await startPaiLocal({
    ...{ accessKeys: { 'test-id': 'test-secret' }, pace: 20 },
    ...{ stateDirectory: join(folder, 'state'), nasDirectory: join(folder, 'nas') },
  });
});
afterAll(async () => {
  await pai?.close();
  rmSync(folder, { recursive: true, force: true });
});

const megatron = () => join(folder, 'megatron');
const REFERENCE = join(FIXTURES, 'model-runner/model');

interface Said {
  code: number;
  stdout: string;
  stderr: string;
}
function node(script: string, ...args: string[]): Promise<Said> {
  const env = {
    ...{ PATH: process.env.PATH, HOME: folder, NO_COLOR: '1', PAI_ENDPOINT: pai?.url, PAUSE_MS: '1' },
    ...{ ALIBABA_CLOUD_ACCESS_KEY_ID: 'test-id', ALIBABA_CLOUD_ACCESS_KEY_SECRET: 'test-secret' },
  };
  return run(process.execPath, [join(ROOT, script), ...args], { env, cwd: folder }).then(
    (said) => ({ code: 0, ...said }),
    (error: Said) => error,
  );
}
const convert = (...args: string[]) => node('packages/ckpt-convert/bin/ckpt-convert.js', ...args);
const cpt = (...args: string[]) => node('packages/cli/bin/cpt.js', ...args);
const deploy = (name: string, ...args: string[]) => cpt('deploy', `${name}.json`, '--local', model, ...args);
const canary = ['--canary', '50,100', '--probes', '2', '--pause', '0'];

describe('cpt deploy', () => {
  it('row 63: refuses a checkpoint that was not verified', async () => {
    const { code, stderr } = await deploy('qwen_v1');
    expect(code).toBe(2);
    expect(stderr).toMatch(
      /not verified: it has no verification\.json; run ckpt-convert verify .*\[CPT_INPUT_UNVERIFIED\]/,
    );
    expect((await convert('verify', model, '--against', megatron())).code).toBe(0);
  });

  it('asks for what a canary needs', async () => {
    expect((await deploy('qwen_v1', '--canary', '5,100')).stderr).toContain('--canary needs --gate');
    const odd = await deploy('qwen_v1', '--token-scheme', 'digest');
    expect([odd.code, odd.stderr]).toEqual([2, expect.stringContaining('it can be bare or bearer')]);
    expect((await cpt('services', 'list')).stdout).toBe('');
  });

  it('gives a service its traffic after the gate', async () => {
    const said = await deploy('qwen_v1', '--gate', 'golden.jsonl', '--token-scheme', 'bearer', ...canary);
    expect(said.stderr).toMatch(
      /gate: all 1 golden prompts passed.*\nqwen_v1: 100 % of the traffic\n.*\nqwen_v1: promoted\n$/,
    );
    expect(said).toMatchObject({ code: 0, stdout: `${pai.url}/api/predict/qwen_v1\n` });
  });

  it('row 64: keeps a service that fails its prompts off the traffic', async () => {
    const said = await deploy('qwen_v2', '--gate', 'wrong.jsonl', ...canary);
    expect(said).toMatchObject({ code: 1, stdout: '' });
    expect(said.stderr).toMatch(/✗ capital: does not hold "Hangzhou"\n/);
    expect(said.stderr).toMatch(/got no traffic: .*\[CPT_PAI_GATE_FAILED\]\n$/);
    const { stdout } = await cpt('services', 'list');
    expect(stdout.split('\n').sort().join('\n').trim()).toBe(
      'qwen_v1  running  1/1  qwen: weight 100\nqwen_v2  running  1/1  qwen: no traffic',
    );
  });

  it('is the example', async () => {
    const args = [join(folder, 'qwen_v3.json'), model, join(folder, 'golden.jsonl')];
    const { code, stdout } = await node('examples/deploy-gated.mjs', ...args);
    expect(stdout.split('\n')).toEqual([
      ...['qwen_v3 created', '1 of 1 prompts passed'],
      ...['5 % of the traffic', '  0 of 20 probes failed', '25 % of the traffic', '  0 of 20 probes failed'],
      ...['100 % of the traffic', '  0 of 20 probes failed'],
      ...['qwen_v3 has all traffic of qwen; qwen_v1 runs beside it', ''],
    ]);
    expect(code).toBe(0);
    expect(readFileSync(join(ROOT, 'examples/deploy-gated.mjs'), 'utf8').split('\n').length).toBeLessThan(61);
  });
});

describe('cpt services', () => {
  it('tells, changes and promotes', async () => {
    expect((await cpt('services', 'promote', 'qwen_v1')).stdout).toBe('qwen_v1\n');
    const got = JSON.parse((await cpt('services', 'get', 'qwen_v1', '--json')).stdout);
    expect(got).toMatchObject({ phase: 'running', weight: 100, trafficState: 'grouping', version: 1 });
    expect((await cpt('services', 'logs', 'qwen_v1', '--keyword', 'serving')).stdout).toMatch(
      /^serving qwen_v1 from .*\n$/,
    );
    const events = (await cpt('services', 'events', 'qwen_v1', '--json')).stdout.trim().split('\n');
    expect(events.map((line) => JSON.parse(line).reason)).toContain('Started');
    expect((await cpt('services', 'instances', 'qwen_v1')).stdout).toMatch(
      /^qwen_v1-\w+-0 {2}Running {2}0 restarts {2}/,
    );
    expect((await cpt('services', 'rollback', 'qwen_v1')).stderr).toContain('has version 1 and none before it');
    expect((await cpt('services', 'scale', 'qwen_v2', '0', '--json')).stdout).toBe(
      '{"name":"qwen_v2","instances":0}\n',
    );
    expect((await cpt('services', 'stop', 'qwen_v3')).code).toBe(0);
    expect((await cpt('services', 'delete', 'qwen_v3')).code).toBe(0);
  });
});
