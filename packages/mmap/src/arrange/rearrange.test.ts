import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Documents, documentsOf, memoryDataset, readDocuments, writeDataset } from '../../test/datasets.ts';
import { filesIn, openDescriptors, refusal, temporaryFolder } from '../../test/fixtures.ts';
import { createDatasetWriter, openDataset } from '../node.ts';
import type { TokenDtype } from '../token-dtype.ts';
import { createScratchFile } from './node.ts';
import { numberDocuments, type Rearrangement, rearrange, rearrangeFiles } from './rearrange.ts';

/** A scratch file in memory that notes what it is asked. */
function memoryScratch() {
  const bytes = new Uint8Array(1 << 20);
  const stats = { writes: 0, reads: [] as number[] };
  return {
    stats,
    async write(from: Uint8Array, at: number) {
      stats.writes++;
      bytes.set(from, at);
    },
    async read(at: number, length: number) {
      stats.reads.push(length);
      return bytes.slice(at, at + length);
    },
    async remove() {},
  };
}

async function run(sources: Documents[], order: number[], options: Partial<Rearrangement> = {}) {
  const written: Documents = [];
  const modes: number[][] = [];
  const scratch = memoryScratch();
  await rearrange({
    datasets: await Promise.all(sources.map((documents) => memoryDataset(documents))),
    order: Int32Array.from(order),
    dtype: 'int32',
    writer: {
      async addDocument(sequences, documentModes) {
        written.push(sequences.map((ids) => Array.from(ids)));
        modes.push(Array.from(documentModes ?? []));
      },
    },
    scratch,
    ...options,
  });
  return { written, modes, scratch };
}

test('documents come in the order asked for, whatever fits into a bucket', async () => {
  const length = fc.integer({ min: 0, max: 12 });
  const documents = fc.array(fc.array(length, { maxLength: 3 }), { minLength: 1, maxLength: 10 });
  await fc.assert(
    fc.asyncProperty(
      fc.array(documents, { minLength: 1, maxLength: 3 }),
      fc.array(fc.nat(), { maxLength: 30 }),
      fc.integer({ min: 1, max: 60 }),
      fc.constantFrom<TokenDtype>('uint16', 'int32', 'int64'),
      async (shapes, numbers, bucketTokens, dtype) => {
        let id = 0;
        const sources = shapes.map((shape) =>
          shape.map((lengths) => lengths.map((length) => Array.from({ length }, () => id++))),
        );
        const all = sources.flat();
        const order = numbers.map((number) => number % all.length);
        const { written } = await run(sources, order, { bucketTokens, dtype });
        expect(written).toEqual(order.map((document) => all[document]));
      },
    ),
    { numRuns: 150 },
  );
});

test('reads and writes go by buckets, not by documents', async () => {
  const documents = documentsOf(new Array<number>(200).fill(10));
  const order = Array.from({ length: 200 }, (_, i) => (i * 77) % 200);
  const { scratch } = await run([documents], order, { bucketTokens: 500 });
  expect(scratch.stats).toEqual({ writes: 4, reads: [2000, 2000, 2000, 2000] });
});

test('an output that would need more than 1024 buckets gets larger ones', async () => {
  const documents = documentsOf(new Array<number>(5000).fill(1));
  const order = Array.from({ length: 5000 }, (_, i) => 4999 - i);
  const { written, scratch } = await run([documents], order, { bucketTokens: 1 });
  expect(scratch.stats.reads.length).toBe(1000); // of ceil(5000 / 1024) = 5 tokens
  expect(written).toEqual(documents.toReversed());
});

test('a document longer than a bucket and longer than a buffer', async () => {
  const documents = documentsOf([40_000, 3, 17_000]);
  const { written } = await run([documents], [2, 1, 0, 2], { bucketTokens: 100 });
  expect(written).toEqual([2, 1, 0, 2].map((document) => documents[document]));
});

test('documents without tokens are kept', async () => {
  const documents: Documents = [[], [[]], [[1]], []];
  expect((await run([documents], [3, 1, 2, 0])).written).toEqual([[], [[]], [[1]], []]);
  expect((await run([documents], [])).written).toEqual([]);
});

test('modes go with their documents', async () => {
  const datasets = [await memoryDataset([[[1], [2]], [[3]]], 'int32', [4, 5, 6])];
  expect((await run([], [1, 0], { datasets })).modes).toEqual([[6], [4, 5]]);
});

test('an id that does not fit is refused and never wrapped', async () => {
  const error = await refusal(run([[[[1]], [[2, 65536]]]], [0, 1], { dtype: 'uint16' }));
  expect(error.code).toBe('CPT_INPUT_TOKEN_RANGE');
  expect(error.message).toContain('set: document 1, token 1: id 65536');
});

test('progress: bytes twice, documents and tokens once', async () => {
  const told: number[][] = [];
  await run([documentsOf([3, 4, 5])], [2, 0, 0], { report: (...values) => void told.push(values) });
  const sums = [0, 1, 2].map((i) => told.reduce((sum, values) => sum + (values[i] as number), 0));
  expect(sums).toEqual([3, 11, 88]);
});

test('documents are counted through all datasets', async () => {
  const datasets = await Promise.all([[3], [], [4, 5]].map((lengths) => memoryDataset(documentsOf(lengths))));
  const numbers = numberDocuments(datasets);
  expect(numbers.starts).toEqual([0, 1, 1, 3]);
  expect([0, 1, 2].map((document) => numbers.tokens(document))).toEqual([3, 4, 5]);
  expect([0, 1, 2].map((document) => numbers.locate(document).source)).toEqual([0, 2, 2]);
});

test('files: everything is closed and the scratch file is gone, also after an error', async () => {
  const input = writeDataset(documentsOf([3, 4, 5]));
  const folder = temporaryFolder();
  const prefix = join(folder, 'out');
  const writer = await createDatasetWriter({ prefix, dtype: 'int32' });
  const order = Int32Array.of(2, 0);
  await rearrangeFiles([input], prefix, { order, dtype: 'int32', writer });
  await writer.finish();
  expect(filesIn(folder)).toEqual(['out.bin', 'out.idx']);
  const dataset = await openDataset(prefix);
  expect(await readDocuments(dataset)).toEqual([2, 0].map((document) => documentsOf([3, 4, 5])[document]));
  await dataset.close();

  const reason = new Error('enough');
  const aborted = rearrangeFiles([input], prefix, { order, dtype: 'int32', writer, signal: AbortSignal.abort(reason) });
  await expect(aborted).rejects.toBe(reason);
  expect(filesIn(folder)).toEqual(['out.bin', 'out.idx']);
  expect([...openDescriptors(folder), ...openDescriptors(input)]).toEqual([]);
});

test('a scratch file on disk serves as one in memory', async () => {
  const documents = documentsOf(Array.from({ length: 60 }, (_, i) => i));
  const order = Array.from({ length: 60 }, (_, i) => (i * 7) % 60);
  const scratch = await createScratchFile(join(temporaryFolder(), 'scratch'));
  const { written } = await run([documents], order, { scratch, bucketTokens: 300 });
  await scratch.remove();
  expect(written).toEqual(order.map((document) => documents[document]));
});
