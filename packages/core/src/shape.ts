import { bytesPerElement, type Dtype } from './dtype.ts';
import { FormatError } from './errors.ts';

/** Sizes per dimension, outermost first; `[]` is a scalar. */
export type Shape = readonly number[];

/**
 * Elements of a tensor of this shape.
 * @throws FormatError `CPT_FORMAT_SHAPE_MISMATCH` for a negative or fractional size, or a product past 2^53.
 */
export function elementCount(shape: Shape): number {
  let count = 1;
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0) throw badShape(shape, `size ${size} is not a whole number`);
    count *= size;
    if (!Number.isSafeInteger(count)) throw badShape(shape, 'it has more than 2^53 elements');
  }
  return count;
}

/** Bytes of a packed tensor. */
export function tensorBytes(shape: Shape, dtype: Dtype): number {
  return elementCount(shape) * bytesPerElement(dtype);
}

/** Strides, in elements, of a packed row-major tensor. */
export function contiguousStride(shape: Shape): number[] {
  const stride = new Array<number>(shape.length);
  for (let axis = shape.length - 1, step = 1; axis >= 0; axis--) {
    stride[axis] = step;
    step *= shape[axis] as number;
  }
  return stride;
}

/** True when elements lie packed in row-major order. Axes of size 1, and tensors without elements, may carry any stride. */
export function isContiguous(shape: Shape, stride: readonly number[]): boolean {
  if (elementCount(shape) === 0) return true;
  const packed = contiguousStride(shape);
  return shape.every((size, axis) => size === 1 || stride[axis] === packed[axis]);
}

/** Bytes of one step along the outermost axis. */
export function rowBytes(shape: Shape, dtype: Dtype): number {
  return elementCount(shape.slice(1)) * bytesPerElement(dtype);
}

function badShape(shape: Shape, why: string): FormatError {
  return new FormatError('CPT_FORMAT_SHAPE_MISMATCH', `shape [${shape.join(', ')}] is impossible: ${why}`);
}
