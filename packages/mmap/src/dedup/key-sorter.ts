import { InvalidInputError } from '@pai-cpt/core';

/** Where sorted runs wait for the merge; a file, see node.ts. */
export interface RunStorage {
  /** Adds bytes at the end. */
  append(bytes: Uint8Array): Promise<void>;
  /** Fills `into` with the bytes from `byteOffset` on. */
  readInto(into: Uint8Array, byteOffset: number): Promise<void>;
  /** Forgets everything. */
  close(): Promise<void>;
}

/** A record: high word of the key, low word, document. */
const WORDS = 3;
const RECORD_BYTES = 4 * WORDS;
const DIGITS = 1 << 16;

/** Keys held in memory at a time unless told otherwise: 25 MB. */
export const DEFAULT_SORT_KEYS = 1 << 20;

/**
 * Finds the documents that share a 64-bit key among more keys than memory holds: keys fill a buffer, which is sorted and written
 * out as a run each time it is full; at the end the runs are merged. Memory is 24 bytes × `sortKeys` whatever the number of keys
 * (the buffer and the sort's second one, which the merge does not need); the storage takes 12 bytes a key. Keys that fit into one
 * buffer are never written.
 */
export class KeySorter {
  readonly #storage: () => Promise<RunStorage>;
  readonly #records: Uint32Array;
  #scratch: Uint32Array;
  #opened: RunStorage | undefined;
  #count = 0;
  readonly #runLengths: number[] = [];

  /**
   * @param storage opened when the first run is written.
   * @throws InvalidInputError `CPT_INPUT_INVALID` for a `sortKeys` that is not a whole number above 0.
   */
  constructor(storage: () => Promise<RunStorage>, sortKeys: number = DEFAULT_SORT_KEYS) {
    if (!Number.isSafeInteger(sortKeys) || sortKeys < 1 || sortKeys > 2 ** 28) {
      throw new InvalidInputError('CPT_INPUT_INVALID', `sortKeys is ${sortKeys}; give 1 to ${2 ** 28}`, {
        field: 'sortKeys',
      });
    }
    this.#storage = storage;
    this.#records = new Uint32Array(sortKeys * WORDS);
    this.#scratch = new Uint32Array(sortKeys * WORDS);
  }

  /** True when `spill` must come before the next `add`. */
  get isFull(): boolean {
    return this.#count * WORDS === this.#records.length;
  }

  /** Bytes of the buffers. */
  get byteLength(): number {
    return this.#records.byteLength + this.#scratch.byteLength;
  }

  /** Runs written so far. */
  get runs(): number {
    return this.#runLengths.length;
  }

  add(high: number, low: number, document: number): void {
    const at = this.#count++ * WORDS;
    this.#records[at] = high;
    this.#records[at + 1] = low;
    this.#records[at + 2] = document;
  }

  /** Sorts what the buffer holds, writes it out as a run and empties the buffer. */
  async spill(): Promise<void> {
    this.#sort();
    this.#opened ??= await this.#storage();
    await this.#opened.append(new Uint8Array(this.#records.buffer, 0, this.#count * RECORD_BYTES));
    this.#runLengths.push(this.#count);
    this.#count = 0;
  }

