import { describe, expect, it } from 'vitest';
import { contiguousStride, elementCount, isContiguous, rowBytes, tensorBytes } from './shape.ts';

describe('shapes', () => {
  it('counts elements and bytes; a scalar has one element', () => {
    expect(elementCount([])).toBe(1);
    expect(elementCount([3, 0, 5])).toBe(0);
    expect(tensorBytes([3, 4], 'BF16')).toBe(24);
    expect(rowBytes([3, 4], 'F32')).toBe(16);
    expect(rowBytes([3], 'F32')).toBe(4);
  });

  it('refuses negative, fractional and overflowing shapes', () => {
    expect(() => elementCount([2, -1])).toThrow(/size -1/);
    expect(() => elementCount([1.5])).toThrow(/size 1.5/);
    expect(() => elementCount([2 ** 30, 2 ** 30])).toThrow(/2\^53/);
  });

  // numpy: np.zeros(shape).strides divided by the item size; flags.c_contiguous.
  it('agrees with numpy on strides and contiguity', () => {
    expect(contiguousStride([2, 3, 4])).toEqual([12, 4, 1]);
    expect(isContiguous([2, 3], [3, 1])).toBe(true);
    expect(isContiguous([3, 2], [1, 3])).toBe(false);
    expect(isContiguous([1, 3], [99, 1])).toBe(true);
    expect(isContiguous([2, 0], [7, 7])).toBe(true);
    expect(isContiguous([2, 3], [0, 1])).toBe(false);
  });
});
