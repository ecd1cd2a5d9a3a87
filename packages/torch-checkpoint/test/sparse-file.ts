import type { ByteSource } from '@pai-cpt/core';
import type { ByteSink } from '../src/zip-write.ts';

/** A file of zeros with a few stretches of other bytes, so that gigabytes fit into a test. */
export class SparseFile implements ByteSource, ByteSink {
  byteLength = 0;
  readonly #stretches: { readonly offset: number; readonly bytes: Uint8Array }[] = [];

  /** Appends; `zeros` itself is only counted. */
  async write(bytes: Uint8Array): Promise<void> {
    if (bytes !== this.zeros) this.put(this.byteLength, bytes.slice());
    else this.byteLength += bytes.byteLength;
  }

  /** A chunk whose bytes are known to be zeros by its identity. */
  readonly zeros = new Uint8Array(64 * 1024 * 1024);

  put(offset: number, bytes: Uint8Array): void {
    this.#stretches.push({ offset, bytes });
    this.byteLength = Math.max(this.byteLength, offset + bytes.byteLength);
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    if (offset < 0 || offset + length > this.byteLength)
      throw new Error(`${offset}+${length} is not in ${this.byteLength}`);
    const out = new Uint8Array(length);
    for (const { offset: at, bytes } of this.#stretches) {
      const from = Math.max(offset, at);
      const to = Math.min(offset + length, at + bytes.byteLength);
      if (from < to) out.set(bytes.subarray(from - at, to - at), from - offset);
    }
    return out;
  }
}
