import { bytesPerElement, castDtype, type Dtype, FormatError, isContiguous } from '@pai-cpt/core';
import type { MegatronParameter, PlacedShard, ReadInto } from './checkpoint.ts';
import { matrixSize } from './mapping.ts';
import type { PlannedCheck } from './plan.ts';
import { readRows } from './read-rows.ts';

/** Bytes read at once of each side of a comparison. */
const BLOCK_BYTES = 1024 * 1024;

/**
 * Does the checks of a plan, which stop a conversion before it writes.
 * @returns lines for the user: what kind of padding is cut off.
 * @throws FormatError `CPT_FORMAT_RANKS_DIFFER`, `CPT_FORMAT_TIED_COPY`, and `CPT_FORMAT_RANK_FILE` for a norm's bias that is used.
 */
export function checkTensors(checks: readonly PlannedCheck[], readInto: ReadInto): string[] {
  const notes: string[] = [];
  for (const check of checks) {
    if (check.kind === 'replicas') checkReplicas(check.parameter, readInto);
    else if (check.kind === 'zero') checkZero(check.parameter, readInto);
    else if (check.kind === 'tiedCopy') checkTiedCopy(check.parameter, check.embedding, readInto);
    else notes.push(describePadding(check.parameter, check.vocabSize, readInto));
  }
  return notes;
}

/**
 * Norms are whole on each rank and must be equal to the bit; where they differ, files of different iterations lie mixed, or the
 * training lost the gradients of some ranks. Taking rank 0's would hide it.
 */
function checkReplicas({ localName, dtype, shards }: MegatronParameter, readInto: ReadInto): void {
  const [first, ...others] = shards;
  if (!first) return;
  for (const other of others) {
    const difference = compareShards(first, other, dtype, readInto);
    if (difference === undefined) continue;
    throw new FormatError(
      'CPT_FORMAT_RANKS_DIFFER',
      `${other.file}: "${localName}" differs from the one of tensor rank ${first.tensorRank}${difference}; files of different iterations lie mixed, or the run was faulty`,
      { file: other.file, tensor: localName },
    );
  }
}

function checkTiedCopy(copy: MegatronParameter, embedding: MegatronParameter, readInto: ReadInto): void {
  for (const [rank, shard] of copy.shards.entries()) {
    const original = embedding.shards[rank];
    const difference = original && compareShards(original, shard, copy.dtype, readInto);
    if (difference === undefined) continue;
    throw new FormatError(
      'CPT_FORMAT_TIED_COPY',
      `${shard.file}: "${copy.localName}" differs from the embedding${difference}, and args say that they are tied; the run untied them or files lie mixed`,
      { file: shard.file, tensor: copy.localName },
    );
  }
}

function checkZero({ localName, shards, dtype }: MegatronParameter, readInto: ReadInto): void {
  for (const shard of shards) {
    for (const block of blocksOf(shard, dtype, readInto)) {
      if (block.every((byte) => byte === 0)) continue;
      throw new FormatError(
        'CPT_FORMAT_RANK_FILE',
        `${shard.file}: "${localName}" is not zero, but RMSNorm has no bias; this is another kind of model`,
        { file: shard.file, tensor: localName },
      );
    }
  }
}

/** Undefined when equal to the bit, else words on the largest difference; NaN where a NaN faces something else. */
function compareShards(a: PlacedShard, b: PlacedShard, dtype: Dtype, readInto: ReadInto): string | undefined {
  let largest: number | undefined;
  const others = blocksOf(b, dtype, readInto);
  for (const block of blocksOf(a, dtype, readInto)) {
    const other = others.next().value as Uint8Array;
    if (Buffer.compare(block, other) === 0) continue;
    if (dtype !== 'F32' && dtype !== 'BF16') return '';
    largest = Math.max(largest ?? 0, largestDifference(block, other, dtype));
  }
  return largest === undefined ? undefined : `, by at most ${largest}`;
}

function largestDifference(a: Uint8Array, b: Uint8Array, dtype: 'F32' | 'BF16'): number {
  const [left, right] = [a, b].map((bytes) => new Float32Array(castDtype(bytes, dtype, 'F32').slice().buffer)) as [
    Float32Array,
    Float32Array,
  ];
  return left.reduce((largest, value, at) => Math.max(largest, Math.abs(value - (right[at] as number))), 0);
}

/** The packed bytes of a shard, block by block; a block is valid until the next one. */
function* blocksOf(shard: PlacedShard, dtype: Dtype, readInto: ReadInto): Generator<Uint8Array> {
  const [rows, columns] = matrixSize(shard.shape);
  const rowBytes = columns * bytesPerElement(dtype);
  const step = Math.max(1, Math.floor(BLOCK_BYTES / rowBytes));
  const isPacked = isContiguous(shard.shape, shard.stride);
  const buffer = new Uint8Array(isPacked ? Math.min(step, rows) * rowBytes : 0);
  for (let row = 0; row < rows; row += step) {
    const end = Math.min(rows, row + step);
    const block = isPacked ? buffer.subarray(0, (end - row) * rowBytes) : readRows(shard, dtype, row, end, readInto);
    if (isPacked) readInto(shard.file, shard.byteOffset + row * rowBytes, block);
    yield block;
  }
}

/**
 * What the cut rows look like. Megatron's saver repeats the last row, a fresh model holds random rows that were never
 * trained; rows of every kind are cut alike, but rows that all differ deserve a look at the vocabulary size.
 */
function describePadding(parameter: MegatronParameter, vocabSize: number, readInto: ReadInto): string {
  const seen = new Set<string>();
  let isZero = true;
  let cut = 0;
  const rowsPerShard = matrixSize((parameter.shards[0] as PlacedShard).shape)[0];
  for (const [rank, shard] of parameter.shards.entries()) {
    for (let row = Math.max(0, vocabSize - rank * rowsPerShard); row < rowsPerShard; row++, cut++) {
      const bytes = readRows(shard, parameter.dtype, row, row + 1, readInto);
      seen.add(Buffer.from(bytes).toString('latin1'));
      isZero &&= bytes.every((byte) => byte === 0);
    }
  }
  const kind = isZero ? 'all zero' : seen.size === 1 ? 'all equal' : `${seen.size} different ones, as after training`;
  return `${parameter.megatronName}: ${cut} padding rows cut (${kind}), ${vocabSize} kept`;
}
