import { createHash, randomBytes } from 'node:crypto';
import {
  closeSync,
  fdatasyncSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join, relative } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { OutputFile } from '../execute.ts';
import { type DiskCalls, outputDiffers } from './disk.ts';
import type { SourceFile } from './journal.ts';
import type { LockFolder, LockRecord } from './lock.ts';

/** The disk as it is. */
export const nodeDisk: DiskCalls = {
  makeDirectory: (path) => void mkdirSync(path, { recursive: true }),
  open: openSync,
  write: writeSync,
  sync: fdatasyncSync,
  close: closeSync,
  rename: renameSync,
  remove,
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

const REMOVE_ATTEMPTS = 20;

/** Whoever looks at a lock may put a file of his own beside it for an instant; it must not fail a conversion that is tidying up. */
function remove(path: string): void {
  for (let attempt = 1; ; attempt++) {
    try {
      rmSync(path, { force: true, recursive: true });
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOTEMPTY' || attempt === REMOVE_ATTEMPTS) throw error;
    }
  }
}

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

export function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** Bytes of a file; undefined when there is none. */
export function sizeOf(path: string): number | undefined {
  const found = statSync(path, { throwIfNoEntry: false });
  return found?.isFile() ? found.size : undefined;
}

/** The text of a file; undefined when there is none. */
export function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
}

export const readBytes = (path: string): Uint8Array => readFileSync(path);

export const removeFile = (path: string): void => rmSync(path, { force: true });

/** A file of an output that is there already, for one that writes nothing but holds every byte against it. */
export function openExistingOutput(path: string): OutputFile {
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found?.isFile()) throw outputDiffers(path, 'is not there');
  const fd = openSync(path, 'r');
  const block = new Uint8Array(Math.min(1024 * 1024, found.size));
  let position = 0;
  return {
    write(bytes) {
      for (let done = 0; done < bytes.byteLength; ) {
        const count = readSync(fd, block, 0, Math.min(block.byteLength, bytes.byteLength - done), position);
        const isSame = Buffer.compare(block.subarray(0, count), bytes.subarray(done, done + count)) === 0;
        if (count === 0 || !isSame) {
          closeSync(fd);
          const end = position + count;
          throw outputDiffers(
            path,
            count === 0 ? `ends at byte ${position}` : `differs between byte ${position} and ${end}`,
          );
        }
        done += count;
        position += count;
      }
    },
    async finish() {
      closeSync(fd);
      if (found.size > position) throw outputDiffers(path, `has ${found.size} bytes instead of ${position}`);
    },
  };
}

/** @throws `signal.reason`. */
export async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  await setTimeout(ms, undefined, signal && { signal }).catch(() => signal?.throwIfAborted());
}

/** Makes a directory and its parents. @returns whether it was not there. */
export function makeDirectory(path: string): boolean {
  return mkdirSync(path, { recursive: true }) !== undefined;
}

/** Removes a directory if nothing is left in it. */
export function removeEmptyDirectory(path: string): void {
  try {
    rmdirSync(path);
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (!['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(code)) throw error;
  }
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

/** This process, for a lock: a token of its own each time. */
export function describeProcess(): LockRecord {
  const boot = readTextOf('/proc/sys/kernel/random/boot_id')?.trim();
  return {
    pid: process.pid,
    began: beginOf(process.pid) ?? null,
    kernel: `${boot || hostname()} ${pidNamespace()}`,
    host: hostname(),
    token: randomBytes(8).toString('hex'),
  };
}

/** The text of a file; undefined when it cannot be read. */
function readTextOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

function pidNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return 'pid'; // no /proc: one namespace
  }
}

/** The 22nd field of /proc/PID/stat; the second is a name that may hold spaces. */
function beginOf(pid: number): string | null | undefined {
  const text = readTextOf(`/proc/${pid}/stat`);
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

/** Locks as files of a directory. Each call is over in microseconds; a queue for threads would cost ten times that. */
export function lockFolder(directory: string): LockFolder {
  const pathOf = (number: number) => join(directory, `lock-${number}`);
  return {
    async list() {
      const numbers = namesIn(directory).flatMap((name) => /^lock-(\d+)$/.exec(name)?.[1] ?? []);
      return numbers.map(Number).sort((a, b) => a - b);
    },
    async read(number) {
      try {
        const { mtimeMs } = statSync(pathOf(number));
        const record = parseRecord(readFileSync(pathOf(number), 'utf8'));
        return { record, ageMs: () => fileSystemTime(directory) - mtimeMs };
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
        throw error;
      }
    },
    async create(number, record) {
      try {
        writeNew(pathOf(number), JSON.stringify(record));
        return true;
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === 'ENOENT') makeDirectory(directory); // its last holder took it away
        if (code === 'EEXIST' || code === 'ENOENT') return false;
        throw error;
      }
    },
    remove: async (number) => removeFile(pathOf(number)),
    beginOf,
  };
}

const WITHOUT_LINKS = new Set(['EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'EMLINK']);

/**
 * Makes a file with all of its content, or fails with `EEXIST`. A link gives it its name when it is whole: a process killed between
 * creating and writing would leave an empty lock that counts as held for two minutes.
 */
function writeNew(path: string, content: string): void {
  const temporary = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    writeFileSync(temporary, content, { flag: 'wx' });
    linkSync(temporary, path);
  } catch (error) {
    if (!WITHOUT_LINKS.has((error as NodeJS.ErrnoException).code ?? '')) throw error;
    writeWithoutLink(path, content);
  } finally {
    removeFile(temporary);
  }
}

/** A mounted bucket has no links. */
function writeWithoutLink(path: string, content: string): void {
  try {
    writeFileSync(path, content, { flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') removeFile(path);
    throw error;
  }
}

function parseRecord(text: string): LockRecord | undefined {
  try {
    return JSON.parse(text) as LockRecord;
  } catch {
    return undefined; // being written, or its writer was killed
  }
}

/** Now by the clock that stamps files, which on a file server is not ours. */
function fileSystemTime(directory: string): number {
  const probe = join(directory, `.clock-${randomBytes(6).toString('hex')}`);
  try {
    writeFileSync(probe, '');
    return statSync(probe).mtimeMs;
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
