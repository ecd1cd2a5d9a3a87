import { expect, test } from 'vitest';
import { corpusText, qualityFixture } from '../../test/quality-fixture.ts';
import { measureText } from './text-statistics.ts';

const cases = qualityFixture.statistics.map((entry) =>
  'text' in entry
    ? { name: entry.name, text: entry.text, expected: entry.expected }
    : { name: `${entry.file}.jsonl:${entry.line}`, text: corpusText(entry), expected: entry.expected },
);

test.each(cases)('$name: as counted in Python', ({ text, expected }) => {
  const { repetition, alphabet: _, ...statistics } = measureText(text);
  const { repetition: expectedRepetition, ...expectedStatistics } = expected;
  expect(statistics).toEqual(expectedStatistics);
  expect(repetition.paragraphs).toBeCloseTo(expectedRepetition.paragraphs, 12);
  expect(repetition.paragraphCharacters).toBeCloseTo(expectedRepetition.paragraphCharacters, 12);
  for (const name of ['top', 'repeated'] as const) {
    expect([...repetition[name].keys()].map(String)).toEqual(Object.keys(expectedRepetition[name]));
    for (const [n, share] of repetition[name]) expect(share).toBeCloseTo(expectedRepetition[name][n] as number, 12);
  }
});

test.each([
  ['', 'latin'],
  ['1, 2', 'latin'],
  ['für étude ﬁ', 'latin'],
  ['데이터를 GPT', 'hangul'],
  ['데 GPT', 'latin'],
  ['данные', 'other'],
  ['데이터 данные GPT', 'other'],
])('most letters of %j are %s', (text, alphabet) => {
  expect(measureText(text).alphabet).toBe(alphabet);
});

test('half a surrogate pair counts as a replacement character, a whole one does not', () => {
  expect(measureText('a\ud83d b\ude00 😀').replacementCharacters).toBe(2);
});
