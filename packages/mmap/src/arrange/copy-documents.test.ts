import { bytesSource, countingSource } from '@pai-cpt/core';
import { expect, test } from 'vitest';
import { documentsOf, memoryDataset, pairBytes, readDocuments } from '../../test/datasets.ts';
import { readablePair, readablePairs, refusal } from '../../test/fixtures.ts';
import { openDatasetSources } from '../read.ts';
import type { TokenDtype } from '../token-dtype.ts';
import { createPairWriter } from '../write.ts';
import { copyDocuments, createDocumentReader, cutSequences, documentModes, documentTokens } from './copy-documents.ts';

const openPair = ({ idx, bin }: { idx: Uint8Array; bin: Uint8Array }) =>
  openDatasetSources({ prefix: 'set', idx: bytesSource(idx), bin: bytesSource(bin) });

function memoryWriter(dtype: TokenDtype, hasModes: boolean) {
  const files = { bin: [] as Buffer[], idx: [] as Buffer[] };
  const sink = (name: 'bin' | 'idx') => ({
    write: async (bytes: Uint8Array) => void files[name].push(Buffer.from(bytes)),
  });
  const writer = createPairWriter({ name: 'copy', dtype, hasModes, bin: sink('bin') });
  return {
    writer,
    async finish() {
      await writer.finish(sink('idx'));
      return { bin: Buffer.concat(files.bin), idx: Buffer.concat(files.idx) };
    },
  };
}

const readable = readablePairs.filter(({ tokens }) => tokens > 0);

test.each(readable)('$name: copied in two ranges, and read document by document', async (pair) => {
  const dataset = await openPair(pair);
  const { dtype, documentCount, modes } = dataset;
  const copy = memoryWriter(dtype, modes !== undefined);
  const middle = Math.ceil(documentCount / 2);
  const reported: number[][] = [];
  const report = (...values: number[]) => void reported.push(values);
  await copyDocuments(dataset, { from: 0, to: middle }, copy.writer, report);
  await copyDocuments(dataset, { from: middle, to: documentCount }, copy.writer, report);
  const written = await copy.finish();
  expect(written).toEqual(pairBytes(pair.documents, dtype, pair.modes ?? undefined));
  expect(reported.reduce((sum, [documents]) => sum + (documents as number), 0)).toBe(documentCount);
  expect(reported.reduce((sum, [, tokens]) => sum + (tokens as number), 0)).toBe(pair.tokens);
  expect(reported.reduce((sum, [, , bytes]) => sum + (bytes as number), 0)).toBe(written.bin.byteLength);

  for (const windowTokens of [1, 4, 100_000]) {
    const reader = createDocumentReader(dataset, windowTokens);
    for (const [document, wanted] of pair.documents.entries()) {
      const ids = await reader.read(document);
      expect(cutSequences(dataset, document, ids).map((sequence) => Array.from(sequence))).toEqual(wanted);
      expect(documentTokens(dataset, document)).toBe(wanted.flat().length);
    }
  }
});

test('neighbouring documents come from one read', async () => {
  const { idx, bin } = pairBytes(documentsOf([10, 20, 30, 40, 50]));
  const counted = countingSource(bytesSource(bin));
  const dataset = await openDatasetSources({ prefix: 'set', idx: bytesSource(idx), bin: counted });
  const reader = createDocumentReader(dataset, 1000);
  for (const document of [0, 1, 3, 4]) await reader.read(document);
  expect(counted.stats.reads).toBe(1);
  const copy = memoryWriter('int32', false);
  await copyDocuments(dataset, { from: 1, to: 5 }, copy.writer);
  expect(counted.stats).toEqual({ reads: 2, bytes: 4 * (150 + 140) });
});

test('a document longer than the window, and one behind a gap', async () => {
  const dataset = await memoryDataset(documentsOf([5, 3000, 7, 9]));
  const reader = createDocumentReader(dataset, 10);
  expect((await reader.read(1)).length).toBe(3000);
  expect(Array.from(await reader.read(3))).toEqual([3012, 3013, 3014, 3015, 3016, 3017, 3018, 3019, 3020]);
});

test('modes of a document', async () => {
  const dataset = await openPair(readablePair('u16_modes'));
  expect([0, 1].map((document) => Array.from(documentModes(dataset, document) ?? []))).toEqual([[0, 1], [0]]);
  expect(documentModes(await memoryDataset(documentsOf([1])), 0)).toBeUndefined();
});

test('ids that the dtype of the copy cannot hold are refused', async () => {
  const dataset = await memoryDataset([[[1, 70000]]]);
  const { writer } = memoryWriter('uint16', false);
  const error = await refusal(copyDocuments(dataset, { from: 0, to: 1 }, writer));
  expect(error.code).toBe('CPT_INPUT_TOKEN_RANGE');
});

test('an abort ends the copy', async () => {
  const dataset = await memoryDataset(documentsOf([3, 4]));
  const { writer } = memoryWriter('int32', false);
  const reason = new Error('enough');
  const copy = copyDocuments(dataset, { from: 0, to: 2 }, writer, undefined, AbortSignal.abort(reason));
  await expect(copy).rejects.toBe(reason);
});

test('every document is read back as it was', async () => {
  const documents = documentsOf([4, 0, 6]);
  const dataset = await memoryDataset(documents);
  const copy = memoryWriter('int64', false);
  await copyDocuments(dataset, { from: 0, to: 3 }, copy.writer);
  expect(await readDocuments(await openPair(await copy.finish()))).toEqual(documents);
});
