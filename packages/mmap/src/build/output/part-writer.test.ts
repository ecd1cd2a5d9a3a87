import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openDescriptors, readablePairs, refusal, temporaryFolder } from '../../../test/fixtures.ts';
import { openPartWriter, type PartWriterOptions } from './part-writer.ts';

/** Pairs of the reference in the two dtypes that are built, with contiguous pointers. */
const pairs = readablePairs.filter(
  ({ dtype, warnings, modes }) => /^(uint16|int32)$/.test(dtype) && warnings.length === 0 && modes === null,
);

function pieceOf(documents: number[][][], dtype: string) {
  const ids = documents.flat(2);
  const counts = documents.map((document) => document.length);
  return {
    ids: dtype === 'uint16' ? Uint16Array.from(ids) : Int32Array.from(ids),
    lengths: Int32Array.from(documents.flat().map((sequence) => sequence.length)),
    perDocument: counts.some((count) => count !== 1) ? Int32Array.from(counts) : undefined,
    documents: documents.length,
    largest: Math.max(-1, ...ids),
  };
}

const paths = (folder: string) => ({ binPath: join(folder, 'set.bin'), lengthsPath: join(folder, 'set.lengths') });
const optionsOf = (folder: string, dtype: string, more: Partial<PartWriterOptions> = {}): PartWriterOptions => ({
  name: 'set',
  dtype: dtype as PartWriterOptions['dtype'],
  ...paths(folder),
  ...more,
});

test.each(pairs)(
  '$name: the bytes are those of the reference, in one go or in two runs',
  async ({ documents, dtype, bin, idx, tokens }) => {
    for (const cut of [0, documents.length >> 1]) {
      const folder = temporaryFolder();
      const first = await openPartWriter(optionsOf(folder, dtype, { bufferBytes: 7 }));
      if (cut > 0) await first.append(pieceOf(documents.slice(0, cut), dtype));
      const state = await first.checkpoint();
      await first.append(pieceOf([[[1, 2, 3]]], dtype)); // behind the checkpoint: is cut off
      await first.close();
      const second = await openPartWriter(optionsOf(folder, dtype, { state }));
      await second.append(pieceOf(documents.slice(cut), dtype));
      const summary = await second.finish(join(folder, 'set.idx'));
      await second.close();
      expect(readFileSync(join(folder, 'set.bin'))).toEqual(bin);
      expect(readFileSync(join(folder, 'set.idx'))).toEqual(idx);
      expect(summary).toEqual({
        documents: documents.length,
        sequences: documents.flat().length,
        tokens,
        maxId: Math.max(...documents.flat(2)),
        binBytes: bin.length,
        idxBytes: idx.length,
        sha256: {
          bin: createHash('sha256').update(bin).digest('hex'),
          idx: createHash('sha256').update(idx).digest('hex'),
        },
      });
      expect(openDescriptors(folder)).toEqual([]);
    }
  },
);

test('an id that does not fit is refused and not written', async () => {
  const folder = temporaryFolder();
  const writer = await openPartWriter(optionsOf(folder, 'uint16'));
  const error = await refusal(writer.append({ ...pieceOf([[[1]]], 'uint16'), largest: 65536 }));
  expect(error.code).toBe('CPT_INPUT_TOKEN_RANGE');
  expect(error.message).toBe('set: id 65536 does not fit uint16 (at most 65535); use dtype int32');
  expect((await writer.checkpoint()).tokens).toBe(0);
  await writer.close();
});

test('§7 no document at the end: refused', async () => {
  const folder = temporaryFolder();
  const writer = await openPartWriter(optionsOf(folder, 'uint16'));
  await writer.append(pieceOf([[]], 'uint16'));
  const error = await refusal(writer.finish(join(folder, 'set.idx')));
  expect(error.code).toBe('CPT_INPUT_EMPTY_DATASET');
  expect(error.message).toContain('1 documents');
  await writer.close();
});

test('files that are shorter or other than noted are refused, and closed', async () => {
  const folder = temporaryFolder();
  const writer = await openPartWriter(optionsOf(folder, 'uint16'));
  await writer.append(pieceOf([[[1, 2], [3]], [[4]]], 'uint16'));
  const state = await writer.checkpoint();
  await writer.close();
  const { binPath, lengthsPath } = paths(folder);
  const content = readFileSync(binPath);
  const again = () => refusal(openPartWriter(optionsOf(folder, 'uint16', { state })));
  writeFileSync(binPath, Buffer.alloc(content.length));
  expect((await again()).message).toContain('is not what was written');
  writeFileSync(binPath, content.subarray(1));
  expect((await again()).message).toContain('has 7 bytes where 8 were written');
  writeFileSync(binPath, content);
  writeFileSync(lengthsPath, '');
  expect((await again()).code).toBe('CPT_INPUT_RESUME_MISMATCH');
  expect(openDescriptors(folder)).toEqual([]);
});
