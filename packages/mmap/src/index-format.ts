/*
 * PREFIX.idx, little-endian, no padding, no checksum (NVIDIA/Megatron-LM, megatron/core/datasets/indexed_dataset.py):
 *
 *   0            9        17     18          26          34
 *   | MMIDIDX 00 00 | 1: u64 | code: u8 | S: u64 | D + 1: u64 |
 *   34                 lengths         S × i32   tokens of each sequence
 *   34 + 4S            pointers        S × i64   byte offset of each sequence in PREFIX.bin
 *   34 + 12S           document index  (D+1) × i64   first sequence of each document, and S at the end
 *   34 + 12S + 8(D+1)  modes           S × i8    in multimodal sets only; nothing but the file size tells
 *
 * PREFIX.bin is the tokens of all sequences, one after another, in the dtype of the code.
 */
import { FormatError, UnsupportedError } from '@pai-cpt/core';
import { FLOAT_CODES, TOKEN_DTYPES, type TokenDtype, tokenDtypeOfCode } from './token-dtype.ts';

export const HEADER_BYTES = 34;
const MAGIC = [0x4d, 0x4d, 0x49, 0x44, 0x49, 0x44, 0x58, 0, 0];
const VERSION = 1n;

/** What the first 34 bytes and the file size say. Offsets are bytes in the `.idx` file. */
export interface IndexHeader {
  dtype: TokenDtype;
  sequenceCount: number;
  /** Entries of the document index: documents + 1. */
  documentIndexLength: number;
  hasModes: boolean;
  offsets: { lengths: number; pointers: number; documentIndex: number; modes: number };
}

/** The arrays of an index, each in memory of its own: at offset 34 + 12·S no typed array can lie on the file's bytes. */
export interface IndexArrays {
  lengths: Int32Array;
  /** Byte offsets in the `.bin` file; exact up to 2^53. */
  pointers: Float64Array;
  /** In 32 bits, unless an entry of a broken index does not fit. */
  documentIndex: Uint32Array | Float64Array;
  modes?: Int8Array;
}

/**
 * The header of an index, checked against the file size before anything is allocated.
 * @param bytes at least the first 34 bytes, or all of a shorter file.
 * @throws FormatError `CPT_FORMAT_TRUNCATED`, `CPT_FORMAT_MMAP_MAGIC`, `_VERSION`, `_DTYPE`, `_DOCUMENT_INDEX` or `_TRAILING`.
 * @throws UnsupportedError `CPT_UNSUPPORTED_TOKEN_DTYPE` for floats.
 */
