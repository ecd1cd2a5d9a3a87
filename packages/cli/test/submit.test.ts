import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type PaiLocal, startPaiLocal } from '@pai-cpt/pai-local';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

/** `cpt submit` as a user runs it, against a PAI that loses answers. */

const SECRET = 'canary-secret';
const cli = join(import.meta.dirname, '../bin/cpt.js');
const example = join(import.meta.dirname, '../../../examples/qwen2-72b.json');

let root: string;
let pai: PaiLocal;
let folder: string;
let specPath: string;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'cpt-submit-'));
  pai = await startPaiLocal({
    ...{ accessKeys: { 'test-id': SECRET }, pace: 3_600_000 },
    ...{ stateDirectory: join(root, 'pai'), nasDirectory: join(root, 'nas') },
  });
});
afterAll(async () => {
  await pai.close();
  rmSync(root, { recursive: true });
});
beforeEach(() => {
  folder = mkdtempSync(join(root, 'run-'));
  specPath = join(folder, 'spec.json');
  const spec = JSON.parse(readFileSync(example, 'utf8'));
  spec.environment = { HF_TOKEN: 'canary-token' };
  spec.output = { uri: 'nas://fs1.cn-hangzhou/output', mountPath: '/mnt/output' }; // pai-local has no such data set
  writeFileSync(specPath, JSON.stringify(spec));
});
afterEach(() => pai.faults.set({ rules: [] }));

function submit(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const env = {
    ...process.env,
    ...{ NO_COLOR: '1', CPT_STATE_DIR: join(folder, 'state'), PAI_ENDPOINT: pai.url },
    ...{ ALIBABA_CLOUD_ACCESS_KEY_ID: 'test-id', ALIBABA_CLOUD_ACCESS_KEY_SECRET: SECRET },
  };
  const child = spawn(process.execPath, [cli, 'submit', ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const said = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said.stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said.stderr += text;
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, ...said }));
  });
}

const journalText = () =>
  readdirSync(join(folder, 'state'))
    .map((name) => readFileSync(join(folder, 'state', name), 'utf8'))
    .join('');

describe('cpt submit', () => {
  it('creates once under a key, and says what it did', async () => {
    const first = await submit(specPath, '--key', 'monday');
    expect(first.code).toBe(0);
    expect(first.stdout).toMatch(/^dlc[0-9a-z]{13}\n$/);
    expect(first.stderr).toContain('created');
    const again = await submit(specPath, '--key', 'monday', '--json');
    expect(JSON.parse(again.stdout)).toMatchObject({
      ...{ jobId: first.stdout.trim(), submission: { key: 'monday', how: 'known', stopped: [] } },
    });
    expect(again.stderr).toContain('known: submitted before with this key');
    for (const text of [first.stdout, first.stderr, again.stdout, again.stderr, journalText()]) {
      expect(text).not.toContain('canary');
    }
  });

  it('adopts the job whose answer was lost, under a key of its own making', async () => {
    pai.faults.set({ rules: [{ fault: 'drop', action: 'CreateJob', commits: true, times: 1 }] });
    const { code, stdout, stderr } = await submit(specPath);
    expect(code).toBe(0);
    expect(stderr).toMatch(/^key: cpt-[0-9a-f]{12} \(if this is interrupted: the same command with --key cpt-/);
    expect(stderr).toContain('adopted: it was there already');
    expect(stdout).toMatch(/^dlc/);
  });

  it('refuses to start a run anew whose submission is unfinished, and finishes it with its key or with --recover', async () => {
    pai.faults.set({
      rules: [
        { fault: 'reset-mid-body', action: 'CreateJob', times: 1 },
        { fault: 'hang', action: 'ListJobs', skip: 1 },
      ],
    });
    const killed = spawn(process.execPath, [cli, 'submit', specPath, '--key', 'tuesday'], {
      stdio: 'ignore',
      env: {
        ...process.env,
        ...{ CPT_STATE_DIR: join(folder, 'state'), PAI_ENDPOINT: pai.url },
        ...{ ALIBABA_CLOUD_ACCESS_KEY_ID: 'test-id', ALIBABA_CLOUD_ACCESS_KEY_SECRET: SECRET },
      },
    });
    const gone = new Promise((resolve) => killed.once('close', resolve));
    while (pai.faults.counts()[1]?.struck === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    killed.kill('SIGKILL');
    await gone;
    pai.faults.set({ rules: [] });

    const refused = await submit(specPath);
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toMatch(/is not finished: --key "tuesday" continues it, --recover finishes all/);
    const recovered = await submit('--recover');
    expect(recovered.stdout).toMatch(/^dlc[0-9a-z]{13} {2}adopted {2}tuesday\n$/);
    expect((await submit('--recover')).stderr).toContain('no submission is unfinished');
  });

  it('refuses a key that is another run’s, and no specification at all', async () => {
    await submit(specPath, '--key', 'wednesday');
    writeFileSync(
      specPath,
      readFileSync(specPath, 'utf8').replace('"maxRunningTimeMinutes":120', '"maxRunningTimeMinutes":60'),
    );
    expect((await submit(specPath, '--key', 'wednesday')).stderr).toContain('CPT_INPUT_SUBMIT_KEY_REUSED');
    expect(await submit()).toMatchObject({ code: 2, stderr: expect.stringContaining('give a run specification') });
  });
});
