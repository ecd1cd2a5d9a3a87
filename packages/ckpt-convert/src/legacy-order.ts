// The rows of a rank's query_key_value, n heads of d rows each for query, key and value:
//
//   checkpoint_version 0     query of all heads, key of all, value of all      [3, n, d]
//   checkpoint_version 1     q k v of a head's first row, of its second, …     [n, d, 3]
//   checkpoint_version 2, 3  q, k, v of a head, then of the next               [n, 3, d]
//
// Groups of heads came after version 2. Some versions with groups store two matrices instead, of g groups of n heads:
//
//   query                    query of all heads of a group, then of the next            [g, n, d]
//   key_value                key, value of a group, then of the next                    [g, 2, d]
//
// Source: NVIDIA/Megatron-LM@core_v0.4.0, megatron/checkpointing.py, fix_query_key_value_ordering.

import { contiguousStride, type Dtype, isContiguous, rowBytes, tensorBytes } from '@pai-cpt/core';
import type { PlacedShard, ReadInto } from './checkpoint.ts';
import { boxReader, type DistBox, type DistTensorBoxes } from './dist-tensor.ts';
import { type ArgsNamespace, attentionByArgs, numberArg } from './model-config.ts';
import { refusal } from './unsupported-features.ts';

/** What the order of the rows of a rank file follows from. */
export interface LegacyOrder {
  /** Below 2. */
  readonly version: number;
  readonly args: ArgsNamespace | undefined;
  /** Bytes of the rank file. */
  readonly fileBytes: number;
}

/** Gives shards of query_key_value in the order of version 2 and later, at addresses behind the end of their file. */
export interface ReorderedReads {
  /** @throws UnsupportedError `CPT_UNSUPPORTED_MODEL` where `args` do not tell the heads, or tell groups of them. */
  reorder(shard: PlacedShard, dtype: Dtype, name: string, order: LegacyOrder): PlacedShard;
  /**
   * `query` and `key_value` of one rank file as the query_key_value that they are the parts of.
   * @throws UnsupportedError `CPT_UNSUPPORTED_MODEL` where `args` do not tell heads and groups that fit, or the order is an old one.
   */
  fuse(query: PlacedShard, keyValue: PlacedShard, dtype: Dtype, name: string, order: LegacyOrder): PlacedShard;
  /**
   * The rows of two packed shards of one rank file, one behind the other.
   * @throws UnsupportedError `CPT_UNSUPPORTED_MODEL` where they are not packed or of other columns.
   */
  stack(first: PlacedShard, second: PlacedShard, dtype: Dtype, name: string, order: LegacyOrder): PlacedShard;
  /** Reads from the file, and behind its end from the reordered shards. */
  readonly readInto: ReadInto;
}

interface Reordered {
  readonly byteOffset: number;
  read(position: number, target: Uint8Array): void;
}

