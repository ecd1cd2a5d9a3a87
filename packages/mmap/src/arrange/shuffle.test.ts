import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { documentsOf, pairBytes, readDocuments, writeDataset } from '../../test/datasets.ts';
import { filesIn, openDescriptors, readFixture, refusal, temporaryFolder } from '../../test/fixtures.ts';
import { sidecar } from '../../test/sidecars.ts';
import { openDataset, readSidecar } from '../node.ts';
import { shuffleDataset } from './shuffle.ts';

const { shuffles } = readFixture('mmap/arrangements.json') as {
  shuffles: { documents: number; seed: number; order: number[] }[];
};

test.each(shuffles)(
  '$documents documents, seed $seed: the permutation of numpy',
  async ({ documents, seed, order }) => {
    const all = documentsOf(Array.from({ length: documents }, (_, i) => (i % 7) + 1));
    const output = join(temporaryFolder(), 'set');
    const result = await shuffleDataset({ input: writeDataset(all), output, seed });
    expect(result).toMatchObject({ prefix: output, seed, documents, warnings: [] });
    const wanted = pairBytes(order.map((document) => all[document] as number[][]));
    expect(readFileSync(`${output}.idx`)).toEqual(wanted.idx);
    expect(readFileSync(`${output}.bin`)).toEqual(wanted.bin);
  },
);

test('the seed is 1234 when none is given; dtype, modes, documents without tokens and the sidecar go along', async () => {
  const lists = [[[1, 2], [3]], [], [[4]], [[], [5]], [[6]], []];
  const input = writeDataset(lists, {
    dtype: 'uint16',
    modes: [0, 1, 2, 3, 4, 5],
    sidecar: sidecar({ dtype: 'uint16' }),
  });
  const output = join(temporaryFolder(), 'set');
  const { sha256 } = await shuffleDataset({ input, output });
  const order = [2, 1, 5, 0, 4, 3]; // numpy.random.RandomState(1234).permutation(6)
  const dataset = await openDataset(output);
  const found = await readDocuments(dataset);
  expect(found).toEqual(order.map((document) => lists[document]));
  expect(Array.from(dataset.modes ?? [])).toEqual([2, 0, 1, 5, 3, 4]);
  await dataset.close();
  expect(await readSidecar(output)).toMatchObject({
    dtype: 'uint16',
    documents: 6,
    tokens: 6,
    sha256,
    origin: { command: 'shuffle', seed: 1234, parts: [{ path: input, documents: 6, tokens: 6 }] },
  });
});

test('what cannot be leaves nothing', async () => {
  const folder = temporaryFolder();
  const input = writeDataset(documentsOf([3, 4]));
  const output = join(folder, 'set');
  const reason = new Error('enough');
  await expect(shuffleDataset({ input, output, signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  expect((await refusal(shuffleDataset({ input, output, seed: -1 }))).code).toBe('CPT_INPUT_INVALID');
  expect((await refusal(shuffleDataset({ input, output: input, force: true }))).code).toBe('CPT_INPUT_INVALID');
  expect(filesIn(folder)).toEqual([]);
  await shuffleDataset({ input, output });
  expect((await refusal(shuffleDataset({ input, output }))).code).toBe('CPT_INPUT_OUTPUT_EXISTS');
  await shuffleDataset({ input, output, force: true });
  expect(filesIn(folder)).toEqual(['set.bin', 'set.idx']);
  expect([...openDescriptors(folder), ...openDescriptors(input)]).toEqual([]);
});

test('progress ends at all bytes, read and written', async () => {
  const seen: number[][] = [];
  await shuffleDataset({
    input: writeDataset(documentsOf([30, 40])),
    output: join(temporaryFolder(), 'set'),
    onProgress: ({ documents, tokens, bytesRead, bytesTotal }) =>
      void seen.push([documents, tokens, bytesRead, bytesTotal]),
  });
  expect(seen.at(-1)).toEqual([2, 70, 560, 560]);
});
