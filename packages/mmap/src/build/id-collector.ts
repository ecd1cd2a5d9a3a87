import type { TokenDtype } from '../token-dtype.ts';

/** Documents as ids, one behind another. */
export interface EncodedDocuments {
  /** Ids of all sequences, in the dtype where that is uint16 or int32. */
  ids: Int32Array | Uint16Array;
  /** Ids of each sequence. */
  lengths: Int32Array;
  /** Sequences of each document; absent when each has one. */
  perDocument?: Int32Array;
  /** Largest id of each document, -1 without ids. */
  largest: Int32Array;
}

/** Gathers sequences into documents, in memory that is used again for every batch. */
export interface IdCollector {
  /** The next sequence of the document: the first `count` of `ids`. */
  add(ids: Int32Array, count: number): void;
  /** Forgets the sequences since the last `endDocument`. */
  drop(): void;
  /** Ends a document and gives true; a document without ids is left out unless `keepEmpty`. */
  endDocument(eodToken: number | undefined, keepEmpty: boolean): boolean;
  /** All documents since the last call: the ids in `room` where they fit, else in memory of their own. */
  take(room?: SharedArrayBuffer): EncodedDocuments;
}

export function createIdCollector(dtype: TokenDtype): IdCollector {
  let ids = new Int32Array(1 << 18);
  let filled = 0;
  let lengths: number[] = [];
  let counts: number[] = [];
  let largest: number[] = [];
  /** Where the document at hand begins. */
  let firstId = 0;
  let firstSequence = 0;

  const reserve = (count: number) => {
    if (filled + count <= ids.length) return;
    const next = new Int32Array(Math.max(ids.length * 2, filled + count));
    next.set(ids.subarray(0, filled));
    ids = next;
  };
  return {
    add(found, count) {
      if (count === 0) return;
      reserve(count + 1);
      ids.set(found.subarray(0, count), filled);
      filled += count;
      lengths.push(count);
    },
    drop() {
      filled = firstId;
      lengths.length = firstSequence;
    },
    endDocument(eodToken, keepEmpty) {
      const sequences = lengths.length - firstSequence;
      if (sequences === 0 && !keepEmpty) return false;
      if (sequences > 0 && eodToken !== undefined) {
        ids[filled++] = eodToken; // `add` left room for it
        lengths[lengths.length - 1] = (lengths[lengths.length - 1] as number) + 1;
      }
      counts.push(sequences);
      largest.push(largestOf(ids, firstId, filled));
      firstId = filled;
      firstSequence = lengths.length;
      return true;
    },
    take(room) {
      const documents: EncodedDocuments = {
        ids: copyIds(ids.subarray(0, filled), dtype, room),
        lengths: Int32Array.from(lengths),
        largest: Int32Array.from(largest),
        ...(counts.some((count) => count !== 1) && { perDocument: Int32Array.from(counts) }),
      };
      if (ids.length > 1 << 24) ids = new Int32Array(1 << 18);
      filled = 0;
      firstId = 0;
      firstSequence = 0;
      lengths = [];
      counts = [];
      largest = [];
      return documents;
    },
  };
}

function copyIds(ids: Int32Array, dtype: TokenDtype, room: SharedArrayBuffer | undefined): Int32Array | Uint16Array {
  const width = dtype === 'uint16' ? 2 : 4;
  const memory: ArrayBufferLike =
    room && room.byteLength >= ids.length * width ? room : new ArrayBuffer(ids.length * width);
  const copy = width === 2 ? new Uint16Array(memory, 0, ids.length) : new Int32Array(memory, 0, ids.length);
  copy.set(ids);
  return copy;
}

function largestOf(ids: Int32Array, from: number, to: number): number {
  let largest = -1;
  for (let i = from; i < to; i++) if ((ids[i] as number) > largest) largest = ids[i] as number;
  return largest;
}
