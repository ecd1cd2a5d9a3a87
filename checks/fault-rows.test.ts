import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { filesBelow, PACKAGES, ROOT, read } from './source-files.ts';

/** Quoted titles of all tests. */
const titles = PACKAGES.flatMap((name) => ['src', 'test'].flatMap((folder) => testsBelow(`packages/${name}/${folder}`)))
  .filter((path) => path.endsWith('.test.ts'))
  .flatMap((path) => read(path).match(/['"`][^'"`\n]*['"`]/g) ?? []);

function testsBelow(folder: string): string[] {
  return existsSync(join(ROOT, folder)) ? filesBelow(folder) : [];
}

/** The numbers that titles give behind a word: "row 7", "rows 1, 2: …", "rows 55 and 59", "rows 44 to 47". */
function numbersBehind(word: RegExp): Set<number> {
  const lists = titles.flatMap((title) => word.exec(title)?.[1] ?? []);
  const spans = lists.flatMap((list) => list.split(/, | and /));
  return new Set(
    spans.flatMap((span) => {
      const [first = 0, last = first] = span.split(' to ').map(Number);
      return range(first, last);
    }),
  );
}

const range = (first: number, last: number): number[] =>
  Array.from({ length: last - first + 1 }, (_, at) => first + at);

/** Rows of the table of faults: conversions, submissions, arguments and logs, services. */
const WANTED = [...range(1, 39), ...range(44, 47), 51, 55, 56, 59, ...range(61, 64)];

it('every bad input and fault of a conversion, a job, a log and a service has a test that names its row', () => {
  const named = numbersBehind(/^.rows? (\d+(?:(?:, | and | to )\d+)*)\b/);
  expect(WANTED.filter((row) => !named.has(row))).toEqual([]);
});

it('every way to convert wrongly without a word has a test that names it', () => {
  const named = numbersBehind(/^.silent error (\d+)/);
  expect([...named].sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
});
