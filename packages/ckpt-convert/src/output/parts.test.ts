import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { withDirectory } from '../../test/tiny-checkpoint.ts';
import { serializeEntry } from './journal.ts';
import { endedFiles, endedMark, filesOfPart, partFolder, partsState, requirePart, unfinishedParts } from './parts.ts';

const start = { journal: 1, plan: 'p', facts: { parts: 3 }, source: [], outputShards: 6, force: false } as const;
const shard = (name: string) => ({ shard: { name, bytes: 1, sha256: 'x' } });

describe('filesOfPart', () => {
  it('gives every file to one part, each part a run of them', () => {
    const sizes = fc.array(fc.integer({ min: 0, max: 1000 }), { maxLength: 30 });
    fc.assert(
      fc.property(sizes, fc.integer({ min: 1, max: 12 }), (bytes, of) => {
        const files = bytes.map((byteLength, at) => ({ at, byteLength }));
        const parts = Array.from({ length: of }, (_, at) => filesOfPart(files, { index: at + 1, of }));
        expect(parts.flat()).toEqual(files);
      }),
    );
  });

  it('shares the bytes, not the count', () => {
    const files = [8, 1, 1, 1, 1, 1, 1, 1, 1].map((byteLength) => ({ byteLength }));
    expect([1, 2].map((index) => filesOfPart(files, { index, of: 2 }).length)).toEqual([1, 8]);
  });
});

it.each([
  [0, 4],
  [5, 4],
  [1, 0],
  [1.5, 2],
  [Number.NaN, 2],
])('refuses part %s of %s', (index, of) => {
  expect(() => requirePart({ index, of })).toThrow('it is I/N with I from 1 to N');
});

it('knows a conversion at work, one whose commit began, and one that is gone, by the files that are left', async () => {
  await withDirectory(async (work) => {
    expect(partsState(work, 3)).toMatchObject({ isGone: true, outstanding: [] });
    await writeFile(join(work, 'parts'), serializeEntry(start));
    await writeFile(join(work, endedMark({ index: 2, of: 3 })), serializeEntry(start) + serializeEntry(shard('b')));
    expect(partsState(work, 3)).toEqual({ isGone: false, isCommitting: false, outstanding: [1, 3] });
    expect([...endedFiles(work, 3).keys()]).toEqual(['b']);
    // A mark that is missing once there is a journal was removed at the end.
    await writeFile(join(work, 'journal'), serializeEntry(start) + serializeEntry({ commit: true }));
    expect(partsState(work, 3)).toEqual({ isGone: false, isCommitting: true, outstanding: [] });
  });
});

it('counts what parts have finished that have not ended', async () => {
  await withDirectory(async (work) => {
    expect(unfinishedParts(work)).toBeUndefined();
    await writeFile(join(work, 'parts'), serializeEntry(start));
    for (const [index, name] of [
      [1, 'a'],
      [3, 'c'],
    ] as const) {
      const folder = join(work, partFolder({ index, of: 3 }));
      await mkdir(folder);
      await writeFile(join(folder, 'journal'), serializeEntry(start) + serializeEntry(shard(name)));
    }
    expect([...(unfinishedParts(work)?.finished.keys() ?? [])]).toEqual(['a', 'c']);
  });
});
