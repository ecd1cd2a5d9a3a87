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
  /**
   * Ends a document and gives the number of documents it became: 0 for one without ids unless `keepEmpty`, several for one of more
   * than `maxTokens` ids. Each of those has as many as it may, ends as documents end, and cuts a sequence where it must.
   */
  endDocument(eodToken: number | undefined, keepEmpty: boolean): number;
  /** All documents since the last call: the ids in `room` where they fit, else in memory of their own. */
  take(room?: SharedArrayBuffer): EncodedDocuments;
}

/** `maxTokens`: of one document, the id that ends it included. */
export function createIdCollector(dtype: TokenDtype, maxTokens: number): IdCollector {
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
  const add = (found: Int32Array, count: number) => {
    if (count === 0) return;
    reserve(count + 1); // one more: the id that ends a document
    ids.set(found.subarray(0, count), filled);
    filled += count;
    lengths.push(count);
  };
  const close = (eodToken: number | undefined) => {
    const sequences = lengths.length - firstSequence;
    if (sequences > 0 && eodToken !== undefined) {
      ids[filled++] = eodToken;
      lengths[lengths.length - 1] = (lengths[lengths.length - 1] as number) + 1;
    }
    counts.push(sequences);
    largest.push(largestOf(ids, firstId, filled));
    firstId = filled;
    firstSequence = lengths.length;
  };
  /** The document at hand as several, each of at most `room` ids. */
  const split = (room: number, eodToken: number | undefined): number => {
    const whole = ids.slice(firstId, filled);
    const sequences = lengths.splice(firstSequence);
    filled = firstId;
    let documents = 0;
    let at = 0;
    for (const length of sequences) {
      for (const end = at + length; at < end; ) {
        if (filled - firstId === room) {
          close(eodToken);
          documents++;
        }
        const count = Math.min(end - at, room - (filled - firstId));
        add(whole.subarray(at, at + count), count);
        at += count;
      }
    }
    close(eodToken);
    return documents + 1;
  };
  return {
    add,
    drop() {
      filled = firstId;
      lengths.length = firstSequence;
    },
    endDocument(eodToken, keepEmpty) {
      if (lengths.length === firstSequence && !keepEmpty) return 0;
      const room = maxTokens - (eodToken === undefined ? 0 : 1);
      if (filled - firstId > room) return split(room, eodToken);
      close(eodToken);
      return 1;
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
  const bytes = ids.length * (dtype === 'uint16' ? 2 : 4);
  const copy = idsIn(room && room.byteLength >= bytes ? room : new ArrayBuffer(bytes), dtype, ids.length);
  copy.set(ids);
  return copy;
}

/** Ids at the beginning of memory: in the dtype where that is uint16, else int32. */
export function idsIn(memory: ArrayBufferLike, dtype: TokenDtype, count: number): Int32Array | Uint16Array {
  return dtype === 'uint16' ? new Uint16Array(memory, 0, count) : new Int32Array(memory, 0, count);
}

function largestOf(ids: Int32Array, from: number, to: number): number {
  let largest = -1;
  for (let i = from; i < to; i++) if ((ids[i] as number) > largest) largest = ids[i] as number;
  return largest;
}
