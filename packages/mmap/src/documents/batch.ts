import type { BatchBuffers } from './batch-buffers.ts';

/** Whole records of one file, as bytes: cut where records end, not yet looked into. */
export interface Batch {
  kind: 'batch';
  /** How records lie in `bytes`: one a line, runs of lines between blank lines, or as `spans` say. */
  layout: 'lines' | 'paragraphs' | 'spans';
  content: 'json' | 'text';
  bytes: Uint8Array;
  /** Where `bytes` begin in the file, after unpacking. */
  byteOffset: number;
  /** True when `bytes` begin with the first line of the file. */
  isFirst: boolean;
  /** Start and end of each record in `bytes`, alternating; a start of -1 is a missing value. Only for `spans`. */
  spans?: Int32Array;
  /** Records of each document, where one document has several. Only for `spans`. */
  perDocument?: Int32Array;
  /** What numbers count: lines by their breaks, or rows. */
  unit: 'line' | 'row';
  /** A text that was longer than allowed and went on behind this batch. */
  isCut?: boolean;
  /** Line breaks between this batch and the one before it, in a record that was passed over. */
  skippedLines?: number;
  /** A byte order mark stood before `bytes`. */
  hasMark?: boolean;
  /** Byte of the file from which reading can go on behind this batch; absent where only the whole file can be read. */
  resumeAt?: number;
}

/** A record that is longer than allowed and was not kept. It stands where its batch would. */
export interface Oversized {
  kind: 'oversized';
  byteOffset: number;
  maxBytes: number;
}

export type Piece = Batch | Oversized;

/** How inputs are cut. */
export interface CutOptions {
  /** Bytes of a batch, unless one record is longer. */
  batchBytes: number;
  /** Bytes of the longest record. */
  maxLine: number;
  /** Where batches lie. */
  buffers: BatchBuffers;
}

export const BATCH_BYTES = 512 * 1024;
/** Half of what a JavaScript string can hold. */
export const MAX_LINE_BYTES = 256 * 2 ** 20;

/** Bytes in order, from a file, a pipe or something that unpacks one. */
export interface ByteStream {
  /** Puts what comes next into `into`, from `at` on; gives the number of bytes, 0 at the end. */
  read(into: Uint8Array, at: number): Promise<number>;
  close(): Promise<void>;
}

/** Line breaks in bytes. */
export function countLines({ buffer, byteOffset, byteLength }: Uint8Array): number {
  const bytes = Buffer.from(buffer, byteOffset, byteLength);
  let count = 0;
  for (let at = bytes.indexOf(0x0a); at >= 0; at = bytes.indexOf(0x0a, at + 1)) count++;
  return count;
}

/** A stream that gives `prefix` and then `rest`. */
export function prefixed(prefix: Uint8Array, rest: ByteStream): ByteStream {
  let left = prefix;
  return {
    async read(into, at) {
      if (left.byteLength === 0) return rest.read(into, at);
      const count = Math.min(left.byteLength, into.byteLength - at);
      into.set(left.subarray(0, count), at);
      left = left.subarray(count);
      return count;
    },
    close: () => rest.close(),
  };
}

/** A stream over chunks that come from elsewhere. */
export function chunkStream(chunks: AsyncIterator<Uint8Array>): ByteStream {
  let left: Uint8Array = new Uint8Array(0);
  return {
    async read(into, at) {
      while (left.byteLength === 0) {
        const next = await chunks.next();
        if (next.done) return 0;
        left = next.value;
      }
      const count = Math.min(left.byteLength, into.byteLength - at);
      into.set(left.subarray(0, count), at);
      left = left.subarray(count);
      return count;
    },
    async close() {
      await chunks.return?.();
    },
  };
}
