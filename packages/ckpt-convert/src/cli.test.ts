import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeMediumCheckpoint } from '../test/medium-checkpoint.ts';
import { readUnfinished, WORK_FOLDER } from './output/output-directory.ts';

const CLI = fileURLToPath(new URL('cli.ts', import.meta.url));
const LOADER = new URL('../../api/test/register-typescript.mjs', import.meta.url).href;

let root: string;
let source: string;
let expected: Record<string, string>;
const running = new Set<ChildProcess>();

/** The program itself, from its sources; `done` gives its exit code. */
function convert(output: string, ...flags: string[]) {
  const node = ['--conditions=development', '--import', `${LOADER}?cache=${root}`];
  const args = ['to-hf', source, output, '--max-shard-size', '4MB', '--json', ...flags];
  const child = spawn(process.execPath, [...node, CLI, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  running.add(child);
  const text = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk) => {
    text.stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    text.stderr += chunk;
  });
  const done = new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
    child.once('close', (code) => {
      running.delete(child);
      resolve({ code, ...text });
    });
  });
  return { child, done };
}

const digestOf = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex');
const digests = (folder: string) =>
  Object.fromEntries(readdirSync(folder).map((name) => [name, digestOf(join(folder, name))] as const));

/** Waits until the first `count` output shards are noted as finished, or the program ends. */
async function untilFinished(output: string, count: number, child: ChildProcess): Promise<void> {
  const journal = join(output, WORK_FOLDER, 'journal');
  while (child.exitCode === null && child.signalCode === null) {
    if (existsSync(journal) && readFileSync(journal, 'utf8').split('"shard"').length > count) return;
    await sleep(2);
  }
}

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'ckpt-convert-cli-'));
  source = join(root, 'ckpt');
  await writeMediumCheckpoint(source);
  const { code, stderr } = await convert(join(root, 'expected')).done;
  expect([code, stderr]).toEqual([0, expect.any(String)]);
  expected = digests(join(root, 'expected'));
}, 60_000);

afterAll(async () => {
  for (const child of running) child.kill('SIGKILL');
  await rm(root, { recursive: true, force: true });
});

describe('a conversion that is killed at any moment', () => {
  it('goes on with --resume, writes at most one file again, and ends as if nothing had been', async () => {
    let seed = 7;
    const random = () => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return seed / 2 ** 32;
    };
    let kills = 0;
    let resumes = 0;
    for (let run = 0; kills < 10; run++) {
      const output = join(root, `killed-${run}`);
      for (let attempt = 0; ; attempt++) {
        const { child, done } = convert(output, '--resume');
        if (kills < 10 && attempt < 4) {
          await untilFinished(output, 0, child);
          await sleep(random() * 300);
          child.kill('SIGKILL');
        }
        const { code, stdout, stderr } = await done;
        if (code === 0) {
          resumes += JSON.parse(stdout).resumed ? 1 : 0;
          break;
        }
        expect([code, stderr]).toEqual([null, expect.any(String)]);
        kills++;
        const unfinished = readUnfinished(output);
        if (!unfinished || unfinished.isCommitting) continue;
        const there = readdirSync(join(output, WORK_FOLDER)).filter((name) => name.endsWith('.safetensors'));
        expect(there.length - unfinished.finished.size).toBeLessThanOrEqual(1);
        expect(existsSync(join(output, 'model.safetensors.index.json'))).toBe(false);
      }
      expect(digests(output)).toEqual(expected);
      await rm(output, { recursive: true });
    }
    expect(resumes).toBeGreaterThan(0);
  }, 60_000);

  it('does not write again what was finished: the file itself gets its final name', async () => {
    const output = join(root, 'same-files');
    const first = convert(output);
    await untilFinished(output, 4, first.child);
    first.child.kill('SIGKILL');
    await first.done;
    const inodes = [...(readUnfinished(output)?.finished.keys() ?? [])].map(
      (name) => [name, statSync(join(output, WORK_FOLDER, name)).ino] as const,
    );
    expect(inodes.length).toBeGreaterThanOrEqual(4);
    expect((await convert(output, '--resume').done).code).toBe(0);
    for (const [name, inode] of inodes) expect(statSync(join(output, name)).ino, name).toBe(inode);
  }, 30_000);
});

describe('one output', () => {
  it('row 36: has one writer: the second ends with 75 and names the first', async () => {
    const output = join(root, 'locked');
    const first = convert(output);
    await untilFinished(output, 1, first.child);
    first.child.kill('SIGSTOP');
    for (const flags of [[], ['--resume'], ['--force']]) {
      const { code, stderr } = await convert(output, ...flags).done;
      expect([code, stderr]).toEqual([75, expect.stringContaining(`locked by pid ${first.child.pid} on`)]);
    }
    first.child.kill('SIGCONT');
    expect((await first.done).code).toBe(0);
    expect(digests(output)).toEqual(expected);
  }, 30_000);
});

describe('SIGINT', () => {
  it('ends with 130, says how to go on, and --resume does', async () => {
    const output = join(root, 'interrupted');
    const first = convert(output);
    await untilFinished(output, 2, first.child);
    first.child.kill('SIGINT');
    const { code, stdout, stderr } = await first.done;
    expect([code, stdout]).toEqual([130, '']);
    expect(stderr).toContain('error: interrupted by SIGINT');
    expect(stderr).toMatch(/\d+ of \d+ files are written; run the same command with --resume to go on/);
    expect(readdirSync(output)).toEqual([WORK_FOLDER]);
    const second = await convert(output, '--resume').done;
    expect([second.code, JSON.parse(second.stdout).resumed]).toEqual([0, true]);
    expect(digests(output)).toEqual(expected);
  }, 30_000);
});