export function parseIndexHeader(bytes: Uint8Array, fileBytes: number, file: string): IndexHeader {
  checkMagic(bytes, file);
  if (fileBytes < HEADER_BYTES || bytes.byteLength < HEADER_BYTES) {
    throw refuse(
      'CPT_FORMAT_TRUNCATED',
      file,
      fileBytes,
      `the header needs 34 bytes, the file has ${fileBytes}; copy it again`,
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEADER_BYTES);
  const version = view.getBigUint64(9, true);
  if (version !== VERSION) {
    throw refuse(
      'CPT_FORMAT_MMAP_VERSION',
      file,
      9,
      `version ${version}, only version 1 is known; build the dataset again`,
    );
  }
  const dtype = parseDtype(view.getUint8(17), file);
  const sequences = view.getBigUint64(18, true);
  const entries = view.getBigUint64(26, true);
  checkFits(sequences, entries, fileBytes, file);
  const sequenceCount = Number(sequences);
  const documentIndexLength = Number(entries);
  if (documentIndexLength === 0) {
    throw refuse(
      'CPT_FORMAT_MMAP_DOCUMENT_INDEX',
      file,
      26,
      `the document index has no entry; it ends with the number of sequences, ${sequenceCount}`,
    );
  }
  const offsets = {
    lengths: HEADER_BYTES,
    pointers: HEADER_BYTES + 4 * sequenceCount,
    documentIndex: HEADER_BYTES + 12 * sequenceCount,
    modes: HEADER_BYTES + 12 * sequenceCount + 8 * documentIndexLength,
  };
  const rest = fileBytes - offsets.modes;
  if (rest !== 0 && rest !== sequenceCount) {
    throw refuse(
      'CPT_FORMAT_MMAP_TRAILING',
      file,
      offsets.modes,
      `${rest} bytes follow the arrays; 0 or ${sequenceCount} (one mode per sequence) are possible; the file was appended to or its counts are wrong`,
    );
  }
  return { dtype, sequenceCount, documentIndexLength, hasModes: rest > 0, offsets };
}

function checkMagic(bytes: Uint8Array, file: string): void {
  const found = Math.min(bytes.byteLength, MAGIC.length);
  if (MAGIC.slice(0, found).every((value, i) => bytes[i] === value)) return;
  const start = Buffer.from(bytes.subarray(0, 9));
  const hints: [string, string][] = [
    ['TNTIDX', 'this is the old lazy or cached format; build the dataset again as MMAP'],
    ['version h', 'this is a Git LFS pointer; fetch the real file'],
    ['\x1f\x8b', 'the file is compressed with gzip; unpack it'],
    ['(\xb5/\xfd', 'the file is compressed with zstd; unpack it'],
  ];
  const hint = hints.find(([prefix]) => start.toString('latin1').startsWith(prefix))?.[1];
  throw refuse(
    'CPT_FORMAT_MMAP_MAGIC',
    file,
    0,
    `starts with ${start.toString('hex')}, an index starts with 4d4d49444944580000; ${hint ?? 'check that .idx and .bin are not swapped'}`,
  );
}

function parseDtype(code: number, file: string): TokenDtype {
  const dtype = tokenDtypeOfCode(code);
  if (dtype) return dtype;
  const float = FLOAT_CODES.get(code);
  if (float) {
    throw new UnsupportedError(
      'CPT_UNSUPPORTED_TOKEN_DTYPE',
      `${file}: dtype code ${code} is ${float}, which holds no token ids; build the dataset again as int32 or uint16`,
      { file, byteOffset: 17, feature: `dtype ${float}` },
    );
  }
  const known = Object.entries(TOKEN_DTYPES).map(([name, entry]) => `${entry.code} ${name}`);
  throw refuse('CPT_FORMAT_MMAP_DTYPE', file, 17, `dtype code ${code} is unknown; known are ${known.join(', ')}`);
}

/** In BigInt, because a broken count may be 2^64 - 1 and 12 times that must not wrap or allocate. */
function checkFits(sequences: bigint, entries: bigint, fileBytes: number, file: string): void {
  const size = BigInt(fileBytes);
  const arrays: [string, bigint][] = [
    [`lengths of ${sequences} sequences`, 34n + 4n * sequences],
    [`pointers of ${sequences} sequences`, 34n + 12n * sequences],
    [`document index of ${entries} entries`, 34n + 12n * sequences + 8n * entries],
  ];
  for (const [what, end] of arrays) {
    if (end <= size) continue;
    throw refuse(
      'CPT_FORMAT_TRUNCATED',
      file,
      fileBytes,
      `the ${what} end at byte ${end}, the file has ${fileBytes}; copy it again or build it again`,
    );
  }
}

/** A copy at offset 0 of its own memory. `bytes.slice()` is none when `bytes` is a Buffer: there it is a view at the same offset. */
export function ownBytes(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes);
}

/** Packed `i32` at any alignment → values in memory of their own. */
export function parseInt32(bytes: Uint8Array): Int32Array {
  const copy = ownBytes(bytes);
  return new Int32Array(copy.buffer, 0, copy.byteLength / 4);
}

/** Packed `i64` at any alignment → numbers. Past 2^53 they are rounded, which every later check refuses anyway. */
export function parseInt64(
  bytes: Uint8Array,
  values: Float64Array = new Float64Array(bytes.byteLength / 8),
): Float64Array {
  const halves = parseInt32(bytes);
  for (let i = 0; i < values.length; i++) {
    values[i] = (halves[2 * i + 1] as number) * 2 ** 32 + ((halves[2 * i] as number) >>> 0);
  }
  return values;
}

