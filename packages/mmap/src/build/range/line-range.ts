import type { Oversized } from '../../documents/batch.ts';
import { type InputFile, STDIN } from '../../documents/input-file.ts';

/**
 * Part of a plain JSONL file, to be read by the thread that encodes it: the lines that begin in `[from, to)`. Nobody needs to
 * have seen the bytes to say this, so the thread that hands out ranges does nothing else.
 */
export interface LineRange {
  kind: 'range';
  path: string;
  from: number;
  to: number;
  /** True when a line begins at `from`; otherwise the first one begins behind the next line break from `from - 1` on. */
  isLineStart: boolean;
  /** The last byte of the file that counts, + 1. */
  end: number;
  /** Bytes of the longest line. */
  maxLine: number;
}

/** Bytes of a range. Each costs four messages between threads, some 2 % of encoding it; larger ones, memory in every thread. */
export const RANGE_BYTES = 2 ** 20;

/** What was found in a range. */
export interface RangeRead {
  /** Where its first line begins, without a byte order mark, and where the last one ends. */
  byteOffset: number;
  end: number;
  hasMark: boolean;
  /** A line that is too long and was not read; it begins at `end`. */
  oversized?: Oversized;
}

/** True for inputs that threads can read in parts. */
export function isDivisible({ path, format, packing }: InputFile): boolean {
  return format === 'jsonl' && packing === 'none' && path !== STDIN;
}

/**
 * The ranges of a file in order, from byte `resumeAt` on, where a line begins. A range is no longer than the longest line may be,
 * so that only the last line in it can be too long.
 */
export function* rangesOf(
  { path, byteLength, range }: InputFile,
  { resumeAt, rangeBytes, maxLine }: { resumeAt: number | undefined; rangeBytes: number; maxLine: number },
): Generator<LineRange> {
  const begin = resumeAt ?? range?.from ?? 0;
  const end = Math.min(range?.to ?? byteLength, byteLength);
  const size = Math.min(rangeBytes, maxLine + 1);
  for (let from = begin; from < end; from += size) {
    yield { kind: 'range', path, from, to: Math.min(end, from + size), isLineStart: from === begin, end, maxLine };
  }
}
