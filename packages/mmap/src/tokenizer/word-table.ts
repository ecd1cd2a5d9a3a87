import type { MergeWord } from './merge-word.ts';

/*
 * Short words (up to 15 bytes), one slot of 8 integers = 32 bytes each, open addressing:
 *
 *   key0 key1 key2 key3|length<<24 | count | id0 id1 id2
 *
 * A hit is four loads, one combined comparison and three unconditional stores. A word of more than three ids carries MANY in
 * key3, so that the fast comparison fails; its slot then holds count and the place in the arena.
 *
 * Long words (up to 1024 bytes), a slot of 8 integers as well: hash, place of the bytes, length, count, place of the ids.
 */
const SHORT_BITS = 19;
const SHORT_LIMIT = 380_000;
const MANY = 0x40000000;
const LONG_BITS = 16;
const LONG_LIMIT = 45_000;
const LONG_WORD = 1024;
const LONG_BYTES = 1 << 23;
const ARENA_IDS = 1 << 21;

/** Masks that keep the first `length` bytes of a word, four integers per length. */
const KEY_MASKS = (() => {
  const masks = new Int32Array(64);
  for (let length = 0; length <= 15; length++) {
    for (let part = 0; part < 4; part++) {
      const rest = length - 4 * part;
      masks[length * 4 + part] = rest >= 4 ? -1 : rest <= 0 ? 0 : 2 ** (8 * rest) - 1;
    }
  }
  return masks;
})();

export interface WordTable {
  /** Appends the ids of the words that end at `ends[0, count)`, the first beginning at `start`; gives the new number of ids. */
  lookup(start: number, count: number, at: number): number;
  /** Forgets every word. */
  clear(): void;
}

/**
 * Remembers the ids of words. When full it forgets everything: text has so few distinct words that a cleverer policy costs
 * more than it saves.
 */
