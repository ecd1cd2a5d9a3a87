import { dirname } from 'node:path';
import { InvalidInputError } from '@pai-cpt/core';
import { type BuildOptions, type BuildPlan, bytesOf, planBuild } from '../build-plan.ts';
import type { InputFile } from '../documents/input-file.ts';
import { STDIN } from '../documents/input-file.ts';
import { openInput } from '../documents/open-input.ts';
import { TOKEN_DTYPES } from '../token-dtype.ts';
import type { WorkEncoder } from './encode-work.ts';
import { firstLineFrom, freeBytes } from './node.ts';
import { createLocalEncoder } from './open-pool.ts';

/** What a build would give, measured on a sample of its inputs. */
export interface BuildEstimate {
  inputs: number;
  inputBytes: number;
  /** Bytes of the inputs that were read and encoded. */
  sampledBytes: number;
  documents: number;
  tokens: number;
  /** Records of the sample that are bad: a share, not a number of the whole. */
  badShare: number;
  dtype: string;
  binBytes: number;
  idxBytes: number;
  /** What the disk of the output has; `undefined` where the system does not tell. */
  freeBytes: number | undefined;
  isRoomEnough: boolean;
  warnings: string[];
}

const SAMPLE_SHARE = 0.01;
const MIN_SAMPLE_BYTES = 4e6;
const MAX_SAMPLE_BYTES = 64e6;
/** Bytes read in one place of a large file. */
const WINDOW_BYTES = 1 << 18;
/** What is unpacked and read ahead of the last document has been counted as read: small files are read whole. */
const WHOLE_PACKED_BYTES = 8e6;
const MAX_FILES = 256;

interface Sample {
  bytes: number;
  documents: number;
  sequences: number;
  tokens: number;
  bad: number;
}

/**
 * Reads about 1 % of the bytes of all inputs and encodes them: of plain JSONL windows all over the files, of other kinds what they
 * begin with. Writes nothing.
 * @throws what `planBuild` throws; `CPT_INPUT_INVALID` for stdin, which can be read once.
 */
export async function estimateBuild(options: BuildOptions): Promise<BuildEstimate> {
  const plan = await planBuild({ ...options, force: true, workers: 0 });
  if (plan.inputs.some(({ path }) => path === STDIN)) {
    throw new InvalidInputError('CPT_INPUT_INVALID', 'stdin can be read once, so not for an estimate; give files', {
      field: 'inputs',
    });
  }
  const encoder = await createLocalEncoder(plan, { ...plan.rules, onBad: 'skip', onInvalidUtf8: 'skip' });
  const wanted = Math.min(Math.max(plan.bytesTotal * SAMPLE_SHARE, MIN_SAMPLE_BYTES), MAX_SAMPLE_BYTES);
  const step = Math.max(1, Math.ceil(plan.inputs.length / MAX_FILES));
  const chosen = plan.inputs.filter((_, i) => i % step === 0);
  const chosenBytes = chosen.reduce((sum, input) => sum + bytesOf(input), 0);
  const sum: Sample = { bytes: 0, documents: 0, sequences: 0, tokens: 0, bad: 0 };
  for (const input of chosen) {
    const share = chosenBytes === 0 ? 1 : Math.min(1, wanted / chosenBytes);
    for (const window of await windowsOf(input, share)) {
      await readSample(window, plan, options, encoder, bytesOf(input) * share, sum);
    }
  }
  const factor = sum.bytes === 0 ? 0 : plan.bytesTotal / sum.bytes;
  const limited = Math.min(1, plan.limit / Math.max(1, sum.documents * factor)) * factor;
  const [documents, sequences, tokens] = [sum.documents, sum.sequences, sum.tokens].map((n) =>
    Math.round(n * limited),
  ) as [number, number, number];
  const binBytes = tokens * TOKEN_DTYPES[plan.dtype].bytes;
  const idxBytes = 34 + 12 * sequences + 8 * (documents + 1);
  const free = await freeBytes(dirname(plan.prefix));
  const needed = (options.shuffle === undefined ? binBytes : 3 * binBytes) + 2 * idxBytes;
  return {
    inputs: plan.inputs.length,
    inputBytes: plan.bytesTotal,
    sampledBytes: Math.round(sum.bytes),
    documents,
    tokens,
    badShare: sum.bad / Math.max(1, sum.bad + sum.documents),
    dtype: plan.dtype,
    binBytes,
    idxBytes,
    freeBytes: free,
    isRoomEnough: free === undefined || free > needed,
    warnings: plan.warnings,
  };
}

/** Parts of a file to read: windows at even distances where any line can be the first, else the file from its beginning. */
async function windowsOf(input: InputFile, share: number): Promise<InputFile[]> {
  const { path, byteLength, format, packing, range } = input;
  const [begin, end] = [range?.from ?? 0, range?.to ?? byteLength];
  const count = Math.max(1, Math.round(((end - begin) * share) / WINDOW_BYTES));
  if (share >= 1 || format !== 'jsonl' || packing !== 'none' || count * WINDOW_BYTES * 2 > end - begin) return [input];
  const windows: InputFile[] = [];
  for (let i = 0; i < count; i++) {
    const at = begin + Math.floor(((end - begin) * (i + 0.5)) / count - WINDOW_BYTES / 2);
    const from = Math.max(begin, await firstLineFrom(path, at));
    const to = Math.min(end, await firstLineFrom(path, from + WINDOW_BYTES));
    if (to > from) windows.push({ ...input, range: { from, to } });
  }
  return windows;
}

/** Adds what `wantedBytes` of an input give; packed bytes where it is packed. */
async function readSample(
  input: InputFile,
  plan: BuildPlan,
  options: BuildOptions,
  { encode }: WorkEncoder,
  wantedBytes: number,
  sum: Sample,
): Promise<void> {
  const { textKey } = plan.rules;
  const open = await openInput(input, {
    textKey,
    splitParagraphs: options.splitParagraphs ?? false,
    maxLine: plan.maxLine,
    ...(options.signal && { signal: options.signal }),
  });
  const isWhole = input.range !== undefined || (input.packing !== 'none' && input.byteLength <= WHOLE_PACKED_BYTES);
  try {
    let isStopped = false;
    for await (const piece of open.pieces) {
      if (piece.kind === 'oversized') sum.bad++;
      else {
        const encoded = await encode(piece);
        sum.documents += encoded.largest.length;
        sum.sequences += encoded.lengths.length;
        sum.tokens += encoded.ids.length;
        sum.bad += encoded.bad.length;
      }
      isStopped = !isWhole && open.share() < 1 && open.share() * bytesOf(input) >= wantedBytes;
      if (isStopped) break;
    }
    sum.bytes += isStopped ? open.share() * bytesOf(input) : bytesOf(input);
  } finally {
    await open.close();
  }
}
