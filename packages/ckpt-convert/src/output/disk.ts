import { CptError, InvalidInputError } from '@pai-cpt/core';
import type { ReadInto } from '../checkpoint.ts';

/** The calls that a conversion makes on files, so that a test can let any one of them fail. */
export interface DiskCalls {
  /** With its parents. */
  makeDirectory(path: string): void;
  /** An empty file, or with `a` the end of one. */
  open(path: string, flags: 'w' | 'a'): number;
  /** May write less than all, as write(2) may. @returns the bytes written. */
  write(fd: number, bytes: Uint8Array, offset: number, length: number): number;
  /** Waits until the content is on the disk. */
  sync(fd: number): void;
  close(fd: number): void;
  rename(from: string, to: string): void;
  /** A file or a directory with all that is in it; nothing happens where there is none. */
  remove(path: string): void;
  /** Waits until the names in a directory are on the disk. */
  syncDirectory(path: string): void;
  /** How the source is read. */
  reads(inner: ReadInto): ReadInto;
}

/**
 * Writes all of `bytes`, however little a single call takes.
 * @throws CptError `CPT_DISK_FAILED` when a call takes nothing: asking again would never end.
 */
export function writeAll(disk: DiskCalls, fd: number, bytes: Uint8Array, path: string): void {
  for (let done = 0; done < bytes.byteLength; ) {
    const count = disk.write(fd, bytes, done, bytes.byteLength - done);
    if (count <= 0) {
      const why = `wrote ${done} of ${bytes.byteLength} bytes and takes no more`;
      throw new CptError('CPT_DISK_FAILED', `${path}: ${why}; check the disk and run again with --resume`, {
        file: path,
      });
    }
    done += count;
  }
}

/** Gives what `call` gives; an error of the system becomes one of ours that names the file. */
export function naming<T>(path: string, what: string, call: () => T, again?: string): T {
  try {
    return call();
  } catch (error) {
    throw diskError(path, what, error, again);
  }
}

const FULL = new Set(['ENOSPC', 'EDQUOT']);

/** An error of ours for one of the system, which names no file when it comes from a descriptor. Others are left as they are. */
export function diskError(path: string, what: string, error: unknown, again = 'run again with --resume'): unknown {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  if (CptError.isInstance(error) || typeof code !== 'string' || !/^E[A-Z0-9]+$/.test(code)) return error;
  const isFull = FULL.has(code);
  const why = code === 'EDQUOT' ? 'the quota is used up' : isFull ? 'the disk is full' : `${what} failed`;
  const advice = `${isFull ? 'make room' : 'check the disk'} and ${again}`;
  return new CptError(
    isFull ? 'CPT_DISK_FULL' : 'CPT_DISK_FAILED',
    `${path}: ${why} (${code}${isFull ? ` on ${what}` : ''}); ${advice}`,
    { file: path, errno: code },
    { cause: error },
  );
}

/** The refusal of an output that is there and is another one. */
export function outputDiffers(path: string, why: string): InvalidInputError {
  return new InvalidInputError(
    'CPT_INPUT_OUTPUT_EXISTS',
    `${path}: ${why}; the output holds something else than this conversion makes; choose an empty directory or replace it with --force`,
    { file: path },
  );
}

/** Reads whose failures name the file and the place. */
export function namingReads(inner: ReadInto): ReadInto {
  return (file, position, target) => {
    try {
      inner(file, position, target);
    } catch (error) {
      throw diskError(file, `reading bytes ${position} to ${position + target.byteLength}`, error);
    }
  };
}
