import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readInput } from '../../test/streams.ts';
import { createXxh64 } from './xxh64.ts';

const sums = JSON.parse(readInput('xxh64.json').toString()) as Record<string, number>;
const data = Uint8Array.from({ length: 300 }, (_, i) => i * 7 + Math.floor(i / 256));

function lowBits(pieces: readonly Uint8Array[]): number {
  const checksum = createXxh64();
  for (const piece of pieces) checksum.update(piece);
  return checksum.lowBits();
}

test.each(Object.entries(sums))('%s bytes have the sum of the reference', (length, sum) => {
  expect(lowBits([data.subarray(0, Number(length))])).toBe(sum);
});

test('pieces of any size give the same sum', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 8 }), (cuts) => {
      const at = [0, ...cuts.sort((a, b) => a - b), 300];
      expect(lowBits(at.slice(1).map((end, i) => data.subarray(at[i], end)))).toBe(sums['300']);
    }),
  );
});
