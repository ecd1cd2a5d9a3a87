// PREFIX.build/lock-N. Who holds the highest number holds the folder. A lock whose holder is gone is outbid by N + 1, which the file
// system gives to one process only; were it removed, the slower of two heirs would remove the lock of the faster one.

import { randomBytes } from 'node:crypto';
import { link, mkdir, open, readdir, readFile, readlink, rm, stat, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { InvalidInputError } from '@pai-cpt/core';

/** A process, told from others of the same number by when it began, and by the kernel and namespace that count it. */
export interface Holder {
  pid: number;
  /** As the kernel counts; null where it does not say. */
  began: string | null;
  /** Boot id and pid namespace: a pid means something only inside them. */
  kernel: string;
  host: string;
  token: string;
}

/** The right to write into a work folder. */
export interface FolderLock {
  /** False when another process took this one for dead and took over. */
  isHeld(): Promise<boolean>;
  release(): Promise<void>;
}

const HEARTBEAT_MS = 10_000;
/** A holder that another kernel counts is dead after twelve missed heartbeats; flushing a large file can block several. */
export const STALE_MS = 120_000;
const MOST_ATTEMPTS = 20;

/** True for what locks leave in a folder. */
export const isLockFile = (name: string): boolean => name.startsWith('lock-');

/**
 * Takes the folder for this process and shows that it lives until `release`.
 * @throws InvalidInputError `CPT_INPUT_BUILD_RUNNING` naming who holds it.
 */
export async function takeLock(folder: string): Promise<FolderLock> {
  const mine = await describeProcess();
  for (let attempt = 0; ; attempt++) {
    const last = (await lockNumbers(folder)).at(-1) ?? 0;
    const found = last === 0 ? undefined : await readLock(folder, last);
    if (found && (await isAlive(found, mine, folder))) throw runningError(folder, last, found);
    if (attempt >= MOST_ATTEMPTS) throw runningError(folder, last, found);
    if (last > 0 && !found) continue; // released in between
    if (!(await create(folder, last + 1, mine))) continue;
    // Between the list and the creation others may have come, outbid each other and gone.
    if ((await lockNumbers(folder)).at(-1) === last + 1) return heldLock(folder, last + 1, mine);
    await rm(pathOf(folder, last + 1), { force: true });
  }
}

function heldLock(folder: string, number: number, mine: Holder): FolderLock {
  const stop = startHeartbeat(pathOf(folder, number));
  const isMine = async () => (await readLock(folder, number))?.holder?.token === mine.token;
  return {
    isHeld: async () => (await lockNumbers(folder)).at(-1) === number && (await isMine()),
    async release() {
      stop();
      const numbers = await lockNumbers(folder);
      if (numbers.at(-1) === number) {
        for (const lower of numbers.slice(0, -1)) await rm(pathOf(folder, lower), { force: true });
      }
      if (await isMine()) await rm(pathOf(folder, number), { force: true });
    },
  };
}

interface FoundLock {
  /** Undefined when it is not whole. */
  holder: Holder | undefined;
  modifiedMs: number;
}

async function isAlive({ holder, modifiedMs }: FoundLock, mine: Holder, folder: string): Promise<boolean> {
  if (holder?.kernel !== mine.kernel) return (await fileSystemTime(folder)) - modifiedMs <= STALE_MS;
  const began = await beginOf(holder.pid);
  return began !== undefined && began === holder.began;
}

const pathOf = (folder: string, number: number): string => join(folder, `lock-${number}`);

async function lockNumbers(folder: string): Promise<number[]> {
  const names = await readdir(folder).catch(() => []);
  return names
    .flatMap((name) => /^lock-(\d+)$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

async function readLock(folder: string, number: number): Promise<FoundLock | undefined> {
  try {
    const { mtimeMs } = await stat(pathOf(folder, number));
    return { holder: parseHolder(await readFile(pathOf(folder, number), 'utf8')), modifiedMs: mtimeMs };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function parseHolder(text: string): Holder | undefined {
  try {
    return JSON.parse(text) as Holder;
  } catch {
    return undefined; // being written, or its writer was killed
  }
}

/** A mounted bucket has no links. */
const WITHOUT_LINKS = new Set(['EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'EMLINK']);

/** False when there is a lock of this number. A link gives it its name when it is whole. */
async function create(folder: string, number: number, mine: Holder): Promise<boolean> {
  const temporary = join(folder, `lock-new-${mine.token}`);
  const content = JSON.stringify(mine);
  try {
    await writeFile(temporary, content);
    await link(temporary, pathOf(folder, number)).catch(async (error: NodeJS.ErrnoException) => {
      if (!WITHOUT_LINKS.has(error.code ?? '')) throw error;
      await writeFile(pathOf(folder, number), content, { flag: 'wx' });
    });
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') await mkdir(folder, { recursive: true }); // its last holder took it away
    if (code === 'EEXIST' || code === 'ENOENT') return false;
    throw error;
  } finally {
    await rm(temporary, { force: true });
  }
}

/** Renews the time stamp of a lock while the process lives. @returns what stops it. */
function startHeartbeat(path: string): () => void {
  const beat = async () => {
    const handle = await open(path, 'r+').catch(() => undefined);
    if (!handle) return; // taken over; isHeld() will tell
    try {
      await handle.write('{', 0); // its first byte, again: the file system sets the time
    } finally {
      await handle.close();
    }
  };
  const timer = setInterval(() => void beat().catch(() => {}), HEARTBEAT_MS);
  timer.unref();
  return () => clearInterval(timer);
}

/** Now by the clock that stamps files, which on a file server is not ours. */
async function fileSystemTime(folder: string): Promise<number> {
  const probe = join(folder, `lock-clock-${randomBytes(6).toString('hex')}`);
  try {
    await writeFile(probe, '');
    return (await stat(probe)).mtimeMs;
  } catch {
    return Date.now();
  } finally {
    await rm(probe, { force: true });
  }
}

/** This process, for a lock: a token of its own each time. */
export async function describeProcess(): Promise<Holder> {
  const boot = (await textOf('/proc/sys/kernel/random/boot_id'))?.trim();
  const namespace = await readlink('/proc/self/ns/pid').catch(() => 'pid'); // no /proc: one namespace
  return {
    pid: process.pid,
    began: (await beginOf(process.pid)) ?? null,
    kernel: `${boot || hostname()} ${namespace}`,
    host: hostname(),
    token: randomBytes(8).toString('hex'),
  };
}

const textOf = (path: string): Promise<string | undefined> => readFile(path, 'utf8').catch(() => undefined);

/** When a process of this kernel began: the 22nd field of /proc/PID/stat. Null where nobody says, undefined when there is none. */
async function beginOf(pid: number): Promise<string | null | undefined> {
  const text = await textOf(`/proc/${pid}/stat`);
  if (text !== undefined) {
    const [state, ...fields] = text.slice(text.lastIndexOf(')') + 2).split(' '); // the second field is a name that may hold spaces
    return state === 'Z' ? undefined : (fields[18] ?? null); // a zombie holds nothing
  }
  try {
    process.kill(pid, 0);
    return null;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM' ? null : undefined;
  }
}

function runningError(folder: string, number: number, found: FoundLock | undefined): InvalidInputError {
  const { pid, host } = found?.holder ?? {};
  const who = pid === undefined ? 'another process' : `process ${pid} on ${host}`;
  return new InvalidInputError(
    'CPT_INPUT_BUILD_RUNNING',
    `${folder}: ${who} builds this dataset; wait for it, or delete ${pathOf(folder, number)} when it is gone`,
    { file: pathOf(folder, number) },
  );
}
