import { CptError } from '@pai-cpt/core';
import type { BuildProgress } from '../build-plan.ts';
import { countLines, type Oversized } from '../documents/batch.ts';
import { createBatchBuffers } from '../documents/batch-buffers.ts';
import { rowsOf } from '../documents/decode-documents.ts';
import type { InputFile, InputRecord } from '../documents/input-file.ts';
import { openInput } from '../documents/open-input.ts';
import type { SidecarInput } from '../sidecar.ts';
import type { BadLog } from './bad-log.ts';
import type { EncodedWork, Work } from './encode-work.ts';
import type { BuildFiles } from './files/build-files.ts';
import { countLinesBefore } from './node.ts';
import type { PartWriter } from './output/part-writer.ts';
import { BatchLost, type EncoderPool } from './pool.ts';
import { isDivisible, type RangeRead } from './range/line-range.ts';
import { readRange } from './range/node.ts';
import { openRanges } from './range/open-ranges.ts';
import type { RunState } from './resume/journal.ts';
import { routeDocuments } from './route-documents.ts';

/** What turns inputs into the files of a dataset. */
export interface Run {
  inputs: readonly InputFile[];
  read: { textKey: string; splitParagraphs: boolean; maxLine: number; batchBytes: number; rangeBytes: number };
  /** Documents after which to stop. */
  limit: number;
  pool: EncoderPool;
  files: BuildFiles;
  parts: readonly PartWriter[];
  isHeldOut: (document: number) => boolean;
  badLog: BadLog;
  /** Changed as the run goes on. */
  state: RunState;
  /** Inputs that are done, in order. */
  records: SidecarInput[];
  /** Told after each batch, and at the end. */
  onProgress(progress: Omit<BuildProgress, 'seconds' | 'bytesTotal'>): void;
  /** Called wherever a later run could go on. */
  onSafePoint(): Promise<void>;
  signal: AbortSignal | undefined;
}

/** A batch under way, or what stands between batches; they are dealt with in the order of the files. */
type Waiting =
  | { kind: 'work'; work: Work; result: Promise<EncodedWork>; bytesRead: number }
  | { kind: 'oversized'; piece: Oversized }
  | { kind: 'end'; record: InputRecord };

/**
 * Reads all inputs from `state` on, has them encoded and written. Only cutting and writing happen here; at most
 * `pool.capacity` batches are held.
 */
export async function encodeInputs(run: Run): Promise<void> {
  const { inputs, state, pool, signal } = run;
  const waiting: Waiting[] = [];
  const buffers = createBatchBuffers(Math.min(run.read.batchBytes, run.read.maxLine + 1));
  const isFull = () => state.documents >= run.limit;
  let bytesBefore = inputs.slice(0, state.input).reduce((sum, input) => sum + sizeOf(input), 0);
  const settleFirst = async () => {
    const first = waiting.shift() as Waiting;
    await settle(run, first);
    if (first.kind === 'work' && first.work.kind === 'batch') buffers.give(first.work.bytes);
  };

  for (let i = state.input; i < inputs.length && !isFull(); i++) {
    const input = inputs[i] as InputFile;
    const resumeAt = i === state.input ? state.resumeAt : undefined;
    const options = { ...run.read, ...(resumeAt !== undefined && { resumeAt }) };
    const open = isDivisible(input)
      ? await openRanges(input, { ...options, files: run.files })
      : await openInput(input, { ...options, buffers, ...(signal && { signal }) });
    try {
      for await (const piece of open.pieces) {
        signal?.throwIfAborted();
        if (piece.kind === 'oversized') waiting.push({ kind: 'oversized', piece });
        else {
          const result = pool.encode(piece);
          result.catch(() => undefined); // seen when its turn comes
          const bytesRead = bytesBefore + Math.floor(open.share() * sizeOf(input));
          waiting.push({ kind: 'work', work: piece, result, bytesRead });
        }
        // A record that ends the build must do so before the rest of it is read.
        const held = piece.kind === 'oversized' ? 0 : pool.capacity - 1;
        while (waiting.filter(({ kind }) => kind !== 'end').length > held && !isFull()) await settleFirst();
        if (isFull()) break;
      }
      if (!isFull()) waiting.push({ kind: 'end', record: await open.record() });
    } finally {
      await open.close();
    }
    bytesBefore += sizeOf(input);
  }
  while (waiting.length > 0 && !isFull()) await settleFirst();
  if (state.input < inputs.length) noteStopped(run);
  await run.badLog.checkShare(true);
  run.onProgress({ documents: state.documents, tokens: tokensOf(run), bytesRead: bytesBefore });
}