export function reorderedReads(readFile: ReadInto): ReorderedReads {
  const files = new Map<string, { end: number; readonly reordered: Reordered[] }>();
  /** A packed shard of `rows` rows at an address of its own, whose bytes are those of `boxes` of `shape`. */
  const place = (like: PlacedShard, rows: number, tensor: DistTensorBoxes, fileBytes: number): PlacedShard => {
    const shardShape = [rows, ...like.shape.slice(1)];
    const file = files.get(like.file) ?? { end: fileBytes, reordered: [] };
    files.set(like.file, file);
    const byteOffset = file.end;
    file.end += tensorBytes(shardShape, tensor.dtype);
    file.reordered.push({ byteOffset, read: boxReader(tensor, readFile) });
    return { ...like, byteOffset, shape: shardShape, stride: contiguousStride(shardShape) };
  };
  return {
    reorder(shard, dtype, name, { version, args, fileBytes }) {
      const [rows = 0, ...tail] = shard.shape;
      const heads = headsPerRank(args);
      const headRows = heads === undefined ? 0 : rows / (3 * heads);
      if (heads === undefined || !Number.isSafeInteger(headRows) || !isContiguous(shard.shape, shard.stride)) {
        const told = heads === undefined ? 'no heads without groups' : `${heads} heads a rank`;
        const why = `"${name}" has ${rows} rows in the order of checkpoint_version ${version}, args tell ${told}`;
        throw refusal(shard.file, 'query_key_value in an old order', why);
      }
      const shape = [heads, 3, headRows, ...tail];
      const boxes = oldBoxes(version, shape, rowBytes(shard.shape, dtype), shard);
      return place(shard, rows, { name, dtype, shape, boxes }, fileBytes);
    },
    fuse(query, keyValue, dtype, name, { version, args, fileBytes }) {
      const attention = args && attentionByArgs(args);
      const ranks = numberArg(args, 'tensor_model_parallel_size') ?? 1;
      const [rows = 0, ...tail] = query.shape;
      const [keyValueRows = 0] = keyValue.shape;
      const groups = (attention?.queryGroups ?? 0) / ranks;
      const perGroup = (attention?.heads ?? 0) / ranks / groups;
      const headRows = keyValueRows / (2 * groups);
      const isPacked = [query, keyValue].every(({ shape, stride }) => isContiguous(shape, stride));
      const fits = [groups, perGroup, headRows].every((size) => Number.isSafeInteger(size) && size > 0);
      if (version < 2 || !isPacked || !fits || rows !== groups * perGroup * headRows) {
        const told = attention
          ? `${attention.heads} heads in ${attention.queryGroups} groups over TP ${ranks}`
          : 'no heads';
        const why = `"${name}" has ${rows} rows of query and ${keyValueRows} of key_value, checkpoint_version ${version}; args tell ${told}`;
        throw refusal(query.file, 'query and key_value that do not fit', why);
      }
      const boxes = Array.from({ length: groups }, (_, group): DistBox[] => {
        const bytes = headRows * rowBytes(query.shape, dtype);
        const box = (part: number, parts: number, { file, byteOffset }: PlacedShard): DistBox => ({
          offsets: [group, part, 0, ...tail.map(() => 0)],
          sizes: [1, parts, headRows, ...tail],
          file,
          byteOffset: byteOffset + group * parts * bytes,
        });
        return [box(0, perGroup, query), box(perGroup, 2, keyValue)];
      }).flat();
      const shape = [groups, perGroup + 2, headRows, ...tail];
      return place(query, rows + keyValueRows, { name, dtype, shape, boxes }, fileBytes);
    },
    stack(first, second, dtype, name, { fileBytes }) {
      const [rows = 0, ...tail] = first.shape;
      const [moreRows = 0, ...otherTail] = second.shape;
      const isPacked = [first, second].every(({ shape, stride }) => isContiguous(shape, stride));
      if (!isPacked || tail.join() !== otherTail.join()) {
        const why = `"${name}" is [${first.shape.join(', ')}] and [${second.shape.join(', ')}]${isPacked ? '' : ', not packed'}`;
        throw refusal(first.file, 'a matrix in two parts that do not fit', why);
      }
      const box = (row: number, count: number, { file, byteOffset }: PlacedShard): DistBox => ({
        offsets: [row, ...tail.map(() => 0)],
        sizes: [count, ...tail],
        ...{ file, byteOffset },
      });
      const shape = [rows + moreRows, ...tail];
      const boxes = [box(0, rows, first), box(rows, moreRows, second)];
      return place(first, rows + moreRows, { name, dtype, shape, boxes }, fileBytes);
    },
    readInto(path, position, target) {
      const found = files.get(path)?.reordered.findLast(({ byteOffset }) => byteOffset <= position);
      if (found) found.read(position - found.byteOffset, target);
      else readFile(path, position, target);
    },
  };
}

/** Undefined with groups of heads, which the old orders do not have. */
function headsPerRank(args: ArgsNamespace | undefined): number | undefined {
  const attention = args && attentionByArgs(args);
  if (!attention || attention.queryGroups !== attention.heads) return undefined;
  return attention.heads / (numberArg(args, 'tensor_model_parallel_size') ?? 1);
}

/** Runs of rows that are successive in both orders: all of a head's in version 0, single ones in version 1. */
function oldBoxes(version: number, shape: number[], bytesPerRow: number, { file, byteOffset }: PlacedShard): DistBox[] {
  const [heads = 0, , headRows = 0, ...tail] = shape;
  const boxes: DistBox[] = [];
  const add = (head: number, part: number, row: number, rows: number, oldRow: number) =>
    boxes.push({
      offsets: [head, part, row, ...tail.map(() => 0)],
      sizes: [1, 1, rows, ...tail],
      file,
      byteOffset: byteOffset + oldRow * bytesPerRow,
    });
  for (let head = 0; head < heads; head++) {
    for (let part = 0; part < 3; part++) {
      if (version < 1) add(head, part, 0, headRows, (part * heads + head) * headRows);
      else for (let row = 0; row < headRows; row++) add(head, part, row, 1, (head * headRows + row) * 3 + part);
    }
  }
  return boxes;
}
