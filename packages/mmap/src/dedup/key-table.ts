/** Slots are added when more than this share of them is taken. */
const MAX_LOAD = 0.8;
const CHUNK_BITS = 16;
const CHUNK_MASK = (1 << CHUNK_BITS) - 1;

/**
 * Finds equal 64-bit keys among any number of them. Keys are numbered in the order they are added; 8 bytes for each key, in
 * chunks that are never copied, and, by open addressing at a load of 0.53 to 0.8, 5 to 7.5 bytes of slots. Growing builds new
 * slots from the keys, so the old ones are not held beside them.
 */
export class KeyTable {
  /** High and low word of each key, alternating. */
  readonly #chunks: Uint32Array[] = [];
  #count = 0;
  #taken = 0;
  /** Number of a key plus one; 0 is empty. */
  #slots = new Int32Array(2048);

  get count(): number {
    return this.#count;
  }

  /** Bytes held now. */
  get byteLength(): number {
    return this.#chunks.length * (8 << CHUNK_BITS) + this.#slots.byteLength;
  }

  /** Adds a key and gives the number of the first key equal to it: its own when it is new. */
  add(high: number, low: number): number {
    const number = this.#count++;
    const at = number & CHUNK_MASK;
    if (at === 0) this.#chunks.push(new Uint32Array(2 << CHUNK_BITS));
    const chunk = this.#chunks[number >>> CHUNK_BITS] as Uint32Array;
    chunk[2 * at] = high;
    chunk[2 * at + 1] = low;
    if (this.#taken + 1 > this.#slots.length * MAX_LOAD) this.#rebuild();
    return this.#place(number);
  }

  /** The number of the first key equal to this one, or -1. */
  find(high: number, low: number): number {
    const slot = this.#slotOf(high >>> 0, low >>> 0);
    return (this.#slots[slot] as number) - 1;
  }

  #place(number: number): number {
    const chunk = this.#chunks[number >>> CHUNK_BITS] as Uint32Array;
    const at = 2 * (number & CHUNK_MASK);
    const slot = this.#slotOf(chunk[at] as number, chunk[at + 1] as number);
    const found = this.#slots[slot] as number;
    if (found !== 0) return found - 1;
    this.#slots[slot] = number + 1;
    this.#taken++;
    return number;
  }

  /** The slot that holds this key, or the empty one where it would go. */
  #slotOf(high: number, low: number): number {
    const slots = this.#slots;
    // The keys are hashes, so their high word, scaled to the table, spreads evenly whatever its length.
    let slot = Math.floor((high / 2 ** 32) * slots.length);
    for (;;) {
      const number = (slots[slot] as number) - 1;
      if (number < 0) return slot;
      const chunk = this.#chunks[number >>> CHUNK_BITS] as Uint32Array;
      const at = 2 * (number & CHUNK_MASK);
      if (chunk[at] === high && chunk[at + 1] === low) return slot;
      slot = slot + 1 === slots.length ? 0 : slot + 1;
    }
  }

  #rebuild(): void {
    const length = Math.ceil(this.#slots.length * 1.5);
    this.#slots = new Int32Array(0);
    this.#slots = new Int32Array(length);
    this.#taken = 0;
    for (let number = 0; number < this.#count - 1; number++) this.#place(number);
  }
}
