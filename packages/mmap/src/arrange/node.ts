import { open, rm, stat } from 'node:fs/promises';

/** True when both paths exist and are one file, also through links. */
export async function isSameFile(a: string, b: string): Promise<boolean> {
  const [left, right] = await Promise.all([a, b].map((path) => stat(path).catch(() => undefined)));
  return left !== undefined && right !== undefined && left.ino === right.ino && left.dev === right.dev;
}

/** A file for bytes that are put down in one order and picked up in another. It is never a result. */
export interface ScratchFile {
  write(bytes: Uint8Array, byteOffset: number): Promise<void>;
  read(byteOffset: number, byteLength: number): Promise<Uint8Array>;
  /** Closes and removes it. */
  remove(): Promise<void>;
}

/** Creates `path`, which must not be there. */
export async function createScratchFile(path: string): Promise<ScratchFile> {
  const handle = await open(path, 'wx+');
  return {
    async write(bytes, byteOffset) {
      for (let done = 0; done < bytes.byteLength; ) {
        const { bytesWritten } = await handle.write(bytes, done, bytes.byteLength - done, byteOffset + done);
        done += bytesWritten;
      }
    },
    async read(byteOffset, byteLength) {
      const bytes = new Uint8Array(byteLength);
      for (let done = 0; done < byteLength; ) {
        const { bytesRead } = await handle.read(bytes, done, byteLength - done, byteOffset + done);
        if (bytesRead === 0) throw new RangeError(`${path}: ends at ${byteOffset + done}`);
        done += bytesRead;
      }
      return bytes;
    },
    async remove() {
      await handle.close();
      await rm(path, { force: true });
    },
  };
}
