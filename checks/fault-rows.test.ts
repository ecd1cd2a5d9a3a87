import { expect, it } from 'vitest';
import { filesBelow, PACKAGES, read } from './source-files.ts';

/** Quoted titles of all tests. */
const titles = PACKAGES.flatMap((name) => filesBelow(`packages/${name}/src`))
  .filter((path) => path.endsWith('.test.ts'))
  .flatMap((path) => read(path).match(/['"`][^'"`\n]*['"`]/g) ?? []);

/** The numbers that titles give behind a word: "row 7", "rows 1, 2: …". */
function numbersBehind(word: RegExp): Set<number> {
  const lists = titles.flatMap((title) => word.exec(title)?.[1] ?? []);
  return new Set(lists.flatMap((list) => list.split(', ').map(Number)));
}

it('every bad input and fault of a conversion has a test that names its row', () => {
  const named = numbersBehind(/^.rows? (\d+(?:, \d+)*)\b/);
  const missing = Array.from({ length: 39 }, (_, at) => at + 1).filter((row) => !named.has(row));
  expect(missing).toEqual([]);
});

it('every way to convert wrongly without a word has a test that names it', () => {
  const named = numbersBehind(/^.silent error (\d+)/);
  expect([...named].sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
});
