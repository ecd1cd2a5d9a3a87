import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createRepeatCounter } from './repeated-documents.ts';

test('documents are compared by all their ids, in whatever pieces they come', () => {
  const document = fc.array(fc.integer({ min: -2, max: 3 }), { maxLength: 4 });
  fc.assert(
    fc.property(fc.array(document, { maxLength: 30 }), fc.integer({ min: 1, max: 3 }), (documents, piece) => {
      const counter = createRepeatCounter();
      for (const ids of documents) {
        for (let i = 0; i < ids.length; i += piece) counter.add(Int32Array.from(ids.slice(i, i + piece)));
        counter.end(true);
      }
      const distinct = new Set(documents.map((ids) => ids.join()));
      expect(counter.result()).toEqual({
        compared: documents.length,
        repeats: documents.length - distinct.size,
        share: 1,
      });
    }),
  );
});

test('a document that was not read whole is not compared', () => {
  const counter = createRepeatCounter();
  for (const isWhole of [true, false, true]) {
    counter.add(Int32Array.of(1, 2));
    counter.end(isWhole);
  }
  expect(counter.result()).toEqual({ compared: 2, repeats: 1, share: 1 });
});

test('past its limit it keeps a part that shows the same share of repeats', () => {
  const counter = createRepeatCounter(1000);
  // Every fourth document repeats the one before it.
  for (let i = 0; i < 40_000; i++) {
    const id = i % 4 === 3 ? i - 1 : i;
    counter.add(Int32Array.of(id, id >> 3, 7));
    counter.end(true);
  }
  const { compared, repeats, share } = counter.result();
  expect(share).toBeLessThanOrEqual(1 / 32);
  expect(compared - repeats).toBeLessThanOrEqual(1000);
  expect(compared / (40_000 * share)).toBeCloseTo(1, 0);
  // 0.25 ± 3 standard deviations of a sample of a thousand.
  expect(Math.abs(repeats / compared - 0.25)).toBeLessThan(0.04);
});
