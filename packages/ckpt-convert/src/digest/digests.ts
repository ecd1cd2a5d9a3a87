import { createHash, type Hash } from 'node:crypto';

/** What a file's content is told by, beside its length. */
export type DigestKind = 'sha256' | 'none';

/** Digests of files that are written at the same time; a file is any name of the caller's. */
export interface Digests {
  /** Memory to make the next bytes in, a tile of them at most; valid until they are handed to `update`. */
  tile(byteLength: number): Promise<Uint8Array>;
  /** The next bytes of a file, in order. Not to be changed afterwards when they lie in the tile. */
  update(file: string, bytes: Uint8Array): Promise<void>;
  /** The sha256 of all bytes of a file in hexadecimal; null when none was asked for. */
  finish(file: string): Promise<string | null>;
  close(): Promise<void>;
}

/** Digests in this thread, or none. */
export function digestsHere(kind: DigestKind): Digests {
  let memory = new Uint8Array();
  const hashes = new Map<string, Hash>();
  return {
    async tile(byteLength) {
      if (memory.byteLength < byteLength) memory = new Uint8Array(byteLength);
      return memory.subarray(0, byteLength);
    },
    async update(file, bytes) {
      if (kind === 'none') return;
      const hash = hashes.get(file) ?? createHash('sha256');
      hashes.set(file, hash.update(bytes));
    },
    async finish(file) {
      if (kind === 'none') return null;
      const hash = hashes.get(file) ?? createHash('sha256');
      hashes.delete(file);
      return hash.digest('hex');
    },
    close: async () => {},
  };
}