export function createWordTable(text: Uint8Array, ends: Int32Array, ids: Int32Array, mergeWord: MergeWord): WordTable {
  const view = new DataView(text.buffer, text.byteOffset, text.byteLength);
  const masks = KEY_MASKS.slice();
  const short = new Int32Array(8 << SHORT_BITS);
  const long = new Int32Array(8 << LONG_BITS);
  const longBytes = new Uint8Array(LONG_BYTES + 16);
  const longView = new DataView(longBytes.buffer);
  const arena = new Int32Array(ARENA_IDS);
  let shortCount = 0;
  let longCount = 0;
  let longEnd = 0;
  let arenaEnd = 0;

  function clear(): void {
    short.fill(0);
    long.fill(0);
    shortCount = longCount = longEnd = arenaEnd = 0;
  }

  function lookup(from: number, count: number, at: number): number {
    let start = from | 0;
    let n = at | 0;
    for (let i = 0; i < count; i = (i + 1) | 0) {
      const end = ends[i] as number;
      const length = (end - start) | 0;
      if (length <= 15) {
        const m = length << 2;
        const key0 = view.getInt32(start, true) & (masks[m] as number);
        const key1 = view.getInt32((start + 4) | 0, true) & (masks[m + 1] as number);
        const key2 = view.getInt32((start + 8) | 0, true) & (masks[m + 2] as number);
        const key3 = (view.getInt32((start + 12) | 0, true) & (masks[m + 3] as number)) | (length << 24);
        let hash =
          (Math.imul(key0, 0x9e3779b1) +
            Math.imul(key1, 0x85ebca77) +
            Math.imul(key2, 0xc2b2ae3d) +
            Math.imul(key3, 0x27d4eb2f)) |
          0;
        hash ^= hash >>> 15;
        hash = Math.imul(hash, 0x2c1b3c6d);
        const slot = (hash >>> (32 - SHORT_BITS)) << 3;
        if (
          (((short[slot] as number) ^ key0) |
            ((short[slot + 1] as number) ^ key1) |
            ((short[slot + 2] as number) ^ key2) |
            ((short[slot + 3] as number) ^ key3)) ===
          0
        ) {
          ids[n] = short[slot + 5] as number;
          ids[(n + 1) | 0] = short[slot + 6] as number;
          ids[(n + 2) | 0] = short[slot + 7] as number;
          n = (n + (short[slot + 4] as number)) | 0;
        } else n = probeShort(start, length, key0, key1, key2, key3, slot, n) | 0;
      } else n = lookupLong(start, length, n) | 0;
      start = end;
    }
    return n;
  }

  function probeShort(
    start: number,
    length: number,
    key0: number,
    key1: number,
    key2: number,
    key3: number,
    firstSlot: number,
    n: number,
  ): number {
    const keyMany = key3 | MANY;
    let slot = firstSlot;
    for (;;) {
      const found = short[slot + 3] as number;
      if (found === 0) break;
      if (short[slot] === key0 && short[slot + 1] === key1 && short[slot + 2] === key2) {
        if (found === key3) {
          for (let i = 0; i < 3; i++) ids[n + i] = short[slot + 5 + i] as number;
          return n + (short[slot + 4] as number);
        }
        if (found === keyMany) return n + copyFromArena(short[slot + 5] as number, short[slot + 4] as number, n);
      }
      slot = (slot + 8) & (short.length - 1);
    }
    const count = mergeWord(start, length, n);
    if (shortCount >= SHORT_LIMIT || arenaEnd + count > ARENA_IDS) {
      clear();
      return n + count;
    }
    shortCount++;
    short[slot] = key0;
    short[slot + 1] = key1;
    short[slot + 2] = key2;
    short[slot + 4] = count;
    if (count <= 3) {
      short[slot + 3] = key3;
      for (let i = 0; i < count; i++) short[slot + 5 + i] = ids[n + i] as number;
    } else {
      short[slot + 3] = keyMany;
      short[slot + 5] = copyToArena(n, count);
    }
    return n + count;
  }

  function lookupLong(start: number, length: number, n: number): number {
    if (length > LONG_WORD) return n + mergeWord(start, length, n);
    const tail = length & 3;
    const whole = (length - tail) | 0;
    const tailMask = (1 << (8 * tail)) - 1;
    let hash = length;
    for (let i = 0; i < whole; i = (i + 4) | 0) {
      hash = Math.imul(hash ^ view.getInt32((start + i) | 0, true), 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    if (tail !== 0) {
      hash = Math.imul(hash ^ (view.getInt32((start + whole) | 0, true) & tailMask), 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    hash = Math.imul(hash, 0x2c1b3c6d) | 1; // 0 marks an empty slot
    let slot = (hash >>> (32 - LONG_BITS)) << 3;
    for (;;) {
      const found = long[slot] as number;
      if (found === 0) break;
      if (found === hash && long[slot + 2] === length && hasBytes(long[slot + 1] as number, start, whole, tailMask)) {
        return n + copyFromArena(long[slot + 4] as number, long[slot + 3] as number, n);
      }
      slot = (slot + 8) & (long.length - 1);
    }
    const count = mergeWord(start, length, n);
    if (longCount >= LONG_LIMIT || longEnd + length > LONG_BYTES || arenaEnd + count > ARENA_IDS) {
      clear();
      return n + count;
    }
    longCount++;
    long[slot] = hash;
    long[slot + 1] = longEnd;
    long[slot + 2] = length;
    long[slot + 3] = count;
    long[slot + 4] = copyToArena(n, count);
    longBytes.set(text.subarray(start, start + length), longEnd);
    longEnd += length;
    return n + count;
  }

  function hasBytes(stored: number, start: number, whole: number, tailMask: number): boolean {
    for (let i = 0; i < whole; i = (i + 4) | 0) {
      if (longView.getInt32((stored + i) | 0, true) !== view.getInt32((start + i) | 0, true)) return false;
    }
    return ((longView.getInt32(stored + whole, true) ^ view.getInt32(start + whole, true)) & tailMask) === 0;
  }

  function copyToArena(n: number, count: number): number {
    const place = arenaEnd;
    for (let i = 0; i < count; i++) arena[place + i] = ids[n + i] as number;
    arenaEnd += count;
    return place;
  }

  function copyFromArena(place: number, count: number, n: number): number {
    for (let i = 0; i < count; i++) ids[n + i] = arena[place + i] as number;
    return count;
  }

  return { lookup, clear };
}
