import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { acquireOwnerLock } from './owner-lock.ts';
import { startOf } from './processes.ts';

const HOOKED = 2 ** 22 + 7; // no process has this number
let whileLooking: () => Promise<void>;
vi.mock('./processes.ts', async (importOriginal) => {
  const original = await importOriginal<typeof import('./processes.ts')>();
  const startOfHooked = async (pid: number) => {
    if (pid === HOOKED) await whileLooking();
    return original.startOf(pid);
  };
  return { ...original, startOf: startOfHooked };
});

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'cpt-lock-'));
});
afterEach(() => rm(directory, { recursive: true }));

/** The number of a process that has ended. */
async function endedProcess(): Promise<number> {
  const child = spawn(process.execPath, ['-e', '']);
  await new Promise((resolve) => child.once('exit', resolve));
  return child.pid as number;
}

describe('acquireOwnerLock', () => {
  it('refuses a second owner and names the first, until that lets go', async () => {
    const lock = await acquireOwnerLock(directory);
    await expect(acquireOwnerLock(directory)).rejects.toMatchObject({
      code: 'CPT_CONFIG_DATA_DIRECTORY_IN_USE',
      message: `${directory} is used by process ${process.pid}; stop it, or set DATA_DIR to another directory`,
    });
    await lock.release();
    await (await acquireOwnerLock(directory)).release();
    expect(await readdir(directory)).toEqual([]);
  });

  it('takes over from a process that is gone', async () => {
    await writeFile(
      join(directory, 'owner-7.json'),
      JSON.stringify({ pid: await endedProcess(), startedAt: 'long ago' }),
    );
    const lock = await acquireOwnerLock(directory);
    expect(await readdir(directory)).toEqual(['owner-8.json']);
    expect(JSON.parse(await readFile(join(directory, 'owner-8.json'), 'utf8'))).toMatchObject({ pid: process.pid });
    await lock.release();
  });

  it('takes over when the number now belongs to another process', async () => {
    // Process 1 always lives, and never started at this time.
    await writeFile(join(directory, 'owner-7.json'), JSON.stringify({ pid: 1, startedAt: 'long ago' }));
    await (await acquireOwnerLock(directory)).release();
  });

  it.each(['', 'null', '{"pid":1}', 'not JSON'])('takes over from a lock that says nothing: %j', async (content) => {
    await writeFile(join(directory, 'owner-7.json'), content);
    await (await acquireOwnerLock(directory)).release();
  });

  it('looks again when it has the lock, for an owner that came while it looked the first time', async () => {
    const other = { pid: process.pid, startedAt: await startOf(process.pid) };
    whileLooking = () => writeFile(join(directory, 'owner-3.json'), JSON.stringify(other));
    await writeFile(join(directory, 'owner-7.json'), JSON.stringify({ pid: HOOKED, startedAt: 'long ago' }));
    await expect(acquireOwnerLock(directory)).rejects.toMatchObject({ code: 'CPT_CONFIG_DATA_DIRECTORY_IN_USE' });
    expect((await readdir(directory)).toSorted()).toEqual(['owner-3.json', 'owner-7.json']);
  });

  it('lets one of many that find a stale lock at once have it', async () => {
    await writeFile(
      join(directory, 'owner-7.json'),
      JSON.stringify({ pid: await endedProcess(), startedAt: 'long ago' }),
    );
    const attempts = await Promise.allSettled(Array.from({ length: 20 }, () => acquireOwnerLock(directory)));
    expect(attempts.filter((each) => each.status === 'fulfilled')).toHaveLength(1);
    expect(await readdir(directory)).toEqual(['owner-8.json']);
  });
});

describe('startOf', () => {
  it('is the same for a process whenever it is asked, and nothing for one that ended', async () => {
    expect(await startOf(process.pid)).toBe(await startOf(process.pid));
    expect(await startOf(process.pid)).not.toBe(await startOf(1));
    expect(await startOf(await endedProcess())).toBeUndefined();
  });
});
