import type { ByteSource } from '@pai-cpt/core';

/** A source that tells where in the file a slice of it begins, for reads that go past the slices to the descriptor. */
export interface LocatingSource extends ByteSource {
  offsetOf(slice: ByteSource): Promise<number>;
}

/** `inner`, remembering where it was read last. */
export function locatingSource(inner: ByteSource): LocatingSource {
  let last = 0;
  return {
    byteLength: inner.byteLength,
    read(offset, length, signal) {
      last = offset;
      return length === 0 ? Promise.resolve(new Uint8Array()) : inner.read(offset, length, signal);
    },
    async offsetOf(slice) {
      await slice.read(0, 0);
      return last;
    },
  };
}
