import { closeSync, ftruncateSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { codes } from '../../test/examinations.ts';
import {
  brokenPairs,
  openDescriptors,
  type ReadablePair,
  readablePairs,
  temporaryFolder,
} from '../../test/fixtures.ts';
import { serializeIndex } from '../index-format.ts';
import { examineDataset } from './examine.ts';

test.each(readablePairs)('$name is sound by itself', async (pair) => {
  const odd: Record<string, string[]> = {
    i32_multi_sequence: ['several-sequences'],
    i32_empty_doc: ['empty-documents'],
    i32_zero_length_seq: ['empty-sequences'],
    u16_modes: ['modes', 'several-sequences'],
    i32_negative_ids: ['sft-file'],
    dt_int64_negative: ['sft-file'],
    zero_docs: ['empty'],
    i32_gap: ['foreign-pointers'],
    i32_swapped: ['foreign-pointers'],
    bin_trailing: ['trailing-bytes'],
  };
  const examination = await examineDataset(writePair(pair));
  expect(codes(examination, 'error')).toEqual([]);
  expect(examination.ok).toBe(true);
  const plain = ['ids', 'ends', 'duplicates', 'no-sidecar'];
  expect(
    codes(examination)
      .filter((code) => !plain.includes(code))
      .sort(),
  ).toEqual(odd[pair.name] ?? []);
  expect(examination.dataset).toMatchObject({
    documents: pair.documents.length,
    tokens: pair.tokens,
    dtype: pair.dtype,
  });
  expect(examination.read).toMatchObject({ isWhole: true, tokens: pair.tokens, share: 1 });
});

test.each(brokenPairs)('$name is refused with $refusal', async (pair) => {
  const prefix = writePair(pair);
  const examination = await examineDataset(prefix, { model: 'qwen2-72b' });
  expect(examination.ok).toBe(false);
  expect(codes(examination, 'error')).toEqual([pair.refusal]);
  expect(openDescriptors(prefix.replace(/\/set$/, ''))).toEqual([]);
});

function writePair({ idx, bin }: { idx: Buffer | undefined; bin: Buffer | undefined }): string {
  const prefix = join(temporaryFolder(), 'set');
  if (idx) writeFileSync(`${prefix}.idx`, idx);
  if (bin) writeFileSync(`${prefix}.bin`, bin);
  return prefix;
}

test.each([
  ['bin_truncated', '--truncate'],
  ['pointer_negative', '--pointers'],
  ['pointer_past_end', '--pointers'],
  ['idx_missing', '--reindex-eod'],
])('%s can be repaired with %s', async (name, option) => {
  const pair = brokenPairs.find((entry) => entry.name === name) as (typeof brokenPairs)[number];
  const { findings } = await examineDataset(writePair(pair));
  expect(findings[0]?.advice).toContain(option);
});

test('pointers that lengths and size cannot explain have no repair to advise', async () => {
  const { idx, bin } = brokenPairs.find(({ name }) => name === 'pointer_past_end') as { idx: Buffer; bin: Buffer };
  const { findings } = await examineDataset(writePair({ idx, bin: Buffer.concat([bin, bin]) }));
  expect(findings[0]).toMatchObject({ code: 'CPT_FORMAT_MMAP_POINTER' });
  expect(findings[0]?.advice).toBeUndefined();
});

test('of 100 GB a sample is read, from all over the file', async () => {
  const prefix = join(temporaryFolder(), 'set');
  const lengths = new Int32Array(50).fill(500_000_000);
  const content = { dtype: 'int32', sequenceCount: 50, documentCount: 50, sequencesPerDocument: undefined } as const;
  writeFileSync(`${prefix}.idx`, Buffer.concat([...serializeIndex({ ...content, lengths: () => [lengths] })]));
  const file = openSync(`${prefix}.bin`, 'w');
  ftruncateSync(file, 100e9); // a hole, which reads as zeros
  closeSync(file);
  const examination = await examineDataset(prefix, { sampleBytes: 2 ** 20, samples: 1000 });
  expect(examination.dataset).toMatchObject({ tokens: 25e9, binBytes: 100e9 });
  expect(examination.read).toEqual({ isWhole: false, tokens: 262_144, bytes: 2 ** 20, share: 262_144 / 25e9 });
  expect(codes(examination, 'error')).toEqual(['one-id']);
  const documents = examination.samples.map(({ document }) => document);
  expect(documents.at(0)).toBe(0);
  expect(documents.at(-1)).toBeGreaterThan(45);
  expect(new Set(documents).size).toBeGreaterThan(25);
});

test('a broken file is a finding whatever is broken, never another error', async () => {
  const { idx, bin } = readablePairs.find(({ name }) => name === 'i32_multi_sequence') as ReadablePair;
  const prefix = writePair({ idx, bin });
  const judge = (ending: string, broken: Buffer) => {
    writeFileSync(`${prefix}.${ending}`, broken);
    return examineDataset(prefix, { model: 'qwen2-72b' });
  };
  for (let bytes = 0; bytes < bin.length; bytes++) expect((await judge('bin', bin.subarray(0, bytes))).ok).toBe(false);
  writeFileSync(`${prefix}.bin`, bin);
  for (let bytes = 0; bytes < idx.length; bytes++) expect((await judge('idx', idx.subarray(0, bytes))).ok).toBe(false);
  for (let at = 0; at < idx.length; at++) {
    for (const value of [0, 0xff].filter((value) => value !== idx[at])) {
      const changed = Buffer.from(idx);
      changed[at] = value;
      const examination = await judge('idx', changed);
      const refused = codes(examination, 'error').some((code) => code.startsWith('CPT_'));
      expect(examination.dataset === undefined).toBe(refused);
    }
  }
});
