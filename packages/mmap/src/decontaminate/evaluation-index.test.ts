import { expect, test } from 'vitest';
import { corpusText, qualityFixture } from '../../test/quality-fixture.ts';
import { createEvaluationIndex } from './evaluation-index.ts';
import { findContamination } from './find-contamination.ts';

function indexOf(evaluations: string[][]) {
  const index = createEvaluationIndex();
  for (const [number, texts] of evaluations.entries()) for (const text of texts) index.add(text, number);
  return index;
}

test('finds what was found in Python: evaluation document, first n-gram, matches', async () => {
  const index = indexOf(qualityFixture.evaluations);
  const texts = qualityFixture.contamination.map(corpusText);
  const found = texts.map((): unknown[] => []);
  for await (const { document, hits } of findContamination(texts, index)) {
    expect(hits).not.toEqual([]);
    found[document] = hits.map(({ evaluation, ngram, matches }) => [evaluation, ngram, matches]);
  }
  expect(found).toEqual(qualityFixture.contamination.map(({ expected }) => expected));
});

const WORDS = 'one two three four five six seven eight nine ten eleven twelve thirteen';
const CHINESE = '关关雎鸠在河之洲窈窕淑女君子好逑参差荇菜左右流之窈窕淑女寤寐';

test('13 words match in whatever dress, 12 do not', () => {
  const index = indexOf([[`${WORDS} fourteen`]]);
  expect(index.ngrams).toBe(2);
  expect(index.find(`So: ${WORDS.toUpperCase().replaceAll(' ', ', ')}!`)).toEqual([
    { evaluation: 0, ngram: WORDS, matches: 1 },
  ]);
  expect(index.find(WORDS.slice(4))).toEqual([]);
  expect(index.find(WORDS.replace('seven', 'sevens'))).toEqual([]);
});

test('30 Chinese characters match whatever lies between them, also in an English document; 29 do not', () => {
  expect(CHINESE).toHaveLength(30);
  const index = indexOf([[CHINESE]]);
  const english = 'An English text about the Book of Songs quotes its first lines: ';
  expect(index.find(`${english}${CHINESE.slice(0, 16)}。\n${CHINESE.slice(16)}`)).toEqual([
    { evaluation: 0, ngram: CHINESE, matches: 1 },
  ]);
  expect(index.find(english + CHINESE.slice(1))).toEqual([]);
});

test('an English question is found in a Chinese document', () => {
  const index = indexOf([[WORDS]]);
  expect(index.find(`${CHINESE}${CHINESE}。${WORDS}。${CHINESE}`)).toHaveLength(1);
});

test('13 Chinese characters in an English question are no match', () => {
  const english =
    'which poem of the old book is this one from and what does it say about the lady by the river of the north';
  const index = indexOf([[`${english} ${CHINESE.slice(0, 20)} ${english}`]]);
  expect(index.find(`他说${CHINESE.slice(0, 20)}。`)).toEqual([]);
  expect(index.find(`${english}?`)).toHaveLength(1);
  expect(indexOf([[`${CHINESE.slice(0, 20)} ${english}`]]).find(english)).toHaveLength(1);
});

test('says which texts are too short to match', () => {
  const index = createEvaluationIndex();
  expect(index.add(WORDS, 0)).toBe(true);
  expect(index.add(WORDS.slice(4), 0)).toBe(false);
  expect(index.add(CHINESE, 0)).toBe(true);
  expect(index.add(CHINESE.slice(1), 0)).toBe(false);
  expect(index.add('', 0)).toBe(false);
  expect(index.ngrams).toBe(2);
});

test('n-grams of several evaluation documents are told apart', () => {
  const other = WORDS.split(' ').reverse().join(' ');
  const index = indexOf([[WORDS], [other], [WORDS]]);
  expect(index.find(`${other}. ${WORDS}`).map(({ evaluation }) => evaluation)).toEqual([1, 0]);
});

test('works past its first size, and an abort ends the search', async () => {
  const long = Array.from({ length: 6000 }, (_, i) => `w${i}`).join(' ');
  const index = indexOf([['x'], [long]]);
  expect(index.ngrams).toBe(5988);
  expect(index.find(long)).toMatchObject([{ evaluation: 1, matches: 5988 }]);
  const reason = new Error('enough');
  await expect(findContamination([long], index, { signal: AbortSignal.abort(reason) }).next()).rejects.toBe(reason);
});
