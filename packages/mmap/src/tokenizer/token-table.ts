/**
 * The tokens of a vocabulary in flat arrays: 150,000 small objects would cost more to make than the whole file to read, and
 * the garbage collector looks at each of them again and again.
 */
export interface TokenTable {
  /** Tokens that there are. */
  readonly count: number;
  bytesOf(id: number): Uint8Array | undefined;
  /** The id of the token `bytes[start, start + length)`, -1 when it is none. `hash` is `hashBytes` of them, if it is known. */
  idOf(bytes: Uint8Array, start: number, length: number, hash?: number): number;
  /** The id of each single byte, -1 where that is no token. */
  byteIds(): Int32Array;
  /** All tokens by rising id. */
  forEach(visit: (bytes: Uint8Array, id: number) => void): void;
}

export interface TokenTableBuilder extends TokenTable {
  /** The next token; false when it is there already, or when its id is no number that a vocabulary of this size has. */
  add(bytes: Uint8Array, start: number, length: number, hash: number, id: number): boolean;
  /** Forgets a token; an id without one is as good. */
  remove(id: number): void;
}

/** Ids are below this; far above every vocabulary. Memory up to there is real only as far as ids go. */
const ID_LIMIT = 1 << 22;
export const HASH_SEED = 0x2545f491;
export const hashByte = (hash: number, byte: number): number => Math.imul(hash ^ byte, 0x01000193);

function hashBytes(bytes: Uint8Array, start: number, length: number): number {
  let hash = HASH_SEED;
  for (let i = start; i < start + length; i++) hash = hashByte(hash, bytes[i] as number);
  return hash;
}

/** Room for up to `maxTokens` tokens of `maxBytes` bytes in all. */
export function createTokenTable(maxTokens: number, maxBytes: number): TokenTableBuilder {
  const store = new Uint8Array(maxBytes);
  const starts = new Int32Array(ID_LIMIT);
  /** Length + 1 by id; 0 where there is no token. */
  const lengths = new Int32Array(ID_LIMIT);
  const bits = Math.max(8, Math.ceil(Math.log2(2 * maxTokens + 1)));
  /** Hash and id + 1 of each slot. */
  const slots = new Int32Array(2 << bits);
  let stored = 0;
  let count = 0;
  let limit = 0;

  /** The slot with these bytes, or the empty one where they belong. */
  function slotOf(bytes: Uint8Array, start: number, length: number, hash: number): number {
    let slot = (Math.imul(hash, 0x9e3779b1) >>> (32 - bits)) << 1;
    for (;;) {
      const found = slots[slot + 1] as number;
      if (found === 0) return slot;
      if (slots[slot] === hash && hasBytes(found - 1, bytes, start, length)) return slot;
      slot = (slot + 2) & (slots.length - 1);
    }
  }

  function hasBytes(id: number, bytes: Uint8Array, start: number, length: number): boolean {
    if (lengths[id] !== length + 1) return false;
    const from = starts[id] as number;
    for (let i = 0; i < length; i++) if (store[from + i] !== bytes[start + i]) return false;
    return true;
  }

  const bytesOf = (id: number): Uint8Array | undefined => {
    const length = (lengths[id] ?? 0) - 1;
    const start = starts[id] as number;
    return length < 0 ? undefined : store.subarray(start, start + length);
  };
  const idOf = (bytes: Uint8Array, start: number, length: number, hash = hashBytes(bytes, start, length)): number =>
    (slots[slotOf(bytes, start, length, hash) + 1] as number) - 1;
  return {
    get count() {
      return count;
    },
    bytesOf,
    idOf,
    byteIds: () => Int32Array.from({ length: 256 }, (_, byte) => idOf(Uint8Array.of(byte), 0, 1)),
    forEach(visit) {
      for (let id = 0; id < limit; id++) {
        const bytes = bytesOf(id);
        if (bytes) visit(bytes, id);
      }
    },
    add(bytes, start, length, hash, id) {
      if (id >= ID_LIMIT || (lengths[id] as number) > 0) return false;
      const slot = slotOf(bytes, start, length, hash);
      if (slots[slot + 1] !== 0) return false;
      slots[slot] = hash;
      slots[slot + 1] = id + 1;
      for (let i = 0; i < length; i++) store[stored + i] = bytes[start + i] as number;
      starts[id] = stored;
      lengths[id] = length + 1;
      stored += length;
      count++;
      limit = Math.max(limit, id + 1);
      return true;
    },
    remove(id) {
      if ((lengths[id] ?? 0) === 0) return;
      lengths[id] = 0; // its slot stays, and is no longer equal to anything
      count--;
    },
  };
}
