import { randomBytes } from 'node:crypto';
import { readSync } from 'node:fs';
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type ByteSource, checkRange } from './byte-source.ts';
import { CptError, InvalidInputError } from './errors.ts';

/** A `ByteSource` over an open file. Close it. */
export interface FileSource extends ByteSource {
  readonly path: string;
  /** The descriptor, for synchronous positional reads in hot loops. */
  readonly fd: number;
  readSync(offset: number, length: number): Uint8Array;
  close(): Promise<void>;
}

/** Node ends the process with a failed assertion, not an error, when one call reads more than 2^31 - 1 bytes. */
const MOST_PER_READ = 2 ** 30;

/**
 * Opens a regular file for positional reads.
 * @throws InvalidInputError `CPT_INPUT_FILE_MISSING` when it does not exist or is not a regular file.
 */
export async function fileSource(path: string): Promise<FileSource> {
  const handle = await openExisting(path);
  const { size } = await handle.stat();
  return {
    path,
    fd: handle.fd,
    byteLength: size,
    async read(offset, length, signal) {
      signal?.throwIfAborted();
      checkRange(size, offset, length, path);
      const bytes = new Uint8Array(length);
      for (let done = 0; done < length; ) {
        const { bytesRead } = await handle.read(bytes, done, Math.min(length - done, MOST_PER_READ), offset + done);
        if (bytesRead === 0) checkRange(offset + done, offset, length, path); // the file shrank after it was opened
        done += bytesRead;
      }
      return bytes;
    },
    readSync(offset, length) {
      checkRange(size, offset, length, path);
      const bytes = new Uint8Array(length);
      for (let done = 0; done < length; ) {
        // The descriptor is asked for anew: after `close` it is -1, and its old number may be another file's.
        const bytesRead = readSync(handle.fd, bytes, done, Math.min(length - done, MOST_PER_READ), offset + done);
        if (bytesRead === 0) checkRange(offset + done, offset, length, path); // the file shrank after it was opened
        done += bytesRead;
      }
      return bytes;
    },
    close: () => handle.close(),
  };
}

async function openExisting(path: string): Promise<FileHandle> {
  const found = await stat(path).catch(() => undefined);
  if (!found?.isFile()) {
    const what = found ? 'is not a regular file' : 'does not exist';
    throw new InvalidInputError('CPT_INPUT_FILE_MISSING', `${path}: ${what}; check the path`, { file: path });
  }
  return open(path, 'r');
}

/**
 * Puts `content` under `path` so that a reader sees the old file or the new one, never a part: written to a sibling,
 * synced, renamed, and the directory synced. The sibling is removed when anything fails.
 */
export async function replaceFile(path: string, content: Uint8Array | string): Promise<void> {
  const temporary = temporaryPath(path);
  try {
    const handle = await open(temporary, 'wx');
    try {
      await handle.writeFile(content);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await commitFile(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** A name beside `path` for a file that is not finished; never a final name. */
export function temporaryPath(path: string): string {
  return `${path}.tmp-${process.pid}-${randomBytes(4).toString('hex')}`;
}

/** Renames a synced temporary file to its final name and syncs the directory, so that the rename survives a power cut. */
export async function commitFile(temporary: string, path: string): Promise<void> {
  await rename(temporary, path);
  const directory = await open(dirname(path), 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/**
 * Runs a command-line program: its errors become one line on stderr and an exit code, without a stack trace.
 * Codes: 0 done, 1 refused or failed, 2 wrong use, 130 interrupted. `CPT_DEBUG=1` adds the stack and the causes.
 */
export async function runCli(main: () => Promise<number | undefined>): Promise<void> {
  try {
    process.exitCode = (await main()) ?? 0;
  } catch (error) {
    process.exitCode = exitCodeOf(error);
    process.stderr.write(`error: ${describeError(error)}\n`);
    if (process.env.CPT_DEBUG) console.error(error);
  }
}

function exitCodeOf(error: unknown): number {
  if (error instanceof Error && error.name === 'AbortError') return 130;
  return CptError.isInstance(error) && error.httpStatus === 400 ? 2 : 1;
}

/** One line for a person: the message and, for our own errors, the code to look up in docs/errors.md. */
export function describeError(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const line = message.replaceAll(/\s*\n\s*/g, ' ');
  return CptError.isInstance(error) ? `${line} [${error.code}]` : line;
}
