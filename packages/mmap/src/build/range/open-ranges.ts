import type { InputFile, InputRecord } from '../../documents/input-file.ts';
import type { BuildFiles } from '../files/build-files.ts';
import { type LineRange, rangesOf } from './line-range.ts';

/** A plain JSONL file that is being read in ranges; the same shape as `OpenInput`. */
export interface OpenRanges {
  pieces: AsyncGenerator<LineRange>;
  share(): number;
  record(): Promise<InputRecord>;
  close(): Promise<void>;
}

/** So far the digest may lag behind: each word to its thread costs as much as hashing some 100 kB. */
const ADVANCE_BYTES = 4 << 20;

/** Hands out the ranges of a file from `resumeAt` on; its sha256 is that of all of it. */
export async function openRanges(
  input: InputFile,
  options: { resumeAt?: number; rangeBytes: number; maxLine: number; files: BuildFiles },
): Promise<OpenRanges> {
  const { path, byteLength, range } = input;
  const from = range?.from ?? 0;
  const end = Math.min(range?.to ?? byteLength, byteLength);
  const digest = await options.files.follow(path, from);
  let position = from;
  let told = from;
  return {
    pieces: (async function* () {
      for (const piece of rangesOf(input, { resumeAt: undefined, ...options })) {
        if (piece.from - told >= ADVANCE_BYTES) {
          digest.advance(piece.from);
          told = piece.from;
        }
        position = piece.to;
        yield piece;
      }
    })(),
    share: () => (end === from ? 0 : (position - from) / (end - from)),
    record: async () => ({ path, bytes: end - from, sha256: await digest.digest(end) }),
    close: digest.close,
  };
}