const sizeOf = ({ byteLength, range }: InputFile): number => (range ? range.to - range.from : byteLength);
const tokensOf = ({ parts }: Run): number => parts.reduce((sum, part) => sum + part.tokens, 0);

async function settle(run: Run, next: Waiting): Promise<void> {
  const { state } = run;
  run.signal?.throwIfAborted();
  if (next.kind === 'end') {
    const { range } = run.inputs[state.input] as InputFile;
    run.records.push({ ...next.record, ...(range && { range }) });
    state.input++;
    state.lines = 0;
    delete state.resumeAt;
    await run.onSafePoint();
    return;
  }
  if (next.kind === 'oversized') {
    const { path } = run.inputs[state.input] as InputFile;
    await run.badLog.rejectOversized(next.piece, path, await lineBefore(run));
    return;
  }
  const encoded = await resultOf(run, next.work, next.result);
  const isSafe = await store(run, next.work, encoded);
  run.pool.release(encoded);
  run.onProgress({ documents: state.documents, tokens: tokensOf(run), bytesRead: next.bytesRead });
  if (isSafe) await run.onSafePoint();
}

/** Lines of the input at hand before its next batch. Those before a range are counted when somebody needs to know. */
async function lineBefore({ inputs, state }: Run): Promise<number> {
  const { path, range } = inputs[state.input] as InputFile;
  return state.lines + (await countLinesBefore(path, range?.from ?? 0));
}

async function resultOf(run: Run, work: Work, result: Promise<EncodedWork>): Promise<EncodedWork> {
  try {
    return await result;
  } catch (error) {
    if (!(error instanceof BatchLost)) throw error;
    const batch = work.kind === 'batch' ? work : readRange(work);
    const { path } = run.inputs[run.state.input] as InputFile;
    const first = (await lineBefore(run)) + (batch.skippedLines ?? 0) + 1;
    const count = batch.unit === 'row' ? rowsOf(batch) : countLines(batch.bytes);
    throw new CptError(
      'CPT_PROGRAM_FAILED',
      `${path}: ${batch.unit}s ${first} to ${first + Math.max(count, 1) - 1}: ${error.message}; try fewer workers, or leave these out`,
      { file: path, line: first, byteOffset: batch.byteOffset },
      { cause: error },
    );
  }
}

/** Writes what a batch gave; true when a later run could go on behind it. */
async function store(run: Run, work: Work, encoded: EncodedWork): Promise<boolean> {
  const { state, parts, badLog } = run;
  const { counts } = state;
  const batch = work.kind === 'batch' ? work : undefined;
  const { path } = run.inputs[state.input] as InputFile;
  state.lines += batch?.skippedLines ?? 0;
  if (encoded.bad.length > 0) {
    const before = await lineBefore(run);
    const place = batch ?? { unit: 'line', byteOffset: encoded.read?.byteOffset ?? 0 };
    for (const bad of encoded.bad) await badLog.reject(bad, place, path, before);
    await badLog.checkShare(false);
  }
  const documents = Math.min(encoded.largest.length, run.limit - state.documents);
  const partOf = (document: number) => (run.isHeldOut(state.documents + document) ? 1 : 0);
  for (const piece of routeDocuments(encoded, documents, partOf)) await (parts[piece.part] as PartWriter).append(piece);
  state.documents += documents;
  state.lines += encoded.lines;
  counts.records += documents + encoded.empty;
  counts.dropped.empty += encoded.empty;
  counts.splitDocuments += encoded.split;
  counts.replaced += encoded.replaced;
  counts.addedTokens += encoded.addedTokens;
  counts.addedTokenDocuments += encoded.addedTokenDocuments;
  if (batch?.hasMark || encoded.read?.hasMark) counts.byteOrderMarks++;
  if (batch?.isCut) counts.cutTexts++;
  const oversized = encoded.read?.oversized;
  if (oversized && state.documents < run.limit) {
    await badLog.rejectOversized(oversized, path, await lineBefore(run));
    state.lines++;
  }
  const resumeAt = encoded.read ? resumeBehind(encoded.read) : batch?.resumeAt;
  if (resumeAt !== undefined) state.resumeAt = resumeAt;
  else if (batch) delete state.resumeAt;
  return resumeAt !== undefined;
}

/** Where a line begins that nothing of was dealt with; behind one that is too long nobody has looked yet. */
function resumeBehind({ byteOffset, end, oversized }: RangeRead): number | undefined {
  return end > byteOffset && !oversized ? end : undefined;
}

/** The input in which a limit was reached has no digest: the rest of it was not read. */
function noteStopped(run: Run): void {
  const { path, byteLength, range } = run.inputs[run.state.input] as InputFile;
  run.records.push({ path, bytes: byteLength, sha256: null, ...(range && { range }) });
}
