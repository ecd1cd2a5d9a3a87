import type { BpeModel } from './bpe-model.ts';

/** No merge: above every rank. */
export const NO_RANK = 0x7fffffff;

/**
 * Merges by pair of ids, in flat integer arrays: no strings, no objects, one probe for nearly every question.
 * An entry of `pairs` is four integers: left id, right id, rank, id of the merged token; empty entries have left id -1.
 */
export interface MergeTable {
  /** Token of each single byte. */
  readonly byteIds: Int32Array;
  /** Rank of the merge of two bytes, at `first << 8 | second`. */
  readonly byteRanks: Int32Array;
  readonly pairs: Int32Array;
  /** Shift that turns a hash into an entry's number. */
  readonly shift: number;
  /** Bloom filter of 2^21 bits before `pairs`: most pairs asked for do not merge, and this is small enough to stay cached. */
  readonly filter: Int32Array;
  /** Id of the merged token, by rank. */
  readonly mergedIds: Int32Array;
}

/** Integers in memory that all threads see: tables are made once. */
export function sharedIntegers(length: number): Int32Array {
  return new Int32Array(new SharedArrayBuffer(4 * length));
}

/** Tables of a model, at most a third full. */
export function createMergeTable(model: BpeModel): MergeTable {
  const byteIds = sharedIntegers(256);
  byteIds.set(model.tokens.byteIds());
  const byteOfId = new Map(Array.from(byteIds, (id, byte) => [id, byte]));
  const count = model.merges.length / 3;
  const bits = Math.max(8, Math.ceil(Math.log2(count * 3 + 1)));
  const table: MergeTable = {
    byteIds,
    byteRanks: sharedIntegers(1 << 16).fill(NO_RANK),
    pairs: sharedIntegers(4 << bits).fill(-1),
    shift: 32 - bits,
    filter: sharedIntegers(1 << 16),
    mergedIds: sharedIntegers(count),
  };
  for (let rank = 0; rank < count; rank++) {
    const left = model.merges[rank * 3] as number;
    const right = model.merges[rank * 3 + 1] as number;
    table.mergedIds[rank] = model.merges[rank * 3 + 2] as number;
    insertPair(table, left, right, rank);
    const [a, b] = [byteOfId.get(left), byteOfId.get(right)];
    if (a === undefined || b === undefined) continue;
    const slot = (a << 8) | b;
    table.byteRanks[slot] = Math.min(table.byteRanks[slot] as number, rank);
  }
  return table;
}

/** Mixes two ids; used for the table and its filter alike. */
export function hashPair(left: number, right: number): number {
  let hash = (Math.imul(left, 0x9e3779b1) + Math.imul(right, 0x85ebca77)) | 0;
  hash ^= hash >>> 15;
  return Math.imul(hash, 0x2c1b3c6d);
}

function insertPair(table: MergeTable, left: number, right: number, rank: number): void {
  const { pairs, filter } = table;
  const hash = hashPair(left, right);
  const word = hash >>> 16;
  filter[word] = (filter[word] as number) | (1 << ((hash >>> 11) & 31));
  let at = (hash >>> table.shift) << 2;
  while (pairs[at] !== -1) {
    if (pairs[at] === left && pairs[at + 1] === right) return; // the lower rank came first and wins
    at = (at + 4) & (pairs.length - 1);
  }
  pairs[at] = left;
  pairs[at + 1] = right;
  pairs[at + 2] = rank;
  pairs[at + 3] = table.mergedIds[rank] as number;
}
