const CHUNK = 1 << 16;

/** A growing list of 32-bit integers: 4 bytes each and never copied, where an array of numbers takes 8 and doubles by copying. */
export class Int32List {
  readonly #chunks: Int32Array[] = [];
  length = 0;

  push(value: number): void {
    const at = this.length % CHUNK;
    if (at === 0) this.#chunks.push(new Int32Array(CHUNK));
    (this.#chunks[this.#chunks.length - 1] as Int32Array)[at] = value;
    this.length++;
  }

  /** The values in order, in pieces; can be walked any number of times. */
  *pieces(): Generator<Int32Array> {
    let left = this.length;
    for (const chunk of this.#chunks) {
      yield chunk.subarray(0, Math.min(CHUNK, left));
      left -= CHUNK;
    }
  }
}
