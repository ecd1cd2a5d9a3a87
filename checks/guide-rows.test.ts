import { expect, it } from 'vitest';
import { filesBelow, PACKAGES, read } from './source-files.ts';

/** Rows of PAI's guide that the title of some test names: "G4: …", "G1, G7: …". */
const tested = new Set(
  PACKAGES.flatMap((name) => filesBelow(`packages/${name}`))
    .filter((path) => path.endsWith('.test.ts'))
    .flatMap((path) => [...read(path).matchAll(/['"`]((?:G\d+, )*G\d+): /g)])
    .flatMap(([, rows = '']) => rows.split(', ')),
);
const rows = [...read('docs/guide.md').matchAll(/^\| (G\d+) \|/gm)].map(([, row]) => row);

it('docs/guide.md has a line for each row of the guide', () => {
  expect(rows).toEqual(Array.from({ length: 14 }, (_, at) => `G${at + 1}`));
});

it('every row has a test that names it', () => {
  expect(rows.filter((row) => !tested.has(row ?? ''))).toEqual([]);
});
