import { type ByteSource, checkRange, FormatError, InvalidInputError } from '@pai-cpt/core';
import { checkIndex } from './index-format.ts';
import { readIndexFile } from './read-index.ts';
import { decodeTokens, TOKEN_DTYPES, type TokenDtype } from './token-dtype.ts';

/** An open dataset: the index in memory (16 bytes per sequence where each is a document), the tokens read on demand. */
export interface MmapDataset {
  /** Path without `.bin` and `.idx`. */
  readonly prefix: string;
  readonly dtype: TokenDtype;
  readonly sequenceCount: number;
  readonly documentCount: number;
  readonly tokenCount: number;
  /** Tokens of each sequence, `[S]`. */
  readonly lengths: Int32Array;
  /** Byte offset of each sequence in the `.bin` file, `[S]`. */
  readonly pointers: Float64Array;
  /** First sequence of each document and S at the end, `[D + 1]`. */
  readonly documentIndex: Uint32Array;
  /** One per sequence, in multimodal sets only. */
  readonly modes?: Int8Array;
  readonly binBytes: number;
  readonly idxBytes: number;
  /** True when every sequence starts where the one before ends: sequence i is then token `pointers[i]` / width of the `.bin` file. */
  readonly isContiguous: boolean;
  /** What is unusual and still readable, one sentence each. */
  readonly warnings: readonly string[];
  /** The ids of one sequence. */
  get(sequence: number, signal?: AbortSignal): Promise<Int32Array>;
  /** `count` ids from `from` on, of all sequences joined in the order of the index. */
  tokens(from: number, count: number, signal?: AbortSignal): Promise<Int32Array>;
  close(): Promise<void>;
}

/** The two files of a dataset as bytes. */
export interface DatasetSources {
  prefix: string;
  idx: ByteSource;
  bin: ByteSource;
  close?: () => Promise<void>;
}

/**
 * Opens a dataset: reads the index and checks all of it, reads no token.
 * @throws FormatError `CPT_FORMAT_TRUNCATED` or a `CPT_FORMAT_MMAP_…` code, with file and byte offset.
 */
export async function openDatasetSources(sources: DatasetSources, signal?: AbortSignal): Promise<MmapDataset> {
  const { prefix, idx, bin } = sources;
  const files = { idx: `${prefix}.idx`, bin: `${prefix}.bin` };
  const { header, findings, ...arrays } = await readCheckedIndex(idx, bin.byteLength, files, signal);
  const { lengths, pointers } = arrays;
  const { bytes: width } = TOKEN_DTYPES[header.dtype];

  const readTokens = async (byteOffset: number, count: number, sequence: number | undefined, signal?: AbortSignal) => {
    const ids = decodeTokens(await bin.read(byteOffset, count * width, signal), header.dtype);
    if (ids instanceof Int32Array) return ids;
    throw tokenRange(files.bin, byteOffset + ids.outOfRange * width, sequence);
  };
  const get = async (sequence: number, signal?: AbortSignal) => {
    if (!Number.isInteger(sequence) || sequence < 0 || sequence >= header.sequenceCount) {
      throw new InvalidInputError(
        'CPT_INPUT_INVALID',
        `${prefix}: sequence ${sequence} does not exist; it has ${header.sequenceCount}`,
        { file: files.idx },
      );
    }
    return readTokens(pointers[sequence] as number, lengths[sequence] as number, sequence, signal);
  };
  return {
    prefix,
    dtype: header.dtype,
    sequenceCount: header.sequenceCount,
    documentCount: header.documentIndexLength - 1,
    tokenCount: findings.tokenCount,
    ...arrays,
    binBytes: bin.byteLength,
    idxBytes: idx.byteLength,
    isContiguous: findings.isContiguous,
    warnings: findings.warnings,
    get,
    async tokens(from, count, signal) {
      checkRange(findings.tokenCount, from, count, `${prefix} (counted in tokens)`);
      if (findings.isContiguous) return readTokens(from * width, count, undefined, signal);
      return gather(lengths, from, count, (sequence) => get(sequence, signal));
    },
    close: async () => sources.close?.(),
  };
}

/** The index, checked. Its document index is narrowed: none is negative or above the number of sequences, which arrays can hold. */
async function readCheckedIndex(
  idx: ByteSource,
  binBytes: number,
  files: { idx: string; bin: string },
  signal?: AbortSignal,
) {
  const { header, arrays } = await readIndexFile(idx, files.idx, signal);
  const findings = checkIndex(header, arrays, binBytes, files);
  return { header, findings, ...arrays, documentIndex: new Uint32Array(arrays.documentIndex) };
}

/** The range of the joined sequences when their bytes do not lie in that order. */
async function gather(
  lengths: Int32Array,
  from: number,
  count: number,
  get: (sequence: number) => Promise<Int32Array>,
): Promise<Int32Array> {
  const out = new Int32Array(count);
  let start = 0;
  for (let sequence = 0, done = 0; done < count; sequence++) {
    const end = start + (lengths[sequence] as number);
    if (end > from + done) {
      const ids = await get(sequence);
      const part = ids.subarray(from + done - start, Math.min(ids.length, from + count - start));
      out.set(part, done);
      done += part.length;
    }
    start = end;
  }
  return out;
}

function tokenRange(file: string, byteOffset: number, sequence: number | undefined): FormatError {
  const where = sequence === undefined ? '' : ` in sequence ${sequence}`;
  return new FormatError(
    'CPT_FORMAT_MMAP_TOKEN_RANGE',
    `${file}: the int64 id${where} at byte ${byteOffset} is outside 32 bits; no vocabulary has it; build the dataset again`,
    { file, byteOffset, sequence },
  );
}
