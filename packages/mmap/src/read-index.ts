import type { ByteSource } from '@pai-cpt/core';
import {
  HEADER_BYTES,
  type IndexArrays,
  type IndexHeader,
  ownBytes,
  parseIndexHeader,
  parseInt32,
  parseInt64,
  parseUint32,
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
  const { offsets, sequenceCount, hasModes } = header;
  const lengths = new Int32Array(sequenceCount);
  const pointers = new Float64Array(sequenceCount);
  for await (const { bytes, at, end } of pieces(idx, offsets.lengths, sequenceCount, 4, signal))
    lengths.subarray(at, end).set(parseInt32(bytes));
  for await (const { bytes, at, end } of pieces(idx, offsets.pointers, sequenceCount, 8, signal))
    parseInt64(bytes, pointers.subarray(at, end));
  const documentIndex = await readDocumentIndex(idx, header, signal);
  const arrays: IndexArrays = { lengths, pointers, documentIndex };
  if (hasModes) arrays.modes = new Int8Array(ownBytes(await idx.read(offsets.modes, sequenceCount, signal)).buffer);
  return { header, arrays };
}

/** 4 bytes an entry, or 8 from the first entry on that 4 cannot hold. */
async function readDocumentIndex(
  idx: ByteSource,
  { offsets, documentIndexLength }: IndexHeader,
  signal?: AbortSignal,
): Promise<IndexArrays['documentIndex']> {
  const narrow = new Uint32Array(documentIndexLength);
  let wide: Float64Array | undefined;
  for await (const { bytes, at, end } of pieces(idx, offsets.documentIndex, documentIndexLength, 8, signal)) {
    if (!wide && parseUint32(bytes, narrow.subarray(at, end))) continue;
    wide ??= Float64Array.from(narrow);
    parseInt64(bytes, wide.subarray(at, end));
  }
  return wide ?? narrow;
}

const PIECE_BYTES = 1 << 22;

/** `count` elements of a file in pieces, so that an index of gigabytes is never in memory beside its own arrays. */
async function* pieces(source: ByteSource, offset: number, count: number, width: number, signal?: AbortSignal) {
  const perPiece = PIECE_BYTES / width;
  for (let at = 0; at < count; at += perPiece) {
    const end = Math.min(at + perPiece, count);
    yield { bytes: await source.read(offset + at * width, (end - at) * width, signal), at, end };
  }
}
