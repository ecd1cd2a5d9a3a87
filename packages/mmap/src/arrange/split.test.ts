import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { type Documents, documentsOf, pairBytes, readDocuments, writeDataset } from '../../test/datasets.ts';
import { filesIn, refusal, temporaryFolder } from '../../test/fixtures.ts';
import { sidecar } from '../../test/sidecars.ts';
import { openDataset, readSidecar } from '../node.ts';
import { mergeDatasets } from './merge.ts';
import { splitDataset } from './split.ts';

async function read(prefix: string): Promise<Documents> {
  const dataset = await openDataset(prefix);
  const documents = await readDocuments(dataset);
  await dataset.close();
  return documents;
}

const documents = documentsOf(Array.from({ length: 20 }, (_, i) => i + 1));

test('shares cut between documents, in the order of the file', async () => {
  const output = join(temporaryFolder(), 'set');
  const input = writeDataset(documents, { sidecar: sidecar() });
  const { parts } = await splitDataset({ input, output, shares: '7,2,1' });
  expect(parts.map(({ name, prefix, documents }) => [name, prefix, documents])).toEqual([
    ['train', output, 14],
    ['valid', `${output}_valid`, 4],
    ['test', `${output}_test`, 2],
  ]);
  expect(await read(output)).toEqual(documents.slice(0, 14));
  expect(await read(`${output}_valid`)).toEqual(documents.slice(14, 18));
  expect(await read(`${output}_test`)).toEqual(documents.slice(18));
  expect(await readSidecar(`${output}_valid`)).toMatchObject({
    documents: 4,
    tokens: 15 + 16 + 17 + 18,
    origin: { command: 'split', parts: [{ path: input, documents: 4, tokens: 66 }] },
  });
});

test('every n-th document, from all over the file', async () => {
  const output = join(temporaryFolder(), 'set');
  const { parts } = await splitDataset({ input: writeDataset(documents), output, every: 7 });
  expect(parts.map(({ name, documents, tokens }) => [name, documents, tokens])).toEqual([
    ['train', 18, 210 - 21],
    ['valid', 2, 21],
  ]);
  expect(await read(`${output}_valid`)).toEqual([documents[6], documents[13]]);
  expect(await read(output)).toEqual(documents.filter((_, i) => i !== 6 && i !== 13));
});

test('a share of 0 gives no dataset', async () => {
  const folder = temporaryFolder();
  await splitDataset({ input: writeDataset(documents), output: join(folder, 'set'), shares: '9,1,0' });
  expect(filesIn(folder)).toEqual(['set.bin', 'set.idx', 'set_valid.bin', 'set_valid.idx']);
});

test('documents stay whole, modes go with them', async () => {
  const lists: Documents = [[[1, 2], [3]], [], [[4]], [[5], [6, 7]]];
  const input = writeDataset(lists, { dtype: 'uint16', modes: [0, 1, 2, 3, 4] });
  for (const options of [{ shares: '1,1' }, { every: 2 }]) {
    const output = join(temporaryFolder(), 'set');
    await splitDataset({ input, output, ...options });
    const [train, valid, modes] = options.every
      ? [
          [lists[0], lists[2]],
          [lists[1], lists[3]],
          [
            [0, 1, 2],
            [3, 4],
          ],
        ]
      : [
          lists.slice(0, 2),
          lists.slice(2),
          [
            [0, 1],
            [2, 3, 4],
          ],
        ];
    for (const [i, [prefix, part]] of [[output, train] as const, [`${output}_valid`, valid] as const].entries()) {
      const wanted = pairBytes(part as Documents, 'uint16', modes[i]);
      expect(readFileSync(`${prefix}.idx`)).toEqual(wanted.idx);
      expect(readFileSync(`${prefix}.bin`)).toEqual(wanted.bin);
    }
  }
});

test('a split merged again is the dataset, with shares in the same order', async () => {
  const shapes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 6, maxLength: 30 });
  const how = fc.oneof(
    fc.constantFrom('1,1,1', '3,1,1', '1,1').map((shares) => ({ shares })),
    fc.integer({ min: 2, max: 6 }).map((every) => ({ every })),
  );
  await fc.assert(
    fc.asyncProperty(shapes, how, async (lengths, how) => {
      const input = writeDataset(documentsOf(lengths));
      const output = join(temporaryFolder(), 'set');
      const { parts } = await splitDataset({ input, output, ...how });
      const { prefix } = await mergeDatasets({ inputs: parts.map(({ prefix }) => prefix), output: `${output}_again` });
      const again = await read(prefix);
      if ('shares' in how) expect(readFileSync(`${prefix}.bin`)).toEqual(readFileSync(`${input}.bin`));
      expect(again.sort(byFirstToken)).toEqual(documentsOf(lengths));
    }),
    { numRuns: 15 },
  );
});

const byFirstToken = ([a]: number[][], [b]: number[][]) => (a?.[0] ?? 0) - (b?.[0] ?? 0);

describe('what cannot be', () => {
  it.each([
    [{}, 'CPT_INPUT_INVALID'],
    [{ shares: '9,1', every: 3 }, 'CPT_INPUT_INVALID'],
    [{ every: 1 }, 'CPT_INPUT_INVALID'],
    [{ every: 2.5 }, 'CPT_INPUT_INVALID'],
    [{ shares: 'x' }, 'CPT_INPUT_INVALID'],
    [{ every: 21 }, 'CPT_INPUT_EMPTY_DATASET'],
    [{ shares: '99,1,0' }, 'CPT_INPUT_EMPTY_DATASET'], // round(19.8) = 20
  ])('%j: %s, and nothing is left', async (options, code) => {
    const folder = temporaryFolder();
    const error = await refusal(
      splitDataset({ input: writeDataset(documents), output: join(folder, 'set'), ...options }),
    );
    expect(error.code).toBe(code);
    expect(filesIn(folder)).toEqual([]);
  });

  it('an output that is there, of any part', async () => {
    const existing = writeDataset(documents, { name: 'set_valid' });
    const output = existing.replace(/_valid$/, '');
    const options = { input: writeDataset(documents), output, shares: '1,1' };
    expect((await refusal(splitDataset(options))).code).toBe('CPT_INPUT_OUTPUT_EXISTS');
    await splitDataset({ ...options, force: true });
    const own = { ...options, input: existing, force: true };
    expect((await refusal(splitDataset(own))).message).toContain('one of the datasets to read');
  });

  it('an abort leaves nothing', async () => {
    for (const how of [{ shares: '1,1' }, { every: 2 }]) {
      const folder = temporaryFolder();
      const reason = new Error('enough');
      const options = {
        input: writeDataset(documents),
        output: join(folder, 'set'),
        signal: AbortSignal.abort(reason),
      };
      await expect(splitDataset({ ...options, ...how })).rejects.toBe(reason);
      expect(filesIn(folder)).toEqual([]);
    }
  });
});

test('progress ends at all bytes', async () => {
  for (const how of [{ shares: '1,1' }, { every: 2 }]) {
    const seen: number[][] = [];
    await splitDataset({
      input: writeDataset(documents),
      output: join(temporaryFolder(), 'set'),
      ...how,
      onProgress: ({ documents, tokens, bytesRead, bytesTotal }) =>
        void seen.push([documents, tokens, bytesRead, bytesTotal]),
    });
    expect(seen.at(-1)).toEqual([20, 210, 840, 840]);
  }
});
