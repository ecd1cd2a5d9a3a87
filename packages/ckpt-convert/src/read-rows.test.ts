import { describe, expect, it } from 'vitest';
import type { PlacedShard } from './checkpoint.ts';
import { readRows } from './read-rows.ts';

const file = Uint8Array.from({ length: 64 }, (_, at) => at);
const readInto = (_: string, position: number, target: Uint8Array) => {
  const bytes = file.subarray(position, position + target.byteLength);
  if (bytes.byteLength < target.byteLength) throw new RangeError('past the end');
  target.set(bytes);
};
const shard = (shape: number[], stride: number[]): PlacedShard => ({
  tensorRank: 0,
  file: 'f',
  byteOffset: 4,
  shape,
  stride,
});

describe('readRows', () => {
  it.each([
    ['packed', [4, 3], [3, 1], [7, 8, 9, 10, 11, 12]],
    ['a slice of columns', [4, 2], [5, 1], [9, 10, 14, 15]],
    ['transposed', [4, 3], [1, 4], [5, 9, 13, 6, 10, 14]],
    ['expanded', [4, 1], [0, 1], [4, 4]],
    ['a vector', [4], [1], [5, 6]],
    ['every second element', [4], [2], [6, 8]],
  ])('silent error 7: second and third row of a shard that is %s', (_, shape, stride, expected) => {
    expect([...readRows(shard(shape, stride), 'U8', 1, 3, readInto)]).toEqual(expected);
  });

  it('keeps the bytes of an element together', () => {
    expect([...readRows(shard([2, 2], [1, 2]), 'BF16', 0, 2, readInto)]).toEqual([4, 5, 8, 9, 6, 7, 10, 11]);
  });

  it('gives an aligned buffer of its own, and nothing for no rows', () => {
    const bytes = readRows(shard([4, 3], [3, 1]), 'U8', 0, 4, readInto);
    expect([bytes.byteOffset, bytes.buffer.byteLength]).toEqual([0, 12]);
    expect(readRows(shard([0, 3], [3, 1]), 'U8', 0, 0, readInto)).toHaveLength(0);
  });

  it('refuses rows that are not there', () => {
    expect(() => readRows(shard([4, 3], [3, 1]), 'U8', 2, 5, readInto)).toThrow('rows 2 to 5 of 4');
  });
});
