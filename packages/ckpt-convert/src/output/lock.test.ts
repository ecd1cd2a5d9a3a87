import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CptError } from '@pai-cpt/core';
import { describe, expect, it } from 'vitest';
import { withDirectory } from '../../test/tiny-checkpoint.ts';
import { acquireLock, type LockRecord, requireUnlocked, STALE_MS } from './lock.ts';
import { describeProcess, lockFolder } from './node.ts';

/** The record of another process that lives until `body` ends. */
async function withProcess(body: (record: LockRecord, kill: () => Promise<void>) => Promise<void>): Promise<void> {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
  const exited = once(child, 'exit');
  const kill = async () => {
    child.kill('SIGKILL');
    await exited;
  };
  try {
    const pid = child.pid as number;
    const began = lockFolder('.').beginOf(pid) ?? null;
    await body({ ...describeProcess(), pid, began, token: 'other' }, kill);
  } finally {
    await kill();
  }
}

/** The lock of one who is not heard of for `ageMs`. */
async function leaveLock(directory: string, number: number, record: LockRecord, ageMs = 0): Promise<void> {
  const path = join(directory, `lock-${number}`);
  await writeFile(path, JSON.stringify(record));
  const then = (Date.now() - ageMs) / 1000;
  await utimes(path, then, then);
}

const locked = (message: string | RegExp) =>
  expect.objectContaining({ code: 'CPT_INPUT_OUTPUT_LOCKED', message: expect.stringMatching(message) });

describe('the lock of an output', () => {
  it('is held by one, and free again after', async () => {
    await withDirectory(async (root) => {
      const folder = lockFolder(root);
      const mine = describeProcess();
      const lock = await acquireLock(folder, mine, root);
      expect(await lock.isHeld()).toBe(true);
      const other = { ...mine, token: 'another run in this process' };
      await expect(acquireLock(folder, other, root)).rejects.toThrow(locked(`locked by pid ${process.pid} on `));
      await expect(requireUnlocked(folder, other, root)).rejects.toThrow(
        locked('wait for it or choose another output'),
      );
      await lock.release();
      expect(await readdir(root)).toEqual([]);
      await (await acquireLock(folder, other, root)).release();
    });
  });

  it('row 36: is taken over from a process that was killed, and not while it lives', async () => {
    await withDirectory(async (root) => {
      await withProcess(async (record, kill) => {
        const folder = lockFolder(root);
        await leaveLock(root, 1, record, 10 * STALE_MS);
        await expect(acquireLock(folder, describeProcess(), root)).rejects.toThrow(locked(`pid ${record.pid} on`));
        await kill();
        await requireUnlocked(folder, describeProcess(), root);
        const lock = await acquireLock(folder, describeProcess(), root);
        expect([lock.number, await lock.isHeld()]).toEqual([2, true]);
        await lock.release();
        expect(await readdir(root)).toEqual([]);
      });
    });
  });

  it('is taken over from a process whose number another one has now', async () => {
    await withDirectory(async (root) => {
      await withProcess(async (record) => {
        await leaveLock(root, 1, { ...record, began: '1' });
        await (await acquireLock(lockFolder(root), describeProcess(), root)).release();
      });
    });
  });

  it('of another boot or machine is taken over when nothing was heard of it for long, whatever runs here under its number', async () => {
    await withDirectory(async (root) => {
      await withProcess(async (record) => {
        const folder = lockFolder(root);
        const far = { ...record, kernel: 'another boot pid:[1]', host: 'node-7' };
        await leaveLock(root, 1, far, STALE_MS / 2);
        await expect(acquireLock(folder, describeProcess(), root)).rejects.toThrow(
          locked(/pid \d+ on node-7, last heard of (59|60|61) s ago/),
        );
        await leaveLock(root, 1, far, STALE_MS + 5000);
        await (await acquireLock(folder, describeProcess(), root)).release();
      });
    });
  });

  it('that is empty, as while it is written, counts as held until it is old', async () => {
    await withDirectory(async (root) => {
      const path = join(root, 'lock-1');
      await writeFile(path, '');
      await expect(acquireLock(lockFolder(root), describeProcess(), root)).rejects.toThrow(locked('another process'));
      await utimes(path, 1, 1);
      await (await acquireLock(lockFolder(root), describeProcess(), root)).release();
    });
  });

  it('that was lost is noticed, and its release takes nothing from the heir', async () => {
    await withDirectory(async (root) => {
      const folder = lockFolder(root);
      const mine = describeProcess();
      const lock = await acquireLock(folder, mine, root);
      await leaveLock(root, 2, { ...mine, token: 'heir' });
      expect(await lock.isHeld()).toBe(false);
      await lock.release();
      expect(await readdir(root)).toEqual(['lock-2']);
    });
  });

  it('is given to one of many who find the same stale one', async () => {
    await withDirectory(async (root) => {
      const mine = describeProcess();
      await leaveLock(root, 1, { ...mine, began: '1' });
      const all = Array.from({ length: 12 }, (_, at) =>
        acquireLock(lockFolder(root), { ...mine, token: String(at) }, root).catch((error: unknown) => error),
      );
      const results = await Promise.all(all);
      expect(results.filter((result) => !CptError.isInstance(result))).toHaveLength(1);
    });
  });
});
