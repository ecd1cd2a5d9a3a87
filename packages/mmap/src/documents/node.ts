import { createHash } from 'node:crypto';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { InvalidInputError } from '@pai-cpt/core';
import { type ByteStream, chunkStream } from './batch.ts';

/** Size and time of a file. */
export interface FileFacts {
  byteLength: number;
  /** Milliseconds since 1970. */
  modifiedMs: number;
}

/** @throws InvalidInputError `CPT_INPUT_FILE_MISSING` when it does not exist or is not a regular file. */
export async function fileFacts(path: string): Promise<FileFacts> {
  const found = await stat(path).catch(() => undefined);
  if (!found?.isFile()) {
    const what = found ? 'is not a regular file' : 'does not exist';
    throw new InvalidInputError('CPT_INPUT_FILE_MISSING', `${path}: ${what}; check the path`, { file: path });
  }
  return { byteLength: found.size, modifiedMs: found.mtimeMs };
}

/** A stream that knows what went through it. */
export interface HashedStream extends ByteStream {
  /** Bytes given so far. */
  position(): number;
  /** Those, and their sha256. */
  digest(): { bytes: number; sha256: string };
}

/** The bytes `[from, to)` of a file; `to` past its end means its end. */
export async function fileStream(
  path: string,
  from: number,
  to: number,
  signal: AbortSignal | undefined,
): Promise<HashedStream> {
  let handle: FileHandle;
  try {
    handle = await open(path, 'r');
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code === 'ENOENT' ? 'does not exist' : (cause as Error).message;
    throw new InvalidInputError('CPT_INPUT_FILE_MISSING', `${path}: ${why}; check the path`, { file: path }, { cause });
  }
  let position = from;
  return hashed({
    async read(into, at) {
      signal?.throwIfAborted();
      const length = Math.min(into.byteLength - at, to - position);
      if (length <= 0) return 0;
      const { bytesRead } = await handle.read(into, at, length, position);
      position += bytesRead;
      return bytesRead;
    },
    close: () => handle.close(),
  });
}

/** What comes in through stdin. */
export function stdinStream(signal: AbortSignal | undefined): HashedStream {
  const chunks = chunkStream(process.stdin[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>);
  return hashed({
    read(into, at) {
      signal?.throwIfAborted();
      return chunks.read(into, at);
    },
    close: () => chunks.close(),
  });
}

function hashed(stream: ByteStream): HashedStream {
  const hash = createHash('sha256');
  let bytes = 0;
  return {
    async read(into, at) {
      const count = await stream.read(into, at);
      hash.update(into.subarray(at, at + count));
      bytes += count;
      return count;
    },
    close: () => stream.close(),
    position: () => bytes,
    digest: () => ({ bytes, sha256: hash.copy().digest('hex') }),
  };
}
