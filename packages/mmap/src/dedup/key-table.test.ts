import fc from 'fast-check';
import { expect, test } from 'vitest';
import { KeyTable } from './key-table.ts';

const WORD = fc.oneof(fc.constantFrom(0, 1, 2 ** 31, 2 ** 32 - 1), fc.nat({ max: 2 ** 32 - 1 }));

test('gives the number of the first equal key, whatever the keys', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(WORD, WORD), { maxLength: 200 }), (keys) => {
      const table = new KeyTable();
      const firsts = new Map<string, number>();
      for (const [i, [high, low]] of keys.entries()) {
        const known = firsts.get(`${high} ${low}`);
        expect(table.find(high, low)).toBe(known ?? -1);
        if (known === undefined) firsts.set(`${high} ${low}`, i);
        expect(table.add(high, low)).toBe(known ?? i);
      }
    }),
  );
});

test('holds at most 16 bytes a key while it grows', () => {
  const table = new KeyTable();
  const keyOf = (i: number) => [Math.imul(i, 0x9e3779b1) >>> 0, i] as const;
  let worst = 0;
  for (let i = 0; i < 1 << 18; i++) {
    if (table.add(...keyOf(i)) !== i) throw new Error(`key ${i} is taken for another`);
    // A whole number of chunks, so that the one being filled does not count.
    if (table.count % (1 << 16) === 0) worst = Math.max(worst, table.byteLength / table.count);
  }
  for (let i = 0; i < table.count; i++) if (table.find(...keyOf(i)) !== i) throw new Error(`key ${i} is lost`);
  expect(table.find(1, 1)).toBe(-1);
  expect(worst).toBeGreaterThan(12);
  expect(worst).toBeLessThanOrEqual(16);
});

test('signed words are the same keys as unsigned ones', () => {
  const table = new KeyTable();
  table.add(-1, -2);
  expect(table.find(2 ** 32 - 1, 2 ** 32 - 2)).toBe(0);
  expect(table.find(-1, -2)).toBe(0);
});
