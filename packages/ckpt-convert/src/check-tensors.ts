import { bytesPerElement, castDtype, type Dtype, FormatError, isContiguous } from '@pai-cpt/core';
import type { MegatronParameter, PlacedShard, ReadInto } from './checkpoint.ts';
import type { TensorChoice } from './choose-tensors.ts';
import { matrixSize } from './mapping.ts';
import type { PlannedCheck } from './plan.ts';
import { readRows } from './read-rows.ts';

/** Bytes read at once of each side of a comparison. */
const BLOCK_BYTES = 1024 * 1024;
/** Used again for every comparison: thousands of new buffers are 25 MB before the first is collected. */
const BLOCKS = [new Uint8Array(BLOCK_BYTES), new Uint8Array(BLOCK_BYTES)] as const;

/**
 * Does the checks of a plan, which stop a conversion before it writes.
 * With `replica` a difference between replicas is told, and what lies first stands: the rank's tensor, or the mean.
 * @returns lines for the user: what kind of padding is cut off, which replicas differ.
 * @throws FormatError `CPT_FORMAT_RANKS_DIFFER`, `CPT_FORMAT_TIED_COPY`, and `CPT_FORMAT_RANK_FILE` for a norm's bias that is used.
 */
export function checkTensors(
  checks: readonly PlannedCheck[],
  readInto: ReadInto,
  { replica }: Pick<TensorChoice, 'replica'> = {},
): string[] {
  const notes: string[] = [];
  for (const check of checks) {
    if (check.kind === 'replicas') notes.push(...checkReplicas(check.parameter, readInto, replica));
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
function checkReplicas(parameter: MegatronParameter, readInto: ReadInto, replica: TensorChoice['replica']): string[] {
  const { localName, megatronName, dtype, shards } = parameter;
  const notes: string[] = [];
  const [first, ...others] = shards;
  if (!first) return notes;
  for (const other of others) {
    const difference = compareShards(first, other, dtype, readInto);
    if (difference === undefined) continue;
    if (replica !== undefined) {
      const [taken, whose] =
        replica === 'mean' ? ['the mean', 'the mean'] : [`rank ${first.tensorRank}`, `rank ${first.tensorRank}'s`];
      notes.push(
        `${megatronName}: tensor rank ${other.tensorRank} differs from ${taken}${difference}; ${whose} is taken`,
      );
      continue;
    }
    throw new FormatError(
      'CPT_FORMAT_RANKS_DIFFER',
      `${other.file}: "${localName}" differs from the one of tensor rank ${first.tensorRank}${difference}; files of different iterations lie mixed, or the run was faulty; --replica RANK takes one rank's all the same, --replica mean the mean`,
      { file: other.file, tensor: localName },
    );
  }
  return notes;
}

function checkTiedCopy(copy: MegatronParameter, embedding: MegatronParameter, readInto: ReadInto): void {
  for (const [rank, shard] of copy.shards.entries()) {
    const original = embedding.shards[rank];
    const difference = original && compareShards(original, shard, copy.dtype, readInto);
    if (difference === undefined) continue;
    throw new FormatError(
      'CPT_FORMAT_TIED_COPY',
      `${shard.file}: "${copy.localName}" differs from the embedding${difference}, and args say that they are tied; the run untied them or files lie mixed; --untie writes both`,
      { file: shard.file, tensor: copy.localName },
    );
  }
}

function checkZero({ localName, shards, dtype }: MegatronParameter, readInto: ReadInto): void {
  for (const shard of shards) {
    for (const block of blocksOf(shard, dtype, readInto, BLOCKS[0])) {
      if (isZero(block)) continue;
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
  const others = blocksOf(b, dtype, readInto, BLOCKS[1]);
  for (const block of blocksOf(a, dtype, readInto, BLOCKS[0])) {
    const other = others.next().value as Uint8Array;
    if (Buffer.compare(block, other) === 0) continue;
    if (dtype !== 'F32' && dtype !== 'BF16' && dtype !== 'F16') return '';
    largest = Math.max(largest ?? 0, largestDifference(block, other, dtype));
  }
  return largest === undefined ? undefined : `, by at most ${largest}`;
}

function largestDifference(a: Uint8Array, b: Uint8Array, dtype: Dtype): number {
  const [left, right] = [a, b].map((bytes) => new Float32Array(castDtype(bytes, dtype, 'F32').slice().buffer)) as [
    Float32Array,
    Float32Array,
  ];
  return left.reduce((largest, value, at) => Math.max(largest, Math.abs(value - (right[at] as number))), 0);
}

/** The packed bytes of a shard from `fromRow` on, whole rows block by block; a block is valid until the next one. */
function* blocksOf(
  shard: PlacedShard,
  dtype: Dtype,
  readInto: ReadInto,
  room: Uint8Array,
  fromRow = 0,
): Generator<Uint8Array> {
  const [rows, columns] = matrixSize(shard.shape);
  const rowBytes = columns * bytesPerElement(dtype);
  const step = Math.max(1, Math.floor(BLOCK_BYTES / rowBytes));
  const isPacked = isContiguous(shard.shape, shard.stride);
  const buffer = rowBytes <= room.byteLength ? room : new Uint8Array(rowBytes);
  for (let row = fromRow; row < rows; row += step) {
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
  let last: Uint8Array | undefined;
  let cut = 0;
  const [rowsPerShard, columns] = matrixSize((parameter.shards[0] as PlacedShard).shape);
  const rowBytes = columns * bytesPerElement(parameter.dtype);
  for (const [rank, shard] of parameter.shards.entries()) {
    const from = Math.max(0, vocabSize - rank * rowsPerShard);
    for (const block of blocksOf(shard, parameter.dtype, readInto, BLOCKS[0], from)) {
      for (let at = 0; at < block.byteLength; at += rowBytes, cut++) {
        const row = block.subarray(at, at + rowBytes);
        if (last && Buffer.compare(row, last) === 0) continue;
        last = row.slice();
        seen.add(Buffer.from(row).toString('latin1'));
      }
    }
  }
  const isAllZero = seen.size === 1 && last !== undefined && isZero(last);
  const kind = isAllZero
    ? 'all zero'
    : seen.size === 1
      ? 'all equal'
      : `${seen.size} different ones, as after training`;
  return `${parameter.megatronName}: ${cut} padding rows cut (${kind}), ${vocabSize} kept`;
}

const ZEROS = new Uint8Array(BLOCK_BYTES);

function isZero(bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.byteLength; at += BLOCK_BYTES) {
    const part = bytes.subarray(at, at + BLOCK_BYTES);
    if (Buffer.compare(part, ZEROS.subarray(0, part.byteLength)) !== 0) return false;
  }
  return true;
}