  /** Calls `onEqual` with each document that shares a key with an earlier one, and the first document of that key. Ends the sorter's work. */
  async forEachEqual(onEqual: (first: number, other: number) => void, signal?: AbortSignal): Promise<void> {
    let high = -1;
    let low = -1;
    let first = -1;
    const visit = (records: Uint32Array, at: number) => {
      const document = records[at + 2] as number;
      if (records[at] === high && records[at + 1] === low) {
        onEqual(first, document);
        return;
      }
      high = records[at] as number;
      low = records[at + 1] as number;
      first = document;
    };
    if (this.#opened) {
      if (this.#count > 0) await this.spill();
      this.#scratch = new Uint32Array(0);
      await mergeRuns(this.#opened, this.#runLengths, this.#records, visit, signal);
    } else {
      this.#sort();
      for (let i = 0; i < this.#count; i++) visit(this.#records, i * WORDS);
    }
  }

  async close(): Promise<void> {
    await this.#opened?.close();
    this.#opened = undefined;
  }

  /** Four stable counting passes of 16 bits: equal keys keep the order of their documents. */
  #sort(): void {
    let from = this.#records;
    let to = this.#scratch;
    const starts = new Uint32Array(DIGITS);
    for (const [word, shift] of [
      [1, 0],
      [1, 16],
      [0, 0],
      [0, 16],
    ] as const) {
      starts.fill(0);
      const end = this.#count * WORDS;
      for (let at = word; at < end; at += WORDS) {
        const digit = ((from[at] as number) >>> shift) & 0xffff;
        starts[digit] = (starts[digit] as number) + 1;
      }
      let sum = 0;
      for (let digit = 0; digit < DIGITS; digit++) {
        const here = starts[digit] as number;
        starts[digit] = sum;
        sum += here;
      }
      for (let at = 0; at < end; at += WORDS) {
        const digit = ((from[at + word] as number) >>> shift) & 0xffff;
        const target = (starts[digit] as number) * WORDS;
        starts[digit] = (starts[digit] as number) + 1;
        to[target] = from[at] as number;
        to[target + 1] = from[at + 1] as number;
        to[target + 2] = from[at + 2] as number;
      }
      [from, to] = [to, from];
    }
  }
}

/** Visits the records of all runs in the order of their keys, equal ones in the order of the runs; `buffer` is divided among the runs. */
async function mergeRuns(
  storage: RunStorage,
  lengths: readonly number[],
  buffer: Uint32Array,
  visit: (records: Uint32Array, at: number) => void,
  signal?: AbortSignal,
): Promise<void> {
  const share = Math.floor(buffer.length / WORDS / lengths.length);
  if (share === 0) {
    throw new InvalidInputError(
      'CPT_INPUT_INVALID',
      `${lengths.length} sorted runs cannot be merged in a buffer of ${buffer.length / WORDS} keys; raise sortKeys`,
      { field: 'sortKeys' },
    );
  }
  let byteOffset = 0;
  const runs = lengths.map((left, i) => {
    const run = { number: i, at: 0, end: 0, left, byteOffset };
    byteOffset += left * RECORD_BYTES;
    return run;
  });
  type Run = (typeof runs)[number];
  const refill = async (run: Run) => {
    signal?.throwIfAborted();
    const count = Math.min(share, run.left);
    run.at = run.number * share * WORDS;
    run.end = run.at + count * WORDS;
    await storage.readInto(new Uint8Array(buffer.buffer, run.at * 4, count * RECORD_BYTES), run.byteOffset);
    run.byteOffset += count * RECORD_BYTES;
    run.left -= count;
  };
  const isBefore = (a: Run, b: Run): boolean => {
    const high = (buffer[a.at] as number) - (buffer[b.at] as number);
    if (high !== 0) return high < 0;
    const low = (buffer[a.at + 1] as number) - (buffer[b.at + 1] as number);
    return low !== 0 ? low < 0 : a.number < b.number;
  };
  for (const run of runs) await refill(run);
  const heap: Run[] = runs;
  const sink = (from: number) => {
    const moved = heap[from] as Run;
    let at = from;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Run, heap[child] as Run)) child++;
      if (!isBefore(heap[child] as Run, moved)) break;
      heap[at] = heap[child] as Run;
      at = child;
    }
    heap[at] = moved;
  };
  for (let i = (heap.length >> 1) - 1; i >= 0; i--) sink(i);
  while (heap.length > 0) {
    const run = heap[0] as Run;
    visit(buffer, run.at);
    run.at += WORDS;
    if (run.at === run.end) {
      if (run.left > 0) await refill(run);
      else {
        const last = heap.pop() as Run;
        if (heap.length === 0) return;
        heap[0] = last;
      }
    }
    sink(0);
  }
}
