import { closeSync, existsSync, fdatasyncSync, openSync, writeSync } from 'node:fs';
import { copyFile, mkdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { commitFile, temporaryPath } from '@pai-cpt/core/node';
import { naming } from '../output/disk.ts';

/** A file under a temporary name. */
export interface PendingFile {
  /** @throws CptError `CPT_DISK_FULL`, `CPT_DISK_FAILED`. */
  write(bytes: Uint8Array): void;
  /** Flushes, closes and renames to the final name. */
  commit(): Promise<void>;
  /** Closes and removes it, if it was not committed. */
  discard(): Promise<void>;
}

/** Makes the file's directory too. */
export async function openPendingFile(path: string): Promise<PendingFile> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = temporaryPath(path);
  let fd: number | undefined = openSync(temporary, 'wx');
  const close = () => {
    if (fd !== undefined) closeSync(fd);
    fd = undefined;
  };
  return {
    write(bytes) {
      if (fd === undefined) throw new RangeError(`${path} is closed`);
      const open = fd;
      const writeAll = () => {
        for (let done = 0; done < bytes.byteLength; ) done += writeSync(open, bytes, done, bytes.byteLength - done);
      };
      naming(path, 'writing', writeAll, 'run again');
    },
    async commit() {
      const open = fd;
      if (open !== undefined) naming(path, 'flushing', () => fdatasyncSync(open), 'run again');
      close();
      await commitFile(temporary, path);
    },
    async discard() {
      close();
      await rm(temporary, { force: true });
    },
  };
}

/** A directory in the making, hidden beside its final name until `commit`. */
export interface PendingDirectory {
  readonly path: string;
  /** Puts it in the place of what stands under the final name. */
  commit(): Promise<void>;
  /** Removes it if it was not committed, and the parent if this made it. */
  discard(): Promise<void>;
}

export async function openPendingDirectory(final: string): Promise<PendingDirectory> {
  const parent = dirname(final);
  const isNewParent = !existsSync(parent);
  const path = join(parent, `.${basename(temporaryPath(final))}`);
  await mkdir(path, { recursive: true });
  let isCommitted = false;
  return {
    path,
    async commit() {
      const old = existsSync(final) ? `${path}-old` : undefined;
      if (old) await rename(final, old);
      await commitFile(path, final);
      isCommitted = true;
      if (old) await rm(old, { recursive: true, force: true });
    },
    async discard() {
      if (isCommitted) return;
      await rm(path, { recursive: true, force: true });
      if (isNewParent) await rm(parent, { recursive: true, force: true });
    },
  };
}

/** Copies one file; under its final name it is whole or not there. */
export async function copyIntoPlace(from: string, path: string): Promise<void> {
  const temporary = temporaryPath(path);
  try {
    await copyFile(from, temporary);
    await commitFile(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
