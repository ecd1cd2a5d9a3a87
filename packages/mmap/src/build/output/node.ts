import { readSync, writeSync } from 'node:fs';
import { copyFile, type FileHandle, open } from 'node:fs/promises';

/** A file that grows at its end. */
export interface GrowingFile {
  readonly path: string;
  /** Writes in the foreground: into the system's cache, half the cost of asking another thread to do it. */
  append(bytes: Uint8Array): Promise<void>;
  sync(): Promise<void>;
  close(): Promise<void>;
  /** The first `byteLength` bytes in order, in pieces that are whole 32-bit integers. Reads in the foreground. */
  readIntegers(byteLength: number): Generator<Int32Array>;
  /** The first `byteLength` bytes in order; each piece is valid until the next. */
  readBytes(byteLength: number): Generator<Uint8Array>;
}

const PIECE_BYTES = 1 << 20;

/** Opens `path` with its first `keptBytes`, or makes it; what lies behind is cut off. */
export async function openGrowing(path: string, keptBytes: number): Promise<GrowingFile> {
  const handle: FileHandle = await open(path, keptBytes > 0 ? 'r+' : 'w+');
  let end = keptBytes;
  try {
    const { size } = await handle.stat();
    if (size < keptBytes) throw new Error(`${path}: has ${size} bytes where ${keptBytes} were written`);
    await handle.truncate(keptBytes);
  } catch (error) {
    await handle.close();
    throw error;
  }
  function* pieces(buffer: Uint8Array, byteLength: number): Generator<number> {
    for (let at = 0; at < byteLength; ) {
      const count = readSync(handle.fd, buffer, 0, Math.min(buffer.byteLength, byteLength - at), at);
      if (count === 0) throw new Error(`${path}: ends at ${at}, ${byteLength} bytes were written`);
      at += count;
      yield count;
    }
  }
  return {
    path,
    async append(bytes) {
      for (let done = 0; done < bytes.byteLength; ) {
        const count = writeSync(handle.fd, bytes, done, bytes.byteLength - done, end);
        done += count;
        end += count;
      }
    },
    sync: () => handle.datasync(),
    close: () => handle.close(),
    *readBytes(byteLength) {
      const buffer = new Uint8Array(PIECE_BYTES);
      for (const count of pieces(buffer, byteLength)) yield buffer.subarray(0, count);
    },
    *readIntegers(byteLength) {
      const integers = new Int32Array(PIECE_BYTES / 4);
      const bytes = new Uint8Array(integers.buffer);
      for (const count of pieces(bytes, byteLength)) yield integers.subarray(0, count / 4);
    },
  };
}

/** Writes a file that is there afterwards, whatever happens. */
export async function writeWhole(path: string, content: string): Promise<void> {
  const handle = await open(path, 'w');
  try {
    await handle.writeFile(content);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Copies a file over another. */
export async function copyOver(from: string, to: string): Promise<void> {
  await copyFile(from, to);
}
