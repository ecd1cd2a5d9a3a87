import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { faultyDisk } from '../test/faulty-disk.ts';
import { treeOf } from '../test/folders.ts';
import { FIXTURES } from '../test/tiny-checkpoint.ts';
import { convertOnDisk } from './convert.ts';
import { readUnfinished, WORK_FOLDER } from './output/output-directory.ts';

const CLI = fileURLToPath(new URL('cli.ts', import.meta.url));
const SIGNAL = new URL('../test/signal-at-call.mjs', import.meta.url).href;
const source = join(FIXTURES, 'qwen2-uneven-first', 'megatron');
const maxShardBytes = 700; // six files

let root: string;
let expected: Record<string, string>;
/** Every call of an undisturbed conversion that writes or renames. */
let changes: string[];
const running = new Set<ChildProcess>();

/** The program itself, from its sources, which gets a signal at one of its calls to the disk; `done` gives its exit code. */
function convert(output: string, flags: string[], stop?: { signal: NodeJS.Signals; call: number }) {
  const preload = stop ? ['--import', `${SIGNAL}?signal=${stop.signal}&call=${stop.call}`] : [];
  const args = ['to-hf', source, output, '--max-shard-size', `${maxShardBytes}`, '--json', ...flags];
  const child = spawn(process.execPath, [...process.execArgv, ...preload, CLI, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
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

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'ckpt-convert-cli-'));
  const disk = faultyDisk();
  await convertOnDisk({ source, output: join(root, 'expected'), maxShardBytes }, disk);
  changes = disk.calls.filter((call) => call === 'write' || call === 'rename');
  expected = await treeOf(join(root, 'expected'));
});

afterAll(async () => {
  for (const child of running) child.kill('SIGKILL');
  await rm(root, { recursive: true, force: true });
});

describe('a conversion that is killed', () => {
  it('goes on with --resume, writes at most one file again, and ends as if nothing had been', async () => {
    const output = join(root, 'killed');
    const inodes = new Map<string, number>();
    // In the first file, again and again in later ones, and between the last two renames.
    const third = Math.floor(changes.length / 3);
    for (const call of [5, third, 5, changes.length - third - 8]) {
      const { code, stdout } = await convert(output, ['--resume'], { signal: 'SIGKILL', call }).done;
      expect([code, stdout]).toEqual([null, '']);
      const { finished } = readUnfinished(output) ?? { finished: new Map<string, unknown>() };
      const work = join(output, WORK_FOLDER);
      const there = readdirSync(work).filter((name) => name.endsWith('.safetensors'));
      expect(there.length - finished.size).toBeLessThanOrEqual(1);
      expect(existsSync(join(output, 'model.safetensors.index.json'))).toBe(false);
      for (const name of finished.keys()) {
        const { ino } = statSync(join(work, name));
        expect(inodes.get(name) ?? ino, name).toBe(ino); // not written again
        inodes.set(name, ino);
      }
    }
    expect(inodes.size).toBeGreaterThanOrEqual(3);
    const { code, stdout } = await convert(output, ['--resume']).done;
    expect([code, JSON.parse(stdout).resumed]).toEqual([0, true]);
    expect(await treeOf(output)).toEqual(expected);
    for (const [name, inode] of inodes) expect(statSync(join(output, name)).ino, name).toBe(inode);
  });

  it('between two of its renames puts the others in their place', async () => {
    const output = join(root, 'renaming');
    const call = changes.lastIndexOf('rename'); // the one before the last, counted from 1
    expect((await convert(output, [], { signal: 'SIGKILL', call }).done).code).toBeNull();
    expect(readdirSync(output)).toContain('config.json');
    expect(existsSync(join(output, 'model.safetensors.index.json'))).toBe(false);
    expect((await convert(output, ['--resume']).done).code).toBe(0);
    expect(await treeOf(output)).toEqual(expected);
  });
});

describe('one output', () => {
  it('row 36: has one writer: the second ends with 75 and names the first', async () => {
    const output = join(root, 'locked');
    const first = convert(output, [], { signal: 'SIGSTOP', call: Math.floor(changes.length / 2) });
    while (!existsSync(join(output, WORK_FOLDER, 'lock-1')) && first.child.exitCode === null) await sleep(5);
    const others = [[], ['--resume'], ['--force']].map((flags) => convert(output, flags).done);
    for (const { code, stderr } of await Promise.all(others)) {
      expect([code, stderr]).toEqual([75, expect.stringContaining(`locked by pid ${first.child.pid} on`)]);
    }
    while (first.child.exitCode === null && running.has(first.child)) {
      first.child.kill('SIGCONT'); // it may not have stopped yet
      await sleep(20);
    }
    expect((await first.done).code).toBe(0);
    expect(await treeOf(output)).toEqual(expected);
  });
});

describe('SIGINT', () => {
  it('ends with 130, says how to go on, and --resume does', async () => {
    const output = join(root, 'interrupted');
    const call = Math.floor(changes.length / 3);
    const { code, stdout, stderr } = await convert(output, [], { signal: 'SIGINT', call }).done;
    expect([code, stdout]).toEqual([130, '']);
    expect(stderr).toContain('error: interrupted by SIGINT');
    expect(stderr).toMatch(/[1-5] of 6 files are written; run the same command with --resume to go on/);
    expect(readdirSync(output)).toEqual([WORK_FOLDER]);
    const second = await convert(output, ['--resume']).done;
    expect([second.code, JSON.parse(second.stdout).resumed]).toEqual([0, true]);
    expect(await treeOf(output)).toEqual(expected);
  });
});
