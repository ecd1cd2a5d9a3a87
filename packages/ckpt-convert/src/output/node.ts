import { createHash, randomBytes } from 'node:crypto';
import {
  closeSync,
  fdatasyncSync,
  fsyncSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { mkdir, open, readFile, rmdir, stat, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join, relative } from 'node:path';
import type { DiskCalls } from './disk.ts';
import type { SourceFile } from './journal.ts';
import type { LockFolder, LockRecord } from './lock.ts';

/** The disk as it is. */
export const nodeDisk: DiskCalls = {
  open: openSync,
  write: writeSync,
  sync: fdatasyncSync,
  close: closeSync,
  rename: renameSync,
  syncDirectory(path) {
    const fd = openSync(path, 'r');
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  },
  reads: (inner) => inner,
};

/** Names in a directory; none where there is no directory. */
export function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw error;
  }
}

/** Bytes of a file; undefined when there is none. */
export function sizeOf(path: string): number | undefined {
  const found = statSync(path, { throwIfNoEntry: false });
  return found?.isFile() ? found.size : undefined;
}

export const readBytes = (path: string): Uint8Array => readFileSync(path);

export const removeFile = (path: string): void => rmSync(path, { force: true });

/** Makes a directory and its parents. @returns whether it was not there. */
export async function makeDirectory(path: string): Promise<boolean> {
  return (await mkdir(path, { recursive: true })) !== undefined;
}

/** Removes a directory if nothing is left in it. */
export async function removeEmptyDirectory(path: string): Promise<void> {
  await rmdir(path).catch((error: NodeJS.ErrnoException) => {
    if (!['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(error.code ?? '')) throw error;
  });
}

const TAIL_BYTES = 1024 * 1024;

/** What tells a file from a changed one without reading it whole. `directory` is what its name is relative to. */
export function identifySource(path: string, directory: string): SourceFile {
  const fd = openSync(path, 'r');
  try {
    const { size, mtimeMs } = statSync(path);
    const tail = new Uint8Array(Math.min(TAIL_BYTES, size));
    for (let done = 0; done < tail.byteLength; ) {
      const count = readSync(fd, tail, done, tail.byteLength - done, size - tail.byteLength + done);
      if (count === 0) break;
      done += count;
    }
    const tailSha256 = createHash('sha256').update(tail).digest('hex');
    return { file: relative(directory, path) || '.', bytes: size, modifiedMs: mtimeMs, tailSha256 };
  } finally {
    closeSync(fd);
  }
}

/** This process, for a lock. */
export async function describeProcess(): Promise<LockRecord> {
  const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '')).trim();
  return {
    pid: process.pid,
    began: (await beginOf(process.pid)) ?? null,
    kernel: `${boot || hostname()} ${pidNamespace()}`,
    host: hostname(),
    token: randomBytes(8).toString('hex'),
  };
}

function pidNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return 'pid'; // no /proc: one namespace
  }
}

/** The 22nd field of /proc/PID/stat; the second is a name that may hold spaces. */
async function beginOf(pid: number): Promise<string | null | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  if (text !== undefined) {
    const [state, ...fields] = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return state === 'Z' ? undefined : (fields[18] ?? null); // a zombie holds nothing
  }
  try {
    process.kill(pid, 0);
    return null;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM' ? null : undefined;
  }
}

/** Locks as files of a directory. */
export function lockFolder(directory: string): LockFolder {
  const pathOf = (number: number) => join(directory, `lock-${number}`);
  return {
    async list() {
      const numbers = namesIn(directory).flatMap((name) => /^lock-(\d+)$/.exec(name)?.[1] ?? []);
      return numbers.map(Number).sort((a, b) => a - b);
    },
    async read(number) {
      try {
        const { mtimeMs } = await stat(pathOf(number));
        const record = parseRecord(await readFile(pathOf(number), 'utf8'));
        return { record, ageMs: (await fileSystemTime(directory)) - mtimeMs };
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
        throw error;
      }
    },
    async create(number, record) {
      try {
        await writeFile(pathOf(number), JSON.stringify(record), { flag: 'wx' });
        return true;
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === 'ENOENT') await makeDirectory(directory); // its last holder took it away
        if (code === 'EEXIST' || code === 'ENOENT') return false;
        removeFile(pathOf(number)); // an empty one would count as held for a while
        throw error;
      }
    },
    async remove(number) {
      removeFile(pathOf(number));
    },
    beginOf,
  };
}

function parseRecord(text: string): LockRecord | undefined {
  try {
    return JSON.parse(text) as LockRecord;
  } catch {
    return undefined; // being written, or its writer was killed
  }
}

/** Now by the clock that stamps files, which on a file server is not ours. */
async function fileSystemTime(directory: string): Promise<number> {
  const probe = join(directory, `.clock-${randomBytes(6).toString('hex')}`);
  try {
    await writeFile(probe, '');
    return (await stat(probe)).mtimeMs;
  } catch {
    return Date.now(); // a directory that may only be read
  } finally {
    removeFile(probe);
  }
}

const HEARTBEAT_MS = 10_000;

/** Renews the time stamp of a lock while the process lives. @returns what stops it. */
export function startHeartbeat(directory: string, number: number): () => void {
  const beat = async () => {
    const handle = await open(join(directory, `lock-${number}`), 'r+').catch(() => undefined);
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
