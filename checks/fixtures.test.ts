import { describe, expect, it } from 'vitest';
import { fixtureFiles, measure, tableRows } from './fixtures-table.mjs';

describe('fixtures/README.md', () => {
  const rows = tableRows();

  it('describes what is on the disk, byte for byte', () => {
    for (const row of rows) expect({ name: row.name, ...measure(row.name) }).toEqual(row);
  });

  it('leaves no fixture without a row', () => {
    const isListed = (path: string) =>
      rows.some(({ name }) => name === path || (name.endsWith('/') && path.startsWith(name)));
    expect(fixtureFiles().filter((path) => !isListed(path))).toEqual([]);
  });
});
