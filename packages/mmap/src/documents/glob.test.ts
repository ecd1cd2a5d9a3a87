import { expect, test } from 'vitest';
import { isPattern, patternBase, patternExpression } from './glob.ts';

test.each([
  ['data/*.jsonl', ['data/a.jsonl', 'data/.jsonl'], ['data/b/a.jsonl', 'data/a.json', 'x/data/a.jsonl']],
  ['data/**/*.gz', ['data/a.gz', 'data/b/c/a.gz'], ['a.gz', 'data/a.gz/b']],
  ['data/**', ['data/a', 'data/b/c'], ['data']],
  ['part-?.txt', ['part-1.txt'], ['part-10.txt', 'part-/.txt']],
  ['part-[0-3].txt', ['part-0.txt', 'part-3.txt'], ['part-4.txt']],
  ['part-[!0].txt', ['part-1.txt'], ['part-0.txt', 'part-/.txt']],
  ['{en,zh}-*.jsonl', ['en-1.jsonl', 'zh-.jsonl'], ['de-1.jsonl', 'en.jsonl']],
  ['a+(b).txt', ['a+(b).txt'], ['aa(b).txt']],
])('%s', (pattern, matches, others) => {
  const expression = patternExpression(pattern);
  expect(matches.filter((path) => !expression.test(path))).toEqual([]);
  expect(others.filter((path) => expression.test(path))).toEqual([]);
});

test('the folder to search, and whether to search at all', () => {
  expect(patternBase('/data/x/**/a-*.txt')).toBe('/data/x');
  expect(patternBase('*.txt')).toBe('.');
  expect(patternBase('/*.txt')).toBe('/');
  expect(['a.txt', 'a+b(c).txt'].filter(isPattern)).toEqual([]);
  expect(['*.txt', 'a?.txt', '[ab].txt', '{a,b}.txt'].filter(isPattern)).toHaveLength(4);
});
