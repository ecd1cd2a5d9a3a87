import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createRandomState } from '../mersenne-twister.ts';
import { chooseDocuments, countUp } from './choose-documents.ts';

const choose = (lengths: number[], budget: number, seed = 1234) =>
  chooseDocuments(Float64Array.from(lengths), budget, createRandomState(seed));

test('what is chosen misses the budget by at most half of the document at its end, every document as often or once more', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 50 }), { minLength: 1, maxLength: 30 }),
      fc.integer({ min: 1, max: 3000 }),
      fc.integer({ min: 0, max: 2 ** 32 - 1 }),
      (lengths, budget, seed) => {
        fc.pre(lengths.some((length) => length > 0));
        const { documents, tokens, wholeEpochs } = choose(lengths, budget, seed);
        expect(tokens).toBe(documents.reduce((sum, document) => sum + (lengths[document] as number), 0));
        expect(Math.abs(tokens - budget)).toBeLessThanOrEqual(Math.max(...lengths) / 2);
        const times = countUp(lengths.length).map((document) => documents.filter((other) => other === document).length);
        for (const time of times) expect([wholeEpochs, wholeEpochs + 1]).toContain(time);
      },
    ),
    { numRuns: 200 },
  );
});

// By hand: of [10, 10] a budget of 14 is nearer to 10, one of 15 as near to 20 (and taken), one of 16 nearer to 20.
test.each([
  [4, 0],
  [5, 10],
  [14, 10],
  [15, 20],
  [20, 20],
  [24, 20],
  [44, 40],
  [45, 50],
])('of two documents of 10 a budget of %i gives %i tokens', (budget, tokens) => {
  expect(choose([10, 10], budget).tokens).toBe(tokens);
});

test('a source without tokens gives nothing', () => {
  expect(choose([0, 0], 5)).toMatchObject({ tokens: 0, wholeEpochs: 0 });
});
