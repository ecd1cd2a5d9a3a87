import { expect, test } from 'vitest';
import { readFixture } from '../test/fixtures.ts';
import { createHeldOutChoice } from './held-out.ts';

const { heldOut } = readFixture('mmap/build.json') as { heldOut: Record<string, number[]> };

const chosen = (share: number, count: number, seed?: number) => {
  const isHeldOut = createHeldOutChoice(share, seed);
  return Array.from({ length: count }, (_, i) => i).filter(isHeldOut);
};

test.each(Object.entries(heldOut))('share %s: the documents that Python draws', (share, documents) => {
  expect(chosen(Number(share), 100)).toEqual(documents);
});

test('one of each run of twenty, not always the same one', () => {
  const documents = chosen(0.05, 2000);
  expect(documents.map((document) => Math.floor(document / 20))).toEqual(Array.from({ length: 100 }, (_, i) => i));
  expect(new Set(documents.map((document) => document % 20)).size).toBeGreaterThan(10);
});

test('another seed draws other documents', () => {
  expect(chosen(0.05, 200, 1)).not.toEqual(chosen(0.05, 200, 2));
});

test.each([0, -0.1, 0.51, 1, Number.NaN])('share %d is refused', (share) => {
  expect(() => createHeldOutChoice(share)).toThrow(`held-out share ${share}`);
});
