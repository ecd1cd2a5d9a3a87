import { CptError } from '@pai-cpt/core';
import type { BuildProgress } from '../build-plan.ts';
import { type Batch, countLines, type Oversized } from '../documents/batch.ts';
import { createBatchBuffers } from '../documents/batch-buffers.ts';
import { rowsOf } from '../documents/decode-documents.ts';
import type { InputFile, InputRecord } from '../documents/input-file.ts';
import { openInput } from '../documents/open-input.ts';
import type { SidecarInput } from '../sidecar.ts';
import type { BadLog } from './bad-log.ts';
import type { EncodedBatch } from './encode-batch.ts';
import { countLinesBefore } from './node.ts';
import type { PartWriter } from './output/part-writer.ts';
import { BatchLost, type EncoderPool } from './pool.ts';
import type { RunState } from './resume/journal.ts';
import { routeDocuments } from './route-documents.ts';

/** What turns inputs into the files of a dataset. */
export interface Run {
  inputs: readonly InputFile[];
  read: { textKey: string; splitParagraphs: boolean; maxLine: number; batchBytes: number };
  /** Documents after which to stop. */
  limit: number;
  pool: EncoderPool;
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
  | { kind: 'batch'; batch: Batch; result: Promise<EncodedBatch>; bytesRead: number }
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
    if (first.kind === 'batch') buffers.give(first.batch.bytes);
  };

  for (let i = state.input; i < inputs.length && !isFull(); i++) {
    const input = inputs[i] as InputFile;
    const resumeAt = i === state.input ? state.resumeAt : undefined;
    const open = await openInput(input, {
      ...run.read,
      buffers,
      ...(resumeAt !== undefined && { resumeAt }),
      ...(signal && { signal }),
    });
    try {
      for await (const piece of open.pieces) {
        signal?.throwIfAborted();
        if (piece.kind === 'oversized') waiting.push({ kind: 'oversized', piece });
        else {
          const result = pool.encode(piece);
          result.catch(() => undefined); // seen when its turn comes
          const bytesRead = bytesBefore + Math.floor(open.share() * sizeOf(input));
          waiting.push({ kind: 'batch', batch: piece, result, bytesRead });
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
  const encoded = await resultOf(run, next.batch, next.result);
  await store(run, next.batch, encoded);
  run.pool.release(encoded);
  run.onProgress({ documents: state.documents, tokens: tokensOf(run), bytesRead: next.bytesRead });
  if (next.batch.resumeAt !== undefined) await run.onSafePoint();
}

/** Lines of the input at hand before its next batch. Those before a range are counted when somebody needs to know. */
async function lineBefore({ inputs, state }: Run): Promise<number> {
  const { path, range } = inputs[state.input] as InputFile;
  return state.lines + (await countLinesBefore(path, range?.from ?? 0));
}

async function resultOf(run: Run, batch: Batch, result: Promise<EncodedBatch>): Promise<EncodedBatch> {
  try {
    return await result;
  } catch (error) {
    if (!(error instanceof BatchLost)) throw error;
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

async function store(run: Run, batch: Batch, encoded: EncodedBatch): Promise<void> {
  const { state, parts, badLog } = run;
  const { counts } = state;
  state.lines += batch.skippedLines ?? 0;
  if (encoded.bad.length > 0) {
    const { path } = run.inputs[state.input] as InputFile;
    const before = await lineBefore(run);
    for (const bad of encoded.bad) await badLog.reject(bad, batch, path, before);
    await badLog.checkShare(false);
  }
  const documents = Math.min(encoded.largest.length, run.limit - state.documents);
  const partOf = (document: number) => (run.isHeldOut(state.documents + document) ? 1 : 0);
  for (const piece of routeDocuments(encoded, documents, partOf)) await (parts[piece.part] as PartWriter).append(piece);
  state.documents += documents;
  state.lines += encoded.lines;
  if (batch.resumeAt === undefined) delete state.resumeAt;
  else state.resumeAt = batch.resumeAt;
  counts.records += documents + encoded.empty;
  counts.dropped.empty += encoded.empty;
  counts.replaced += encoded.replaced;
  counts.addedTokens += encoded.addedTokens;
  counts.addedTokenDocuments += encoded.addedTokenDocuments;
  if (batch.hasMark) counts.byteOrderMarks++;
  if (batch.isCut) counts.cutTexts++;
}

/** The input in which a limit was reached has no digest: the rest of it was not read. */
function noteStopped(run: Run): void {
  const { path, byteLength, range } = run.inputs[run.state.input] as InputFile;
  run.records.push({ path, bytes: byteLength, sha256: null, ...(range && { range }) });
}
