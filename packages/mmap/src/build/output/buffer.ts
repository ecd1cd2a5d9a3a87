/** Gathers small pieces into large writes. */
export function createBuffer(
  capacity: number,
  write: (bytes: Uint8Array) => Promise<void>,
): { append(bytes: Uint8Array): Promise<void>; flush(): Promise<void> } {
  const buffer = new Uint8Array(capacity);
  let filled = 0;
  const flush = async () => {
    if (filled === 0) return;
    const bytes = buffer.subarray(0, filled);
    filled = 0;
    await write(bytes);
  };
  return {
    async append(bytes: Uint8Array): Promise<void> {
      for (let done = 0; done < bytes.byteLength; ) {
        const count = Math.min(capacity - filled, bytes.byteLength - done);
        if (count === capacity) {
          await write(bytes.subarray(done, done + count)); // nothing to gather: no copy either
          done += count;
          continue;
        }
        buffer.set(bytes.subarray(done, done + count), filled);
        filled += count;
        done += count;
        if (filled === capacity) await flush();
      }
    },
    flush,
  };
}
