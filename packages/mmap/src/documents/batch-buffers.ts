/**
 * Memory for batches, used again when a batch is done: at hundreds of megabytes a second fresh memory costs more than reading
 * it. It is shared memory, so that a thread reads a batch where it lies.
 */
export interface BatchBuffers {
  /** Room for `bytes`, with whatever was in it before. */
  take(bytes: number): Buffer;
  /** Gives back the memory below a batch that nobody looks at any more. */
  give(bytes: Uint8Array): void;
}

/** Keeps up to `kept` buffers of the ordinary size; larger ones come and go. */
export function createBatchBuffers(ordinaryBytes: number, kept = 64): BatchBuffers {
  const free: SharedArrayBuffer[] = [];
  return {
    take: (bytes) =>
      Buffer.from(
        bytes <= ordinaryBytes ? (free.pop() ?? new SharedArrayBuffer(ordinaryBytes)) : new SharedArrayBuffer(bytes),
        0,
        bytes,
      ),
    give({ buffer }) {
      if (buffer instanceof SharedArrayBuffer && buffer.byteLength === ordinaryBytes && free.length < kept)
        free.push(buffer);
    },
  };
}

/** Memory of this thread alone, fresh each time. */
export const FRESH_BUFFERS: BatchBuffers = { take: (bytes) => Buffer.allocUnsafeSlow(bytes), give: () => undefined };
