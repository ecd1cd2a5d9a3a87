import type { ByteSource } from '@pai-cpt/core';
import {
  HEADER_BYTES,
  type IndexArrays,
  type IndexHeader,
  ownBytes,
  parseIndexHeader,
  parseInt32,
  parseInt64,
} from './index-format.ts';

/** An index as it stands in its file: the header is sound, the arrays may hold anything. */
export interface IndexFile {
  header: IndexHeader;
  arrays: IndexArrays;
}

/**
 * The header and arrays of an index, before `checkIndex`.
 * @throws FormatError and UnsupportedError as `parseIndexHeader`.
 */
export async function readIndexFile(idx: ByteSource, file: string, signal?: AbortSignal): Promise<IndexFile> {
  const head = await idx.read(0, Math.min(HEADER_BYTES, idx.byteLength), signal);
  const header = parseIndexHeader(head, idx.byteLength, file);
  const { offsets, sequenceCount, documentIndexLength, hasModes } = header;
  const lengths = new Int32Array(sequenceCount);
  const pointers = new Float64Array(sequenceCount);
  const documentIndex = new Float64Array(documentIndexLength);
  for await (const { bytes, at } of pieces(idx, offsets.lengths, sequenceCount, 4, signal))
    lengths.set(parseInt32(bytes), at);
  for await (const { bytes, at } of pieces(idx, offsets.pointers, sequenceCount, 8, signal))
    pointers.set(parseInt64(bytes), at);
  for await (const { bytes, at } of pieces(idx, offsets.documentIndex, documentIndexLength, 8, signal)) {
    documentIndex.set(parseInt64(bytes), at);
  }
  const arrays: IndexArrays = { lengths, pointers, documentIndex };
  if (hasModes) arrays.modes = new Int8Array(ownBytes(await idx.read(offsets.modes, sequenceCount, signal)).buffer);
  return { header, arrays };
}

const PIECE_BYTES = 1 << 22;

/** `count` elements of a file in pieces, so that an index of gigabytes is never in memory beside its own arrays. */
async function* pieces(source: ByteSource, offset: number, count: number, width: number, signal?: AbortSignal) {
  const perPiece = PIECE_BYTES / width;
  for (let at = 0; at < count; at += perPiece) {
    const length = Math.min(perPiece, count - at) * width;
    yield { bytes: await source.read(offset + at * width, length, signal), at };
  }
}
