// A tensor of a distributed checkpoint lies in boxes over any number of files:
//
//   global [layers, rows, columns]      box at [layer, row, column] = a packed tensor of its own, in some file at some offset
//
// It is read as one packed tensor, so that nothing behind the seam knows of boxes: a range of its bytes is cut by the boxes.

import { bytesPerElement, type Dtype, elementCount, FormatError } from '@pai-cpt/core';
import type { ReadInto } from './checkpoint.ts';

/** One packed part of a tensor. */
export interface DistBox {
  readonly offsets: readonly number[];
  readonly sizes: readonly number[];
  readonly file: string;
  /** Of its first element, in the file. */
  readonly byteOffset: number;
}

/** A tensor with the boxes that tile it. */
export interface DistTensorBoxes {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly boxes: readonly DistBox[];
}

/** The boxes as matrices: their last axis, and all axes before it as rows that lie at `rowOf` in the tensor. */
interface RowBox {
  readonly box: DistBox;
  readonly column: number;
  readonly columns: number;
  /** First rows in the tensor of stretches of `rowsPerRun` successive rows, ascending; the box holds them in this order. */
  readonly runs: readonly number[];
  readonly rowsPerRun: number;
}

/** Bytes read at once of a box whose rows are not whole rows of the tensor. */
const SCRATCH_BYTES = 1024 * 1024;

/**
 * Proves that the boxes tile the tensor: every element lies in exactly one.
 * @throws FormatError `CPT_FORMAT_DIST_CHUNKS` naming the tensor and the first two boxes that overlap, or the elements missing.
 */
export function requireTiling({ name, shape, boxes }: DistTensorBoxes, directory: string): void {
  const fail = (why: string): FormatError =>
    new FormatError('CPT_FORMAT_DIST_CHUNKS', `${directory}: "${name}" [${shape.join(', ')}]: ${why}`, {
      file: directory,
      tensor: name,
    });
  const filled = boxes.filter(({ sizes }) => elementCount(sizes) > 0);
  // Sorted by the first axis, a box can only overlap those that begin before it ends.
  const sorted = [...filled].sort((a, b) => (a.offsets[0] ?? 0) - (b.offsets[0] ?? 0));
  for (const [at, box] of sorted.entries()) {
    const end = (box.offsets[0] ?? 0) + (box.sizes[0] ?? 1);
    for (let next = at + 1; next < sorted.length; next++) {
      const other = sorted[next] as DistBox;
      if ((other.offsets[0] ?? 0) >= end) break;
      if (overlaps(box, other)) throw fail(`the chunks at [${box.offsets}] and [${other.offsets}] overlap`);
    }
  }
  const held = filled.reduce((sum, { sizes }) => sum + elementCount(sizes), 0);
  const wanted = elementCount(shape);
  if (held !== wanted) throw fail(`its ${boxes.length} chunks hold ${held} of ${wanted} elements; a file is missing`);
}

function overlaps(a: DistBox, b: DistBox): boolean {
  return a.offsets.every((offset, axis) => {
    const other = b.offsets[axis] as number;
    return offset < other + (b.sizes[axis] as number) && other < offset + (a.sizes[axis] as number);
  });
}

/** Reads any range of bytes of the tensor as if it were packed in one file. */
export function boxReader(tensor: DistTensorBoxes, readInto: ReadInto): (position: number, target: Uint8Array) => void {
  const elementBytes = bytesPerElement(tensor.dtype);
  const rowElements = tensor.shape.at(-1) ?? 1;
  const rowBytes = rowElements * elementBytes;
  const rowBoxes = tensor.boxes.filter(({ sizes }) => elementCount(sizes) > 0).map((box) => asRows(box, tensor.shape));
  return (position, target) => {
    const end = position + target.byteLength;
    for (const rowBox of rowBoxes) {
      const left = rowBox.column * elementBytes;
      const width = rowBox.columns * elementBytes;
      for (const [run, first] of rowBox.runs.entries()) {
        const from = Math.max(first, Math.floor(position / rowBytes));
        const to = Math.min(first + rowBox.rowsPerRun, Math.ceil(end / rowBytes));
        if (from >= to) continue;
        const base = rowBox.box.byteOffset + (run * rowBox.rowsPerRun - first) * width;
        if (width === rowBytes) {
          const begin = Math.max(position, from * rowBytes);
          const stop = Math.min(end, to * rowBytes);
          readInto(rowBox.box.file, base + begin, target.subarray(begin - position, stop - position));
        } else {
          scatterRows({ from, to, left, width, rowBytes, base, file: rowBox.box.file }, position, target, readInto);
        }
      }
    }
  };
}

interface RowSpan {
  readonly from: number;
  readonly to: number;
  readonly left: number;
  readonly width: number;
  readonly rowBytes: number;
  /** Where row 0 would lie in the file. */
  readonly base: number;
  readonly file: string;
}

/** Rows of a box that is narrower than the tensor: read together, then put where they belong, cut at both ends of the target. */
function scatterRows(span: RowSpan, position: number, target: Uint8Array, readInto: ReadInto): void {
  const { from, to, left, width, rowBytes, base, file } = span;
  const step = Math.max(1, Math.floor(SCRATCH_BYTES / width));
  const scratch = new Uint8Array(Math.min(step, to - from) * width);
  for (let row = from; row < to; row += step) {
    const count = Math.min(step, to - row);
    const block = scratch.subarray(0, count * width);
    readInto(file, base + row * width, block);
    for (let at = 0; at < count; at++) {
      const place = (row + at) * rowBytes + left - position;
      const skip = Math.max(0, -place);
      const keep = Math.min(width, target.byteLength - place);
      if (keep > skip) target.set(block.subarray(at * width + skip, at * width + keep), place + skip);
    }
  }
}

function asRows(box: DistBox, shape: readonly number[]): RowBox {
  const last = shape.length - 1;
  const [column, columns] = last < 0 ? [0, 1] : [box.offsets[last] as number, box.sizes[last] as number];
  if (last < 1) return { box, column, columns, runs: [0], rowsPerRun: 1 };
  let runs = [0];
  for (let axis = 0; axis < last - 1; axis++) {
    const [offset, size] = [box.offsets[axis] as number, box.sizes[axis] as number];
    runs = runs.flatMap((run) => Array.from({ length: size }, (_, at) => run * (shape[axis] as number) + offset + at));
  }
  const rows = shape[last - 1] as number;
  return {
    box,
    column,
    columns,
    runs: runs.map((run) => run * rows + (box.offsets[last - 1] as number)),
    rowsPerRun: box.sizes[last - 1] as number,
  };
}
