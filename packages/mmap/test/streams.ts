import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ByteStream, Piece } from '../src/documents/batch.ts';
import { FIXTURES } from './fixtures.ts';

/** A stream over bytes that gives at most `chunkBytes` at once; `reads` counts how often it was asked. */
export function streamOf(content: Uint8Array | string, chunkBytes = 7): ByteStream & { reads: number } {
  const bytes = Buffer.from(content);
  let at = 0;
  return {
    reads: 0,
    async read(into, offset) {
      this.reads++;
      const count = Math.min(chunkBytes, bytes.length - at, into.length - offset);
      into.set(bytes.subarray(at, at + count), offset);
      at += count;
      return count;
    },
    close: async () => undefined,
  };
}

/** Everything a stream gives. */
export async function readAll(stream: ByteStream): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for (;;) {
    const buffer = Buffer.alloc(4096);
    const count = await stream.read(buffer, 0);
    if (count === 0) break;
    pieces.push(buffer.subarray(0, count));
  }
  await stream.close();
  return Buffer.concat(pieces);
}

/** Everything a generator gives. */
export async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const value of source) found.push(value);
  return found;
}

/** Pieces as text, for a person to compare. */
export function describePieces(pieces: readonly Piece[]): string[] {
  return pieces.map((piece) =>
    piece.kind === 'oversized' ? `oversized at ${piece.byteOffset}` : `${piece.byteOffset} ${Buffer.from(piece.bytes)}`,
  );
}

export const inputFile = (name: string): string => join(FIXTURES, 'mmap/inputs', name);
export const readInput = (name: string): Buffer => readFileSync(inputFile(name));
