import fc from 'fast-check';
import { expect, test } from 'vitest';
import { TOKENIZER } from '../../test/fixtures.ts';
import { loadTokenizer } from '../tokenizer/load-tokenizer.ts';
import { countReproduced, countWords, decodeSpecimen, runRoundTrip } from './round-trip.ts';

const reproduced = (ids: number[], again: number[]) => countReproduced(Int32Array.from(ids), Int32Array.from(again));

test.each([
  { ids: [1, 2, 3], again: [1, 2, 3], same: 3 },
  { ids: [1, 2, 3, 4, 5], again: [1, 9, 3, 4, 5], same: 4 }, // one replaced
  { ids: [1, 2, 3, 4, 5], again: [1, 8, 9, 3, 4, 5], same: 4 }, // one became two
  { ids: [1, 2, 3, 4, 5], again: [1, 3, 4, 5], same: 4 }, // one vanished
  { ids: [1, 2], again: [9, 2], same: 1 }, // the end counts as agreement
  { ids: [1, 2, 3], again: [], same: 0 },
  { ids: [], again: [1], same: 0 },
  { ids: [1, 2, 3, 4], again: [5, 6, 7, 8], same: 0 },
])('$ids against $again: $same come back', ({ ids, again, same }) => {
  expect(reproduced(ids, again)).toBe(same);
});

test('never more than the longest common subsequence, and all of equal lists', () => {
  const list = fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 30 });
  fc.assert(
    fc.property(list, list, (a, b) => {
      expect(reproduced(a, b)).toBeLessThanOrEqual(longestCommon(a, b));
      expect(reproduced(a, a)).toBe(a.length);
    }),
  );
});

function longestCommon(a: number[], b: number[]): number {
  let row = new Array<number>(b.length + 1).fill(0);
  for (const x of a) {
    const next = [0];
    b.forEach((y, j) => {
      next.push(x === y ? (row[j] as number) + 1 : Math.max(row[j + 1] as number, next[j] as number));
    });
    row = next;
  }
  return row[b.length] as number;
}

test('words are Latin runs and Han characters', () => {
  expect(countWords('They have not 时 12 été от')).toEqual({ words: 5, frequent: 4 }); // They, have, not, 时
});

test('specimens come back, cut where it may be', async () => {
  const tokenizer = await loadTokenizer(TOKENIZER);
  const ids = await tokenizer.encode('Call me 尼采. He said: “是的”.');
  const whole = { document: 0, ids, startsSequence: true, endsSequence: true };
  const ended = { ...whole, ids: Int32Array.of(...ids, tokenizer.eodToken as number) };
  const trip = await runRoundTrip([whole, ended], tokenizer);
  expect(trip).toMatchObject({ tokens: 2 * ids.length, reproduced: 2 * ids.length, replacements: 0 });
  expect(trip.words).toBe(2 * 8); // Call me 尼 采 He said 是 的
  expect(trip.frequentWords).toBe(2 * 2); // 是 的
  expect(trip.joins).toBe(0);
  const joined = { ...whole, ids: await tokenizer.encode('a学b 学 c,学 é') };
  expect((await runRoundTrip([joined], tokenizer)).joins).toBe(2);

  // 采 is three byte tokens here: cutting inside it must not leave a broken character at the end.
  const bytes = await tokenizer.encode('采');
  expect(bytes.length).toBeGreaterThan(1);
  const cut = { document: 0, ids: bytes.subarray(0, -1), startsSequence: true, endsSequence: false };
  expect(await decodeSpecimen(cut, tokenizer)).toBe('');
  expect(await decodeSpecimen({ ...cut, endsSequence: true }, tokenizer)).toContain('\ufffd');
  const late = { document: 0, ids: bytes.subarray(1), startsSequence: false, endsSequence: true };
  expect(await decodeSpecimen(late, tokenizer)).toBe('');
  const foreign = { ...whole, ids: Int32Array.of(-5, ...ids, 1 << 20) };
  expect(await decodeSpecimen(foreign, tokenizer)).toBe(await decodeSpecimen(whole, tokenizer));
});
