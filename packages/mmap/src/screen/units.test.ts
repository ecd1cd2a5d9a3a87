import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createUnitReader, hashNgrams, simplify, spellUnits } from './units.ts';
import type { Writing } from './writing.ts';

function unitsOf(text: string, writing: Writing): string[] {
  const units = createUnitReader()(simplify(text), writing);
  return Array.from({ length: units.count }, (_, i) => spellUnits(units, i, i + 1, writing));
}

test('words, or characters, without what lies between them', () => {
  expect(unitsOf("Don't stop: Straße 12,5 — 孔子 saysｘ𠀀!", 'spaced')).toEqual([
    'don',
    't',
    'stop',
    'straße',
    '12',
    '5',
    '孔',
    '子',
    'saysx',
    '𠀀',
  ]);
  expect(unitsOf('子曰：“学”，ab 1。𠀀😀', 'unspaced')).toEqual(['子', '曰', '学', 'a', 'b', '1', '𠀀']);
  expect(unitsOf('हिन्दी e\u0301', 'spaced')).toEqual(['हिन्दी', 'é']);
  expect(unitsOf('… 😀', 'spaced')).toEqual([]);
  expect(unitsOf('\ud83d a\ude00b', 'spaced')).toEqual(['a', 'b']);
});

test('a reader can be used again, also for a longer text', () => {
  const read = createUnitReader();
  expect(read('a b', 'spaced').count).toBe(2);
  const many = read('w '.repeat(5000), 'spaced');
  expect(many.count).toBe(5000);
  expect(spellUnits(many, 4998, 5000, 'spaced')).toBe('w w');
  expect(read('', 'spaced').count).toBe(0);
});

test('equal n-grams have equal hashes wherever they stand, and others do not', () => {
  const words = fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 40 });
  fc.assert(
    fc.property(words, fc.integer({ min: 1, max: 6 }), (list, n) => {
      const units = createUnitReader()(list.join(' '), 'spaced');
      const hashes = new Int32Array(units.count);
      const count = hashNgrams(units, n, 0x2c1b3c6d, hashes);
      expect(count).toBe(Math.max(0, list.length - n + 1));
      const spelled = new Map<string, number>();
      for (let i = 0; i < count; i++) {
        const ngram = list.slice(i, i + n).join(' ');
        expect(spelled.get(ngram) ?? hashes[i]).toBe(hashes[i]);
        spelled.set(ngram, hashes[i] as number);
      }
      expect(new Set(spelled.values()).size).toBe(spelled.size);
    }),
  );
});
