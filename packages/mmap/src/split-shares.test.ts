import { expect, test } from 'vitest';
import { readFixture, refusal } from '../test/fixtures.ts';
import { roundHalfToEven, splitBorders } from './split-shares.ts';

interface BorderCase {
  split: string;
  sequences: number;
  borders: ([number, number] | null)[];
}
const { borders } = readFixture('mmap/samples_more.json') as { borders: BorderCase[] };

test.each(borders)('--split $split of $sequences sequences', ({ split, sequences, borders }) => {
  const { train, valid, test } = splitBorders(split, sequences);
  expect([train, valid, test].map((range) => range && [range.from, range.to])).toEqual(
    borders.map((range) => range ?? undefined),
  );
});

// python3 -c "print([round(v) for v in (0.5, 1.5, 2.5, 2.4, 2.6, 3.5)])"
test('a half goes to the even neighbour', () => {
  expect([0.5, 1.5, 2.5, 2.4, 2.6, 3.5].map(roundHalfToEven)).toEqual([0, 2, 2, 2, 3, 4]);
});

test.each(['', '0,0,0', '1,2,3,4', '1..2', 'all'])('split "%s" is refused', async (shares) => {
  const error = await refusal(Promise.resolve().then(() => splitBorders(shares, 10)));
  expect(error.code).toBe('CPT_INPUT_INVALID');
  expect(error.message).toContain(`split "${shares}"`);
});
