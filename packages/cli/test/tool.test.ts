import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type PaiLocal, startPaiLocal } from '@pai-cpt/pai-local';
import { CptClient } from '@pai-cpt/sdk';
import { afterAll, beforeAll, expect, it } from 'vitest';

/** `cpt tool` as a user runs it; what the pods then do is tested in the SDK. */

const cli = join(import.meta.dirname, '../bin/cpt.js');
const run = promisify(execFile);

let folder: string;
let pai: PaiLocal;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cpt-tool-'));
  pai = await startPaiLocal({
    ...{ accessKeys: { 'test-id': 'test-secret' }, pace: 3_600_000 },
    ...{ stateDirectory: join(folder, 'pai'), nasDirectory: join(folder, 'nas') },
  });
});
afterAll(async () => {
  await pai.close();
  rmSync(folder, { recursive: true });
});

async function tool(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const env = {
    ...{ ...process.env, CPT_STATE_DIR: join(folder, 'state'), PAI_ENDPOINT: pai.url },
    ...{ ALIBABA_CLOUD_ACCESS_KEY_ID: 'test-id', ALIBABA_CLOUD_ACCESS_KEY_SECRET: 'test-secret' },
  };
  return run(process.execPath, [cli, 'tool', ...args], { env }).then(
    (said) => ({ code: 0, ...said }),
    (error: { code: number; stdout: string; stderr: string }) => error,
  );
}
const JOB = ['--image', 'r/tools:1', '--mount', 'nas://fs1.cn-hangzhou/cpt=/mnt/nas', '--ecs-spec', 'ecs.g6.2xlarge'];

it('submits a build on three pods, once for a key', async () => {
  const words = [
    'tokenise',
    '/mnt/nas/a b.jsonl',
    '/mnt/nas/more',
    '--tokenizer',
    '/mnt/nas/tok',
    '--output',
    '/mnt/nas/d',
  ];
  const command = [...words, ...JOB, '--parts', '3', '--key', 'k1', '--', '--workers', '2'];
  const first = await tool(...command);
  expect(first).toMatchObject({ code: 0, stderr: expect.stringContaining('created') });
  const jobId = first.stdout.trim();
  expect(await tool(...command, '--text-key', 'body')).toMatchObject({
    stderr: expect.stringContaining('CPT_INPUT_SUBMIT_KEY_REUSED'), // another work under the same key
  });
  expect((await tool(...command)).stdout.trim()).toBe(jobId);

  const credential = { accessKeyId: 'test-id', accessKeySecret: 'test-secret' };
  const job = await new CptClient({ regionId: 'cn-hangzhou', endpoint: pai.url, credential }).jobs.get(jobId);
  expect(job.displayName).toMatch(/^cpt-tokenise-cpt-[0-9a-f]{12}$/);
});

it('submits a conversion', async () => {
  const command = ['convert', 'to-hf', '/mnt/nas/checkpoint', '/mnt/nas/hf', ...JOB, '--json', '--', '--dtype', 'bf16'];
  const { code, stdout } = await tool(...command);
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ phase: 'pending', submission: { how: 'created' } });
});

it.each([
  [['convert', 'to-pdf', '/a', '/b', ...JOB], '/command is "to-pdf"'],
  [['convert', 'to-hf', '/a', '/b', ...JOB, '--', '--part', '1/2'], '/arguments/0 is --part'],
  [['convert', 'to-hf', '/a', '/b', ...JOB, '--parts', 'x'], '/parts'],
  [['convert', 'to-hf', '/a', '/b', ...JOB, '--mount', 'nowhere'], '--mount nowhere'],
])('%#: refuses what cannot be', async (command, message) => {
  expect(await tool(...command)).toMatchObject({ code: 2, stderr: expect.stringContaining(message) });
});
