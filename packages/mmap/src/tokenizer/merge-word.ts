import { hashPair, type MergeTable, NO_RANK } from './merge-table.ts';

/** Words up to this many bytes are merged by scanning for the lowest rank; longer ones by a heap, which is never quadratic. */
const SCAN_LIMIT = 64;
/** A heap entry is `rank * POSITIONS + position`: lowest rank first, equal ranks from the left. */
const POSITIONS = 2 ** 25;

/** Writes the ids of the word `text[start, start + length)` to `ids[at…]` and gives their number. */
export type MergeWord = (start: number, length: number, at: number) => number;

/**
 * A function that merges words of one scratch buffer by rank, lowest first, left-most among equals.
 * The arrays are bound once: as constants of the closure the compiler knows their addresses and lengths.
 */
export function createMergeWord(text: Uint8Array, ids: Int32Array, table: MergeTable): MergeWord {
  const { byteIds, byteRanks, pairs, filter, mergedIds, shift } = table;
  const mask = pairs.length - 1;
  const symbols = new Int32Array(SCAN_LIMIT + 16);
  const ranks = new Int32Array(SCAN_LIMIT + 16);

  function rankOf(left: number, right: number): number {
    const hash = hashPair(left, right);
    if ((((filter[hash >>> 16] as number) >>> ((hash >>> 11) & 31)) & 1) === 0) return NO_RANK;
    let at = (hash >>> shift) << 2;
    for (;;) {
      const found = pairs[at] as number;
      if (found === left && pairs[at + 1] === right) return pairs[at + 2] as number;
      if (found === -1) return NO_RANK;
      at = (at + 4) & mask;
    }
  }

  function mergeByScan(start: number, length: number, at: number): number {
    let count = length;
    for (let i = 0; i < count; i++) symbols[i] = byteIds[text[start + i] as number] as number;
    for (let i = 0; i < count - 1; i++) {
      ranks[i] = byteRanks[((text[start + i] as number) << 8) | (text[start + i + 1] as number)] as number;
    }
    while (count > 1) {
      let best = NO_RANK;
      let position = 0;
      for (let i = 0; i < count - 1; i++) {
        const rank = ranks[i] as number;
        if (rank < best) {
          best = rank;
          position = i;
        }
      }
      if (best === NO_RANK) break;
      const merged = mergedIds[best] as number;
      symbols[position] = merged;
      count--;
      for (let i = position + 1; i < count; i++) {
        symbols[i] = symbols[i + 1] as number;
        ranks[i] = ranks[i + 1] as number;
      }
      if (position > 0) ranks[position - 1] = rankOf(symbols[position - 1] as number, merged);
      ranks[position] = position < count - 1 ? rankOf(merged, symbols[position + 1] as number) : NO_RANK;
    }
    for (let i = 0; i < count; i++) ids[at + i] = symbols[i] as number;
    return count;
  }

  // Reused between long words: allocating them anew for each run of 500 spaces cost a third of the time on HTML.
  let long = longWordArrays(0);

  function mergeByHeap(start: number, length: number, at: number): number {
    if (long.symbols.length < length) long = longWordArrays(length * 2);
    const { symbols: symbol, ranks: rank, previous, next, heap } = long;
    let size = 0;
    const push = (entry: number) => {
      let i = size++;
      while (i > 0) {
        const parent = (i - 1) >> 1;
        if ((heap[parent] as number) <= entry) break;
        heap[i] = heap[parent] as number;
        i = parent;
      }
      heap[i] = entry;
    };
    const pop = (): number => {
      const top = heap[0] as number;
      const last = heap[--size] as number;
      let i = 0;
      for (;;) {
        let child = 2 * i + 1;
        if (child >= size) break;
        if (child + 1 < size && (heap[child + 1] as number) < (heap[child] as number)) child++;
        if ((heap[child] as number) >= last) break;
        heap[i] = heap[child] as number;
        i = child;
      }
      heap[i] = last;
      return top;
    };
    const offer = (i: number, value: number) => {
      rank[i] = value;
      if (value !== NO_RANK) push(value * POSITIONS + i);
    };

    for (let i = 0; i < length; i++) {
      symbol[i] = byteIds[text[start + i] as number] as number;
      previous[i] = i - 1;
      next[i] = i + 1 < length ? i + 1 : -1;
      offer(
        i,
        i + 1 < length
          ? (byteRanks[((text[start + i] as number) << 8) | (text[start + i + 1] as number)] as number)
          : NO_RANK,
      );
    }
    while (size > 0) {
      const entry = pop();
      const merge = Math.floor(entry / POSITIONS);
      const i = entry - merge * POSITIONS;
      if (rank[i] !== merge) continue; // a neighbour was merged meanwhile
      const gone = next[i] as number;
      const after = next[gone] as number;
      symbol[i] = mergedIds[merge] as number;
      rank[gone] = -1;
      next[i] = after;
      if (after >= 0) previous[after] = i;
      offer(i, after >= 0 ? rankOf(symbol[i] as number, symbol[after] as number) : NO_RANK);
      const before = previous[i] as number;
      if (before >= 0) offer(before, rankOf(symbol[before] as number, symbol[i] as number));
    }
    let count = 0;
    for (let i = 0; i >= 0; i = next[i] as number) ids[at + count++] = symbol[i] as number;
    return count;
  }

  return (start, length, at) =>
    length <= SCAN_LIMIT ? mergeByScan(start, length, at) : mergeByHeap(start, length, at);
}

function longWordArrays(length: number) {
  return {
    symbols: new Int32Array(length),
    ranks: new Int32Array(length),
    previous: new Int32Array(length),
    next: new Int32Array(length),
    heap: new Float64Array(length * 3 + 8),
  };
}
