import { randomBytes } from 'node:crypto';
import { link, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { InvalidInputError } from '@pai-cpt/core';
import { startOf } from './processes.ts';

interface Lock {
  readonly path: string;
  /** Rises with each owner. */
  readonly generation: number;
}

/**
 * Makes this process the only one that uses `directory`, until `release`; the lock of a process that is gone does not
 * count. The kernel's own file locks cannot be had from Node, so the lock is a file, `owner-<generation>.json`.
 *
 * A stale lock is never replaced, because what was read a moment ago may belong to a living owner by the time it is
 * removed: the next generation is added instead, by a link, which one process alone can make. Each looks again after
 * that, so of two that got through in whatever order, the later one sees the other.
 * @throws InvalidInputError `CPT_CONFIG_DATA_DIRECTORY_IN_USE` that names the process that holds it.
 */
export async function acquireOwnerLock(directory: string): Promise<{ release(): Promise<void> }> {
  const own = join(directory, `.owner-${process.pid}-${randomBytes(4).toString('hex')}`);
  await writeFile(own, JSON.stringify({ pid: process.pid, startedAt: await startOf(process.pid) }));
  try {
    for (;;) {
      const locks = await readLocks(directory);
      await refuseIfOwned(directory, locks);
      const generation = Math.max(0, ...locks.map((lock) => lock.generation)) + 1;
      const path = join(directory, `owner-${generation}.json`);
      if (await tryLink(own, path)) return await confirm(directory, path);
    }
  } finally {
    await rm(own, { force: true });
  }
}

async function confirm(directory: string, path: string): Promise<{ release(): Promise<void> }> {
  const release = () => rm(path, { force: true });
  try {
    const others = (await readLocks(directory)).filter((lock) => lock.path !== path);
    await refuseIfOwned(directory, others);
    for (const stale of others) await rm(stale.path, { force: true });
    return { release };
  } catch (error) {
    await release();
    throw error;
  }
}

async function readLocks(directory: string): Promise<Lock[]> {
  const names = await readdir(directory);
  return names.flatMap((name) => {
    const generation = /^owner-(\d{1,15})\.json$/.exec(name)?.[1];
    return generation === undefined ? [] : [{ path: join(directory, name), generation: Number(generation) }];
  });
}

async function refuseIfOwned(directory: string, locks: readonly Lock[]): Promise<void> {
  for (const { path } of locks) {
    const owner = parseOwner(await readFile(path, 'utf8').catch(() => ''));
    if (owner === undefined || (await startOf(owner.pid)) !== owner.startedAt) continue;
    throw new InvalidInputError(
      'CPT_CONFIG_DATA_DIRECTORY_IN_USE',
      `${directory} is used by process ${owner.pid}; stop it, or set DATA_DIR to another directory`,
      { field: 'DATA_DIR', file: directory, pid: owner.pid },
    );
  }
}

/** A process, and when it started, so that one that got the same number later is not taken for it. */
function parseOwner(content: string): { pid: number; startedAt: string } | undefined {
  try {
    const { pid, startedAt } = JSON.parse(content);
    return typeof pid === 'number' && typeof startedAt === 'string' ? { pid, startedAt } : undefined;
  } catch {
    return undefined;
  }
}

/** False when there is a file of that name. A link appears with its content, unlike a file that is created in place. */
async function tryLink(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}
