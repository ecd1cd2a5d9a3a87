import { type ByteSource, FormatError } from '@pai-cpt/core';
import type { IndexFindings } from '../index-format.ts';
import type { IndexFile } from '../read-index.ts';
import { decodeTokens, TOKEN_DTYPES } from '../token-dtype.ts';

/** Stretches of the joined sequences to read, in rising order and apart from one another. */
export interface ReadPlan {
  /** True when the stretches are everything. */
  isWhole: boolean;
  tokens: number;
  stretches: () => Iterable<{ from: number; count: number }>;
}

/** A sample reads this much of `.bin`, so that 100 GB on a slow disk take seconds. */
export const SAMPLE_BYTES = 64 * 1024 * 1024;
const SAMPLE_STRETCHES = 256;
const CHUNK_TOKENS = 1 << 20;

/**
 * What to read: everything when it is small or wanted, else 256 stretches of equal length, one at a seeded place in each 256th
 * part of the tokens. So every part of the data gives its share and no period in the data meets a period here.
 */
export function planReading(tokens: number, width: number, isFull: boolean, sampleBytes = SAMPLE_BYTES): ReadPlan {
  const wanted = Math.floor(sampleBytes / width);
  if (isFull || tokens <= wanted) {
    return {
      isWhole: true,
      tokens,
      *stretches() {
        for (let from = 0; from < tokens; from += CHUNK_TOKENS)
          yield { from, count: Math.min(CHUNK_TOKENS, tokens - from) };
      },
    };
  }
  const count = Math.floor(wanted / SAMPLE_STRETCHES);
  const stride = tokens / SAMPLE_STRETCHES;
  return {
    isWhole: false,
    tokens: count * SAMPLE_STRETCHES,
    *stretches() {
      for (let i = 0; i < SAMPLE_STRETCHES; i++) {
        yield { from: Math.floor(i * stride + fraction(i) * (stride - count)), count };
      }
    },
  };
}

/** A number in [0, 1) for each whole number, without a period a person would meet (the finaliser of MurmurHash3). */
export function fraction(value: number): number {
  let bits = Math.imul(value ^ 0x9e3779b9, 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return ((bits ^ (bits >>> 16)) >>> 0) / 2 ** 32;
}

/** Neighbouring ids of one sequence. */
export interface Piece {
  ids: Int32Array;
  /** Place of the first id in the joined sequences. */
  position: number;
  /** Its byte offset in `.bin`. */
  byteOffset: number;
  document: number;
  sequence: number;
  startsSequence: boolean;
  endsSequence: boolean;
  /** True when the first id of the document is here. Sequences without ids hold nothing of it. */
  startsDocument: boolean;
  endsDocument: boolean;
}

/**
 * The ids of the planned stretches, cut where sequences end. `checkIndex` must have accepted the index.
 * @throws FormatError `CPT_FORMAT_MMAP_TOKEN_RANGE` at an int64 id that no vocabulary has.
 */
export async function* readPieces(
  index: IndexFile & { findings: IndexFindings },
  bin: ByteSource,
  plan: ReadPlan,
  options: { binFile: string; signal?: AbortSignal },
): AsyncGenerator<Piece> {
  const { header, arrays, findings } = index;
  const { lengths, pointers, documentIndex } = arrays;
  const { bytes: width } = TOKEN_DTYPES[header.dtype];
  const startOf = tokenStarts(index);

  const read = async (byteOffset: number, count: number): Promise<Int32Array> => {
    const ids = decodeTokens(await bin.read(byteOffset, count * width, options.signal), header.dtype);
    if (ids instanceof Int32Array) return ids;
    const at = byteOffset + ids.outOfRange * width;
    throw new FormatError(
      'CPT_FORMAT_MMAP_TOKEN_RANGE',
      `${options.binFile}: the int64 id at byte ${at} is outside 32 bits; no vocabulary has it; build the dataset again`,
      { file: options.binFile, byteOffset: at },
    );
  };
  for (const { from, count } of plan.stretches()) {
    const together = findings.isContiguous ? await read(from * width, count) : undefined;
    let sequence = lastAtMost(header.sequenceCount, startOf, from);
    let document = lastAtMost(documentIndex.length - 1, (i) => documentIndex[i] as number, sequence);
    for (let at = from; at < from + count; sequence++) {
      const start = startOf(sequence);
      const end = start + (lengths[sequence] as number);
      if (end <= at) continue;
      while ((documentIndex[document + 1] as number) <= sequence) document++;
      const stop = Math.min(end, from + count);
      const byteOffset = (pointers[sequence] as number) + (at - start) * width;
      yield {
        ids: together ? together.subarray(at - from, stop - from) : await read(byteOffset, stop - at),
        position: at,
        byteOffset,
        document,
        sequence,
        startsSequence: at === start,
        endsSequence: stop === end,
        startsDocument: at === startOf(documentIndex[document] as number),
        endsDocument: stop === startOf(documentIndex[document + 1] as number),
      };
      at = stop;
    }
  }
}

/** Where each sequence starts in the joined sequences, and at S their end. */
function tokenStarts({ header, arrays, findings }: IndexFile & { findings: IndexFindings }): (i: number) => number {
  const { lengths, pointers } = arrays;
  const { bytes: width } = TOKEN_DTYPES[header.dtype];
  if (findings.isContiguous) {
    return (i) => (i === header.sequenceCount ? findings.tokenCount : (pointers[i] as number) / width);
  }
  const starts = new Float64Array(header.sequenceCount + 1);
  for (let i = 0; i < lengths.length; i++) starts[i + 1] = (starts[i] as number) + (lengths[i] as number);
  return (i) => starts[i] as number;
}

/** The last of `count` rising values that is at most `value`; the first one is. */
function lastAtMost(count: number, valueAt: (i: number) => number, value: number): number {
  let low = 0;
  let high = count - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (valueAt(middle) <= value) low = middle;
    else high = middle - 1;
  }
  return low;
}
