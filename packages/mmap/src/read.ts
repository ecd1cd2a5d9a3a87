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
  /** The ids of one sequence. Up to 256 KiB are read at once, without a turn in the thread pool that costs ten times the read. */
  get(sequence: number, signal?: AbortSignal): Promise<Int32Array>;
  /** `count` ids from `from` on, of all sequences joined in the order of the index. */
  tokens(from: number, count: number, signal?: AbortSignal): Promise<Int32Array>;
  /** The ids of sequences `from` to `to` (not included; all when not given), one after another, read in windows of a megabyte. */
  sequences(from?: number, to?: number, signal?: AbortSignal): AsyncGenerator<Int32Array>;
  close(): Promise<void>;
}

/** Up to this size a read takes no longer than handing it to another thread, and keeps nothing else waiting for long. */
const SYNCHRONOUS_BYTES = 1 << 18;
/** Ids read together in `sequences`. */
const WINDOW_TOKENS = 1 << 18;

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
  const { header, arrays } = await readIndexFile(idx, files.idx, signal);
  const findings = checkIndex(header, arrays, bin.byteLength, files);
  const { lengths, pointers } = arrays;
  const { bytes: width } = TOKEN_DTYPES[header.dtype];

  let isClosed = false;
  const readTokens = async (byteOffset: number, count: number, sequence: number | undefined, signal?: AbortSignal) => {
    signal?.throwIfAborted();
    if (isClosed) throw new InvalidInputError('CPT_INPUT_INVALID', `${prefix}: was closed`, { file: files.bin });
    const length = count * width;
    const bytes =
      bin.readSync && length <= SYNCHRONOUS_BYTES
        ? bin.readSync(byteOffset, length)
        : await bin.read(byteOffset, length, signal);
    const ids = decodeTokens(bytes, header.dtype);
    if (ids instanceof Int32Array) return ids;
    throw tokenRange(files.bin, byteOffset + ids.outOfRange * width, sequence);
  };
  const noSequence = (what: string) =>
    new InvalidInputError('CPT_INPUT_INVALID', `${prefix}: ${what} not exist; it has ${header.sequenceCount}`, {
      file: files.idx,
    });
  const get = async (sequence: number, signal?: AbortSignal) => {
    if (!Number.isInteger(sequence) || sequence < 0 || sequence >= header.sequenceCount)
      throw noSequence(`sequence ${sequence} does`);
    return readTokens(pointers[sequence] as number, lengths[sequence] as number, sequence, signal);
  };
  return {
    prefix,
    dtype: header.dtype,
    sequenceCount: header.sequenceCount,
    documentCount: header.documentIndexLength - 1,
    tokenCount: findings.tokenCount,
    ...arrays,
    documentIndex: arrays.documentIndex as Uint32Array, // no entry is negative or above the number of sequences
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
    async *sequences(from = 0, to = header.sequenceCount, signal) {
      const isRange = Number.isInteger(from) && Number.isInteger(to) && from >= 0 && from <= to;
      if (!isRange || to > header.sequenceCount) throw noSequence(`sequences ${from} to ${to} do`);
      for (let first = from, end = from; first < to; first = end) {
        let count = lengths[end++] as number;
        while (end < to && count + (lengths[end] as number) <= WINDOW_TOKENS) count += lengths[end++] as number;
        const window = findings.isContiguous
          ? await readTokens(pointers[first] as number, count, undefined, signal)
          : undefined;
        for (let i = first, at = 0; i < end; at += lengths[i++] as number)
          yield window ? window.subarray(at, at + (lengths[i] as number)) : await get(i, signal);
      }
    },
    async close() {
      isClosed = true;
      await sources.close?.();
    },
  };
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
