import { createHash } from 'node:crypto';
import { bytesSource } from '@pai-cpt/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readablePairs, refusal } from '../test/fixtures.ts';
import { openDatasetSources } from './read.ts';
import { TOKEN_DTYPES, type TokenDtype } from './token-dtype.ts';
import { createPairWriter } from './write.ts';

/** A sink that copies at once, as a disk does: the writer may reuse its buffer afterwards. */
function memorySink() {
  const pieces: Buffer[] = [];
  return {
    write: async (bytes: Uint8Array) => void pieces.push(Buffer.from(bytes)),
    bytes: () => Buffer.concat(pieces),
    writes: () => pieces.length,
  };
}

async function write(documents: number[][][], dtype: TokenDtype, bufferBytes?: number) {
  const bin = memorySink();
  const idx = memorySink();
  const writer = createPairWriter({ name: 'set', dtype, bin, ...(bufferBytes && { bufferBytes }) });
  for (const document of documents) await writer.addDocument(document.map((ids) => Int32Array.from(ids)));
  const summary = await writer.finish(idx);
  return { bin: bin.bytes(), idx: idx.bytes(), summary, binWrites: bin.writes() };
}

const writable = readablePairs.filter((pair) => pair.warnings.length === 0 && pair.modes === null);

test.each(writable)('$name: the bytes are those of the reference', async ({ documents, dtype, bin, idx, tokens }) => {
  for (const bufferBytes of [9, 1000, undefined]) {
    const written = await write(documents, dtype as TokenDtype, bufferBytes);
    expect(written.bin).toEqual(bin);
    expect(written.idx).toEqual(idx);
    expect(written.summary).toEqual({
      documents: documents.length,
      sequences: documents.flat().length,
      tokens,
      maxId: Math.max(-1, ...documents.flat(2)),
      binBytes: bin.byteLength,
      idxBytes: idx.byteLength,
      sha256: {
        bin: createHash('sha256').update(bin).digest('hex'),
        idx: createHash('sha256').update(idx).digest('hex'),
      },
    });
  }
});

const documentsOf = (dtype: TokenDtype) => {
  const { min, max } = TOKEN_DTYPES[dtype];
  return fc
    .array(fc.array(fc.array(fc.integer({ min, max }), { maxLength: 9 }), { maxLength: 3 }), {
      minLength: 1,
      maxLength: 12,
    })
    .filter((documents) => documents.flat(2).length > 0);
};

test.each(Object.keys(TOKEN_DTYPES) as TokenDtype[])('%s: what is written is what is read', async (dtype) => {
  await fc.assert(
    fc.asyncProperty(documentsOf(dtype), fc.integer({ min: 1, max: 40 }), async (documents, bufferBytes) => {
      const { idx, bin } = await write(documents, dtype, bufferBytes);
      const dataset = await openDatasetSources({ prefix: 'set', idx: bytesSource(idx), bin: bytesSource(bin) });
      expect(dataset.warnings).toEqual([]);
      const ends = Array.from(dataset.documentIndex);
      const read = await Promise.all(Array.from(dataset.lengths, async (_, i) => Array.from(await dataset.get(i))));
      expect(ends.slice(1).map((end, i) => read.slice(ends[i], end))).toEqual(documents);
    }),
    { numRuns: 40 },
  );
});

test('tokens go out through one large buffer, not one write a document', async () => {
  const documents = Array.from({ length: 500 }, (_, i) => [[i, i + 1, i + 2]]);
  expect((await write(documents, 'int32')).binWrites).toBe(1);
  expect((await write(documents, 'int32', 600)).binWrites).toBe(10);
});

test.each([
  ['uint16', 65536],
  ['uint16', -1],
  ['uint8', 256],
  ['int8', -129],
  ['int16', 32768],
] as const)('%s cannot hold %i: refused with its place, and nothing of the document is written', async (dtype, id) => {
  const bin = memorySink();
  const idx = memorySink();
  const writer = createPairWriter({ name: 'set', dtype, bin });
  await writer.addDocument([Int32Array.of(1)]);
  const error = await refusal(writer.addDocument([Int32Array.of(7), Int32Array.of(8, id)]));
  expect(error.code).toBe('CPT_INPUT_TOKEN_RANGE');
  expect(error.message).toContain(`set: document 1, sequence 1, token 1: id ${id} does not fit ${dtype}`);
  await writer.addDocument([Int32Array.of(2)]);
  expect(await writer.finish(idx)).toMatchObject({ documents: 2, sequences: 2, tokens: 2, maxId: 2 });
  expect(bin.bytes().byteLength).toBe(2 * TOKEN_DTYPES[dtype].bytes);
});

test.each([[[]], [[[]]], [[[[]]]]])('a dataset without a token is refused (%j)', async (documents) => {
  expect((await refusal(write(documents as number[][][], 'int32'))).code).toBe('CPT_INPUT_EMPTY_DATASET');
});
