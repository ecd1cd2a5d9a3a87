import { bytesPerElement, type Dtype, isContiguous } from '@pai-cpt/core';
import type { PlacedShard, ReadInto } from './checkpoint.ts';
import { matrixSize } from './mapping.ts';

/**
 * Rows `[from, to)` of a shard, packed, whatever its strides, in a buffer of its own. A vector's elements are its rows. Tensors
 * with more than two axes must be packed; no dense decoder has one.
 */
export function readRows(
  shard: PlacedShard,
  dtype: Dtype,
  from: number,
  to: number,
  readInto: ReadInto,
): Uint8Array<ArrayBuffer> {
  const elementBytes = bytesPerElement(dtype);
  const [rows, columns] = matrixSize(shard.shape);
  if (from < 0 || to > rows || from > to) throw new RangeError(`rows ${from} to ${to} of ${rows}`);
  const packed = new Uint8Array((to - from) * columns * elementBytes);
  if (packed.byteLength === 0) return packed;
  if (isContiguous(shard.shape, shard.stride)) {
    readInto(shard.file, shard.byteOffset + from * columns * elementBytes, packed);
    return packed;
  }
  const [rowStride = 1, columnStride = 1] = shard.stride;
  const reach = (to - from - 1) * rowStride + (columns - 1) * columnStride + 1;
  const view = new Uint8Array(reach * elementBytes);
  readInto(shard.file, shard.byteOffset + from * rowStride * elementBytes, view);
  let target = 0;
  for (let row = 0; row < to - from; row++) {
    for (let column = 0; column < columns; column++) {
      const at = (row * rowStride + column * columnStride) * elementBytes;
      for (let byte = 0; byte < elementBytes; byte++) packed[target++] = view[at + byte] as number;
    }
  }
  return packed;
}
