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

async function write(documents: number[][][], dtype: TokenDtype, bufferBytes?: number, modes?: number[]) {
  const bin = memorySink();
  const idx = memorySink();
  const hasModes = modes !== undefined;
  const writer = createPairWriter({ name: 'set', dtype, bin, hasModes, ...(bufferBytes && { bufferBytes }) });
  let sequence = 0;
  for (const document of documents) {
    const ids = document.map((sequence) => Int32Array.from(sequence));
    await writer.addDocument(ids, modes?.slice(sequence, sequence + document.length));
    sequence += document.length;
  }
  const summary = await writer.finish(idx);
  return { bin: bin.bytes(), idx: idx.bytes(), summary, binWrites: bin.writes() };
}

const writable = readablePairs.filter((pair) => pair.warnings.length === 0);

test.each(writable)('$name: the bytes are those of the reference', async (pair) => {
  const { documents, dtype, bin, idx, tokens, modes } = pair;
  for (const bufferBytes of [9, 1000, undefined]) {
    const written = await write(documents, dtype as TokenDtype, bufferBytes, modes ?? undefined);
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

/** The ids of all sequences joined, in pieces of `size`. */
async function* inPieces(documents: number[][][], size: number) {
  const ids = Int32Array.from(documents.flat(2));
  for (let at = 0; at < ids.length; at += size) yield ids.subarray(at, at + size);
}

test.each(writable)('$name: the same bytes when ids come in pieces', async ({ documents, dtype, bin, idx, modes }) => {
  for (const size of [1, 3, 10_000]) {
    const sinks = { bin: memorySink(), idx: memorySink() };
    const writer = createPairWriter({
      name: 'set',
      dtype: dtype as TokenDtype,
      bin: sinks.bin,
      hasModes: modes !== null,
      bufferBytes: 64,
    });
    const first = Math.ceil(documents.length / 2);
    let sequence = 0;
    for (const part of [documents.slice(0, first), documents.slice(first)]) {
      const lengths = Int32Array.from(part.flat(), (ids) => ids.length);
      const partModes = modes && Int8Array.from(modes.slice(sequence, sequence + lengths.length));
      sequence += lengths.length;
      const sequencesPerDocument = Int32Array.from(part, (sequences) => sequences.length);
      const run = { lengths, sequencesPerDocument, ...(partModes && { modes: partModes }) };
      await writer.addDocuments(run, inPieces(part, size));
    }
    await writer.finish(sinks.idx);
    expect(sinks.bin.bytes()).toEqual(bin);
    expect(sinks.idx.bytes()).toEqual(idx);
  }
});

test('documents in pieces: ids that do not fit, or are too few or too many for the lengths, are refused', async () => {
  const run = { lengths: Int32Array.of(2, 2), sequencesPerDocument: Int32Array.of(1, 1) };
  const add = (ids: number[]) => {
    const writer = createPairWriter({ name: 'set', dtype: 'uint16', bin: memorySink() });
    return writer.addDocuments(run, inPieces([[ids]], 3));
  };
  expect((await refusal(add([1, 2, 3, 65536]))).message).toContain(
    'set: after 3 tokens, token 0: id 65536 does not fit',
  );
  await expect(add([1, 2, 3])).rejects.toThrow('set: 3 tokens came for lengths of 4');
  await expect(add([1, 2, 3, 4, 5])).rejects.toThrow('set: 5 tokens came for lengths of 4');
  await expect(add([1, 2, 3, 4])).resolves.toBeUndefined();
});

// Megatron's builder: self.sequence_modes.extend(modes if modes is not None else [0] * len(lengths))
test('a mode that is not given is 0', async () => {
  const idx = memorySink();
  const writer = createPairWriter({ name: 'set', dtype: 'int32', bin: memorySink(), hasModes: true });
  await writer.addDocument([Int32Array.of(1), Int32Array.of(2)], [3, -1]);
  await writer.addDocument([Int32Array.of(4)]);
  await writer.finish(idx);
  expect([...idx.bytes().subarray(-3)]).toEqual([3, 255, 0]);
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
