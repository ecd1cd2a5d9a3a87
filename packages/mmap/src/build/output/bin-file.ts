import { createHash } from 'node:crypto';
import { InvalidInputError } from '@pai-cpt/core';
import { createBuffer } from './buffer.ts';
import { type GrowingFile, openGrowing } from './node.ts';

/** The `.bin` of a dataset in the making. */
export interface BinFile {
  append(bytes: Uint8Array): Promise<void>;
  /** Writes what is still buffered; the sha256 of all of it. */
  digest(): Promise<string>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

export interface BinFileOptions {
  path: string;
  /** Name of the dataset, for messages. */
  name: string;
  /** Bytes that an earlier run left, and the sha256 they must have. */
  keptBytes: number;
  keptSha256: string;
  bufferBytes?: number;
}

/** So much is hashed and then written at a time: it stays in the processor's cache between the two. */
const BUFFER_BYTES = 1 << 18;

/**
 * Opens the file behind one large buffer of its own: a write for each document costs ten times as much.
 * @throws InvalidInputError `CPT_INPUT_RESUME_MISMATCH` when the file does not begin with what was kept.
 */
export async function openBinFile({
  path,
  name,
  keptBytes,
  keptSha256,
  bufferBytes = BUFFER_BYTES,
}: BinFileOptions): Promise<BinFile> {
  const file = await reopen(path, keptBytes, name);
  const hash = createHash('sha256');
  try {
    // After a power cut a file may be shorter than the journal knows, or hold something else.
    for (const bytes of file.readBytes(keptBytes)) hash.update(bytes);
    if (keptBytes > 0 && hash.copy().digest('hex') !== keptSha256)
      throw damaged(name, `${path} is not what was written`);
  } catch (error) {
    await file.close();
    throw error;
  }
  const buffer = createBuffer(bufferBytes, async (bytes) => {
    hash.update(bytes);
    await file.append(bytes);
  });
  return {
    append: buffer.append,
    async digest() {
      await buffer.flush();
      return hash.copy().digest('hex');
    },
    sync: file.sync,
    close: file.close,
  };
}

/**
 * Opens a file of a part with its first `keptBytes`.
 * @throws InvalidInputError `CPT_INPUT_RESUME_MISMATCH` when it has not so many.
 */
export async function reopen(path: string, keptBytes: number, name: string): Promise<GrowingFile> {
  try {
    return await openGrowing(path, keptBytes);
  } catch (cause) {
    if (keptBytes === 0) throw cause;
    throw damaged(name, (cause as Error).message, cause);
  }
}

function damaged(name: string, why: string, cause?: unknown): InvalidInputError {
  return new InvalidInputError(
    'CPT_INPUT_RESUME_MISMATCH',
    `${name}: the unfinished build cannot be continued (${why}); start again with --restart`,
    { file: name },
    { cause },
  );
}
