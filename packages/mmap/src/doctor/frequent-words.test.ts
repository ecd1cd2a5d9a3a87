import { expect, test } from 'vitest';
import { readFixture } from '../../test/fixtures.ts';
import { type Family, FREQUENT_IDS, FREQUENT_TEXTS, findLikelyFamily, isSameFamily } from './frequent-words.ts';

const measured = readFixture('mmap/frequent-words.json') as Record<Family, number[]> & { texts: string[] };
const families = Object.keys(FREQUENT_IDS) as Family[];

test.each(families)('the ids of %s are those its own tokenizer gives', (family) => {
  expect(FREQUENT_TEXTS).toEqual(measured.texts);
  expect(FREQUENT_IDS[family]).toEqual(measured[family]);
});

/** Counts in which each listed id occurs `times` times and id 5 fills up to `tokens`. */
function countsOf(ids: readonly number[], times: number, tokens: number): Float64Array {
  const counts = new Float64Array(1 << 18);
  for (const id of ids) if (id >= 0) counts[id] = times;
  counts[5] = tokens - counts.reduce((sum, count) => sum + count, 0);
  return counts;
}

test.each(families)('%s is recognised by its frequent words, and not as another', (family) => {
  const counts = countsOf(FREQUENT_IDS[family], 10, 10_000);
  expect(findLikelyFamily(counts, 10_000, undefined)?.family).toBe(family);
  expect(findLikelyFamily(counts, 10_000, FREQUENT_IDS[family])).toBeUndefined();
  const other = family === 'Qwen' ? 'Llama-3' : 'Qwen';
  expect(findLikelyFamily(counts, 10_000, FREQUENT_IDS[other])?.family).toBe(family);
});

test('shares are of all ids, those that both number alike left out', () => {
  const [qwen, llama] = [FREQUENT_IDS.Qwen, FREQUENT_IDS['Llama-3']];
  const shared = qwen.filter((id) => llama.includes(id)).length;
  const found = findLikelyFamily(countsOf(qwen, 10, 10_000), 10_000, llama);
  expect(found?.share).toBeCloseTo((10 * (100 - shared)) / 10_000, 10);
  expect(found?.targetShare).toBe(0);
});

test('too little or too even says nothing', () => {
  const qwen = FREQUENT_IDS.Qwen;
  expect(findLikelyFamily(countsOf(qwen, 10, 1999), 1999, FREQUENT_IDS['Llama-3'])).toBeUndefined();
  // 100 × 1 of 10,000 is 1 %: below 1.5 %.
  expect(findLikelyFamily(countsOf(qwen, 1, 10_000), 10_000, FREQUENT_IDS['Llama-3'])).toBeUndefined();
  // As many words of the one as of the other.
  const both = countsOf([...qwen, ...FREQUENT_IDS['Llama-3']], 10, 10_000);
  expect(findLikelyFamily(both, 10_000, FREQUENT_IDS['Llama-3'])).toBeUndefined();
});

test('a later release of a tokenizer is the same family', () => {
  const later = FREQUENT_IDS.Qwen.map((id, i) => (i < 5 ? id + 1 : id));
  expect(isSameFamily(FREQUENT_IDS.Qwen, later)).toBe(true);
  expect(isSameFamily(FREQUENT_IDS.Qwen, FREQUENT_IDS['Llama-3'])).toBe(false);
});
