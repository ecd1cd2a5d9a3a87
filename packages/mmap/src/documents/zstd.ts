import { Readable, type Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import * as zlib from 'node:zlib';
import { CptError, FormatError, UnsupportedError } from '@pai-cpt/core';
import { Decompress } from 'fzstd';
import { type ByteStream, chunkStream } from './batch.ts';
import { createXxh64 } from './xxh64.ts';
import {
  FRAME_MAGIC,
  type FrameHeader,
  headerLength,
  isSkippable,
  parseBlockHeader,
  parseFrameHeader,
} from './zstd-frame.ts';

const CHUNK_BYTES = 256 * 1024;
/** What the zstd program reads without being told to; a header may ask for any amount. */
const MAX_WINDOW_BYTES = 128 * 2 ** 20;

/**
 * What a zstd file holds, all frames of it, unpacked as it is read. Frames are followed here block by block, because the library
 * reports no offset and checks no checksum.
 * @throws FormatError `CPT_FORMAT_COMPRESSED` with the offset in the packed file, from `read`.
 * @throws UnsupportedError `CPT_UNSUPPORTED_COMPRESSION` for a dictionary or a window above 128 MiB.
 */
export function unzstdStream(packed: ByteStream, file: string): ByteStream {
  const source = createExactReader(packed);
  const fail = (why: string, cause?: unknown) =>
    new FormatError(
      'CPT_FORMAT_COMPRESSED',
      `${file}:${source.position()}: ${why} (byte of the packed file); copy it again`,
      { file, byteOffset: source.position() },
      { cause },
    );
  const take = async (count: number): Promise<Uint8Array> => {
    const bytes = await source.take(count);
    if (bytes.byteLength < count) throw fail('the file ends within a zstd frame');
    return bytes;
  };

  async function* unpack(): AsyncGenerator<Uint8Array> {
    for (let isAny = false; ; isAny = true) {
      const start = await source.take(4);
      if (start.byteLength === 0 && isAny) return;
      const magic = start.byteLength < 4 ? 0 : new DataView(start.buffer, start.byteOffset).getUint32(0, true);
      if (magic === FRAME_MAGIC) {
        yield* unpackFrame(start);
      } else if (isSkippable(magic)) {
        const size = await take(4);
        for (let left = new DataView(size.buffer, size.byteOffset).getUint32(0, true); left > 0; ) {
          left -= (await take(Math.min(left, CHUNK_BYTES))).byteLength;
        }
      } else {
        throw fail(isAny ? 'bytes that are no zstd data follow the last frame' : 'not valid zstd');
      }
    }
  }

  /** Header, blocks and checksum of one frame, as they lie in the file. */
  async function* framePieces(header: Uint8Array, hasChecksum: boolean): AsyncGenerator<Uint8Array> {
    yield header;
    for (let isLast = false; !isLast; ) {
      const blockHeader = await take(3);
      const block = parseBlockHeader(blockHeader);
      if (block.isReserved) throw fail('not valid zstd (a block of unknown type)');
      yield Buffer.concat([blockHeader, await take(block.packedBytes)]);
      isLast = block.isLast;
    }
    if (hasChecksum) yield await take(4);
  }

  async function* unpackFrame(magic: Uint8Array): AsyncGenerator<Uint8Array> {
    const start = Buffer.concat([magic, await take(1)]);
    const bytes = Buffer.concat([start, await take(headerLength(start[4] as number) - 5)]);
    const header = parseFrameHeader(bytes);
    refuseUnreadable(header, file);
    try {
      yield* decodeFrame(framePieces(bytes, header.hasChecksum), header);
    } catch (error) {
      if (CptError.isInstance(error) || !(error instanceof Error) || error.name === 'AbortError') throw error;
      throw fail(`not valid zstd (${error.message})`, error);
    }
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

type DecodeFrame = (pieces: AsyncGenerator<Uint8Array>, header: FrameHeader) => AsyncGenerator<Uint8Array>;

/** In JavaScript, for Node before 22.15. The library checks neither size nor checksum. */
const decodeWithFzstd: DecodeFrame = async function* (pieces, header) {
  const checksum = createXxh64();
  let unpackedBytes = 0;
  let ready: Uint8Array[] = [];
  const decoder = new Decompress((chunk) => {
    if (chunk.byteLength === 0) return;
    checksum.update(chunk);
    unpackedBytes += chunk.byteLength;
    ready.push(chunk);
  });
  let last: Uint8Array = new Uint8Array(0);
  for await (const piece of pieces) {
    decoder.push(piece, false);
    yield* ready;
    ready = [];
    last = piece;
  }
  decoder.push(new Uint8Array(0), true);
  yield* ready;
  if (header.contentBytes !== undefined && header.contentBytes !== unpackedBytes) {
    throw new Error(`a frame unpacks to ${unpackedBytes} bytes and says ${header.contentBytes}`);
  }
  const stored = header.hasChecksum ? new DataView(last.buffer, last.byteOffset).getUint32(0, true) : undefined;
  if (stored !== undefined && stored !== checksum.lowBits()) throw new Error('the checksum of a frame is wrong');
};

const { createZstdDecompress } = zlib as { createZstdDecompress?: () => Transform };

/** In Node's own zlib, in the background. It ends silently behind the first frame, so it is given one frame at a time. */
const decodeWithZlib: DecodeFrame = async function* (pieces) {
  const decoder = (createZstdDecompress as () => Transform)();
  let failure: unknown;
  const done = pipeline(Readable.from(pieces), decoder).catch((error: unknown) => {
    failure ??= error;
  });
  try {
    for await (const chunk of decoder) yield chunk as Uint8Array;
    await done;
  } finally {
    decoder.destroy();
    await done;
  }
  if (failure) throw failure;
};

const decodeFrame = createZstdDecompress ? decodeWithZlib : decodeWithFzstd;

function refuseUnreadable(header: FrameHeader, file: string): void {
  const why = header.hasDictionary
    ? 'needs the dictionary it was packed with'
    : header.windowBytes > MAX_WINDOW_BYTES
      ? `needs a window of ${header.windowBytes} bytes, above ${MAX_WINDOW_BYTES}`
      : undefined;
  if (!why) return;
  throw new UnsupportedError(
    'CPT_UNSUPPORTED_COMPRESSION',
    `${file}: ${why}; unpack it with zstd and pack it plainly`,
    {
      file,
      feature: 'zstd frame',
    },
  );
}

/** Exact counts of bytes from a stream; fewer only at its end. */
function createExactReader(stream: ByteStream) {
  let buffer: Uint8Array = new Uint8Array(0);
  let position = 0;
  return {
    position: () => position,
    async take(count: number): Promise<Uint8Array> {
      if (buffer.byteLength < count) {
        const next = new Uint8Array(Math.max(CHUNK_BYTES, count));
        next.set(buffer);
        let filled = buffer.byteLength;
        while (filled < count) {
          const got = await stream.read(next, filled);
          if (got === 0) break;
          filled += got;
        }
        buffer = next.subarray(0, filled);
      }
      const taken = buffer.subarray(0, count);
      buffer = buffer.subarray(taken.byteLength);
      position += taken.byteLength;
      return taken;
    },
  };
}