/** Packed `i64` at any alignment → `values`; false when one of them is outside 32 bits. */
export function parseUint32(bytes: Uint8Array, values: Uint32Array): boolean {
  const halves = parseInt32(bytes);
  let outside = 0;
  for (let i = 0; i < values.length; i++) {
    values[i] = halves[2 * i] as number;
    outside |= halves[2 * i + 1] as number;
  }
  return outside === 0;
}

/** What is unusual and still readable, and how tokens lie. */
export interface IndexFindings {
  tokenCount: number;
  /** True when every sequence starts where the one before ends: what every known writer gives. */
  isContiguous: boolean;
  warnings: string[];
}

/**
 * Checks every promise of the arrays, each once.
 * Megatron's own reader accepts unaligned pointers, negative lengths and a document index that starts late or falls, and then
 * trains on other tokens than were written.
 * @throws FormatError `CPT_FORMAT_MMAP_DOCUMENT_INDEX`, `_LENGTH`, `_BIN_TRUNCATED` or `_POINTER`.
 */
export function checkIndex(
  header: IndexHeader,
  arrays: IndexArrays,
  binBytes: number,
  files: { idx: string; bin: string },
): IndexFindings {
  checkDocumentIndex(header, arrays.documentIndex, files.idx);
  const { tokenCount, isContiguous } = walkSequences(header, arrays, files.idx);
  const { bytes: width } = TOKEN_DTYPES[header.dtype];
  const needed = tokenCount * width;
  if (isContiguous && binBytes < needed) {
    const whole = arrays.pointers.findIndex((pointer, i) => pointer + (arrays.lengths[i] as number) * width > binBytes);
    const documents = header.documentIndexLength - 1;
    const wholeDocuments = Math.min(arrays.documentIndex.findIndex((end) => end > whole) - 1, documents);
    throw refuse(
      'CPT_FORMAT_MMAP_BIN_TRUNCATED',
      files.bin,
      binBytes,
      `${tokenCount} tokens of ${header.dtype} need ${needed} bytes, the file has ${binBytes}; ${whole} of ${header.sequenceCount} sequences and ${wholeDocuments} of ${documents} documents are whole; copy it again, or keep those with cpt-mmap repair --truncate`,
    );
  }
  // Pointers that follow one another from 0 to the last token are aligned and inside.
  if (!isContiguous) checkPointers(header, arrays, binBytes, files.idx);
  const warnings: string[] = [];
  if (tokenCount === 0) warnings.push(`${files.bin}: the dataset is empty; Megatron cannot map an empty file`);
  if (!isContiguous)
    warnings.push(`${files.idx}: the pointers do not follow one another (a foreign writer); read by pointer`);
  if (isContiguous && binBytes > needed)
    warnings.push(`${files.bin}: ${binBytes - needed} trailing bytes belong to no sequence`);
  return { tokenCount, isContiguous, warnings };
}

function checkDocumentIndex(header: IndexHeader, documentIndex: IndexArrays['documentIndex'], file: string): void {
  const fail = (entry: number, why: string) =>
    refuse(
      'CPT_FORMAT_MMAP_DOCUMENT_INDEX',
      file,
      header.offsets.documentIndex + 8 * entry,
      `document index entry ${entry} is ${documentIndex[entry]}; ${why}`,
    );
  if (documentIndex[0] !== 0) throw fail(0, 'the first one must be 0');
  for (let i = 1; i < documentIndex.length; i++) {
    if ((documentIndex[i] as number) < (documentIndex[i - 1] as number))
      throw fail(i, `the one before is ${documentIndex[i - 1]}, and they must not fall`);
  }
  const last = documentIndex.length - 1;
  if (documentIndex[last] !== header.sequenceCount) {
    throw fail(last, `the last one must be the number of sequences, ${header.sequenceCount} (Megatron asserts it)`);
  }
}

function walkSequences(
  header: IndexHeader,
  { lengths, pointers }: IndexArrays,
  file: string,
): { tokenCount: number; isContiguous: boolean } {
  const { bytes: width } = TOKEN_DTYPES[header.dtype];
  let tokenCount = 0;
  let isContiguous = true;
  for (let i = 0; i < lengths.length; i++) {
    const length = lengths[i] as number;
    if (length < 0) {
      throw refuse(
        'CPT_FORMAT_MMAP_LENGTH',
        file,
        header.offsets.lengths + 4 * i,
        `sequence ${i} has length ${length}; lengths start at 0`,
      );
    }
    if (pointers[i] !== tokenCount * width) isContiguous = false;
    tokenCount += length;
  }
  return { tokenCount, isContiguous };
}

