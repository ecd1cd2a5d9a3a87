import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { CptError, FormatError } from '@pai-cpt/core';
import { type ByteStream, chunkStream } from './batch.ts';

const CHUNK_BYTES = 256 * 1024;
/** Packed bytes given at once: a fault is known to lie within them. */
const PACKED_BYTES = 64 * 1024;

/**
 * What a gzip file holds, all members of it. It is unpacked as it is read, in the background: what a file unpacks to never has to
 * fit anywhere.
 * @throws FormatError `CPT_FORMAT_COMPRESSED` with the offset in the packed file, from `read`: zlib itself ends without a word
 * where foreign bytes follow a member.
 */
export function gunzipStream(packed: ByteStream, file: string): ByteStream {
  const gunzip = createGunzip({ chunkSize: CHUNK_BYTES });
  let fed = 0;
  /** What zlib may not have taken yet. */
  let pending: Uint8Array[] = [];
  const fail = (at: number, why: string, cause?: unknown) =>
    new FormatError(
      'CPT_FORMAT_COMPRESSED',
      `${file}:${at}: ${why} (byte of the packed file); copy it again`,
      { file, byteOffset: at },
      { cause },
    );

  async function* feed(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const chunk = new Uint8Array(PACKED_BYTES);
      const count = await packed.read(chunk, 0);
      if (count === 0) return;
      keepPending();
      pending.push(chunk.subarray(0, count));
      fed += count;
      yield chunk.subarray(0, count);
    }
  }

  function keepPending(): void {
    let ahead = fed - gunzip.bytesWritten;
    pending = pending.reverse().filter((chunk) => {
      const isAhead = ahead > 0;
      ahead -= chunk.byteLength;
      return isAhead;
    });
    pending.reverse();
  }

  /** Zero bytes at the end are the padding of a tape; anything else is no part of the file. */
  async function checkTail(): Promise<void> {
    const ahead = Buffer.concat(pending);
    let tail: Uint8Array = ahead.subarray(ahead.byteLength - (fed - gunzip.bytesWritten));
    for (;;) {
      if (tail.some((byte) => byte !== 0))
        throw fail(gunzip.bytesWritten, 'bytes that are no gzip data follow the last member');
      const chunk = new Uint8Array(PACKED_BYTES);
      const count = await packed.read(chunk, 0);
      if (count === 0) return;
      tail = chunk.subarray(0, count);
    }
  }

  async function* unpack(): AsyncGenerator<Uint8Array> {
    // What fails here is thrown where `gunzip` is read.
    const done = pipeline(Readable.from(feed(), { objectMode: false }), gunzip).catch(() => undefined);
    try {
      for await (const chunk of gunzip) yield chunk as Uint8Array;
    } catch (error) {
      if (CptError.isInstance(error) || !isZlibError(error)) throw error;
      const isShort = error.code === 'Z_BUF_ERROR';
      throw isShort
        ? fail(fed, 'the file ends within a gzip member', error)
        : fail(
            gunzip.bytesWritten,
            `not valid gzip, here or in the ${PACKED_BYTES} bytes behind: ${error.message}`,
            error,
          );
    } finally {
      gunzip.destroy();
      await done;
    }
    if (fed === 0) throw fail(0, 'not valid gzip, the file is empty');
    await checkTail();
  }

  const chunks = unpack();
  return {
    ...chunkStream(chunks),
    async close() {
      await chunks.return(undefined);
      await packed.close();
    },
  };
}

function isZlibError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && /^(Z_|ERR_)/.test((error as NodeJS.ErrnoException).code ?? '');
}