function checkPointers(header: IndexHeader, { lengths, pointers }: IndexArrays, binBytes: number, file: string): void {
  const { bytes: width } = TOKEN_DTYPES[header.dtype];
  for (let i = 0; i < lengths.length; i++) {
    const pointer = pointers[i] as number;
    const end = pointer + (lengths[i] as number) * width;
    if (pointer >= 0 && end <= binBytes && pointer % width === 0) continue;
    const where = `sequence ${i} has pointer ${pointer} and ${lengths[i]} tokens of ${width} bytes`;
    const overflow = 'a 32-bit overflow in the program that wrote or merged the files is the usual cause';
    const falls =
      i > 0 && pointer < (pointers[i - 1] as number) ? `, and the one before is ${pointers[i - 1]}: ${overflow}` : '';
    const why =
      pointer < 0
        ? `a pointer is never negative; ${overflow}`
        : end > binBytes
          ? `the .bin file has ${binBytes} bytes${falls}`
          : `a pointer is a multiple of ${width}${falls}`;
    throw refuse(
      'CPT_FORMAT_MMAP_POINTER',
      file,
      header.offsets.pointers + 8 * i,
      `${where}; ${why}; cpt-mmap repair --pointers lays them anew where the lengths fit .bin, else build the dataset again`,
    );
  }
}

type FormatCode = ConstructorParameters<typeof FormatError>[0];

function refuse(code: FormatCode, file: string, byteOffset: number, why: string): FormatError {
  return new FormatError(code, `${file}: ${why}`, { file, byteOffset });
}

/** The parts of an index in the order of the file. `lengths` and `sequencesPerDocument` are walked more than once. */
export interface IndexContent {
  dtype: TokenDtype;
  sequenceCount: number;
  documentCount: number;
  lengths: () => Iterable<Int32Array>;
  /** `undefined`: one sequence in each document. */
  sequencesPerDocument: (() => Iterable<Int32Array>) | undefined;
  /** One per sequence, in multimodal sets only. */
  modes?: (() => Iterable<Int32Array>) | undefined;
}

/** The bytes of an `.idx` file in pieces, equal to what Megatron's builder writes. */
export function* serializeIndex(content: IndexContent): Generator<Uint8Array> {
  const { dtype, sequenceCount, documentCount, lengths } = content;
  const header = new Uint8Array(HEADER_BYTES);
  header.set(MAGIC);
  const view = new DataView(header.buffer);
  view.setBigUint64(9, VERSION, true);
  view.setUint8(17, TOKEN_DTYPES[dtype].code);
  view.setBigUint64(18, BigInt(sequenceCount), true);
  view.setBigUint64(26, BigInt(documentCount + 1), true);
  yield header;
  for (const piece of lengths()) yield new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength);
  let pointer = 0;
  for (const piece of lengths()) {
    yield serializeInt64(piece.length, (i) => {
      const here = pointer;
      pointer += (piece[i] as number) * TOKEN_DTYPES[dtype].bytes;
      return here;
    });
  }
  yield serializeInt64(1, () => 0);
  let end = 0;
  const counts = content.sequencesPerDocument ?? lengths;
  for (const piece of counts()) {
    yield serializeInt64(piece.length, (i) => {
      end += content.sequencesPerDocument ? (piece[i] as number) : 1;
      return end;
    });
  }
  for (const piece of content.modes?.() ?? []) yield new Uint8Array(Int8Array.from(piece).buffer);
}

/** `count` non-negative numbers below 2^53 as packed `i64`. */
function serializeInt64(count: number, value: (i: number) => number): Uint8Array {
  const halves = new Uint32Array(2 * count);
  for (let i = 0; i < count; i++) {
    const number = value(i);
    halves[2 * i] = number;
    halves[2 * i + 1] = Math.floor(number / 2 ** 32);
  }
  return new Uint8Array(halves.buffer);
}
