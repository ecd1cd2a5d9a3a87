import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bytesSource } from '@pai-cpt/core';
import { expect, test } from 'vitest';
import { pairBytes } from '../test/datasets.ts';
import { codes, finding, writeDocuments } from '../test/examinations.ts';
import { refusal, temporaryFolder } from '../test/fixtures.ts';
import { examineDataset } from './doctor/examine.ts';
import { openDatasetSources } from './read.ts';
import { repairDataset } from './repair/repair.ts';

/*
 * The rows of the table of bad input that are about the two files of a dataset: what the reader says, what the doctor says, and what
 * repairs it. Two documents of 2 + 1 and 3 ids of 4 bytes: lengths at byte 34, pointers at 46, document index at 70, 94 bytes in all.
 */
const SOUND = pairBytes([[[1, 2], [3]], [[4, 5, 6]]]);

interface Fault {
  row: string;
  idx?: (idx: Buffer) => Buffer | undefined;
  bin?: (bin: Buffer) => Buffer;
  code: string;
  /** Byte that the error names. */
  byteOffset: number;
  says: string[];
}
const changed = (change: (idx: Buffer) => void) => (idx: Buffer) => {
  change(idx);
  return idx;
};

const FAULTS: Fault[] = [
  {
    row: '.bin shorter than the index says',
    bin: (bin) => bin.subarray(0, 16),
    code: 'CPT_FORMAT_MMAP_BIN_TRUNCATED',
    byteOffset: 16,
    says: [
      '6 tokens of int32 need 24 bytes, the file has 16',
      '2 of 3 sequences and 1 of 2 documents are whole',
      '--truncate',
    ],
  },
  {
    row: '.bin ends within a token',
    bin: (bin) => bin.subarray(0, 23),
    code: 'CPT_FORMAT_MMAP_BIN_TRUNCATED',
    byteOffset: 23,
    says: ['need 24 bytes, the file has 23', '2 of 3 sequences'],
  },
  {
    row: '.idx shorter than its counts say',
    idx: (idx) => idx.subarray(0, 60),
    code: 'CPT_FORMAT_TRUNCATED',
    byteOffset: 60,
    says: ['the pointers of 3 sequences end at byte 70, the file has 60'],
  },
  {
    row: 'a count that no memory holds',
    idx: changed((idx) => idx.writeBigUInt64LE(2n ** 63n, 18)),
    code: 'CPT_FORMAT_TRUNCATED',
    byteOffset: 94,
    says: ['the lengths of 9223372036854775808 sequences end at byte 36893488147419103266, the file has 94'],
  },
  {
    row: 'bytes behind the arrays of .idx',
    idx: (idx) => Buffer.concat([idx, Buffer.alloc(2)]),
    code: 'CPT_FORMAT_MMAP_TRAILING',
    byteOffset: 94,
    says: ['2 bytes follow the arrays; 0 or 3 (one mode per sequence) are possible'],
  },
  {
    row: 'wrong magic',
    idx: changed((idx) => idx.write('TNTIDX\0\0\0', 'latin1')),
    code: 'CPT_FORMAT_MMAP_MAGIC',
    byteOffset: 0,
    says: ['starts with 544e54494458', 'the old lazy or cached format'],
  },
  {
    row: 'version is not 1',
    idx: changed((idx) => idx.writeBigUInt64LE(2n, 9)),
    code: 'CPT_FORMAT_MMAP_VERSION',
    byteOffset: 9,
    says: ['version 2, only version 1 is known'],
  },
  {
    row: 'dtype code unknown',
    idx: changed((idx) => idx.writeUInt8(9, 17)),
    code: 'CPT_FORMAT_MMAP_DTYPE',
    byteOffset: 17,
    says: ['dtype code 9 is unknown; known are 1 uint8, 2 int8, 3 int16, 4 int32, 5 int64, 8 uint16'],
  },
  {
    row: 'dtype of floats',
    idx: changed((idx) => idx.writeUInt8(7, 17)),
    code: 'CPT_UNSUPPORTED_TOKEN_DTYPE',
    byteOffset: 17,
    says: ['dtype code 7 is float32, which holds no token ids'],
  },
  {
    row: 'pointer past the end',
    idx: changed((idx) => idx.writeBigInt64LE(20n, 46 + 16)),
    code: 'CPT_FORMAT_MMAP_POINTER',
    byteOffset: 62,
    says: ['sequence 2 has pointer 20 and 3 tokens of 4 bytes; the .bin file has 24 bytes', '--pointers'],
  },
  {
    row: 'pointer negative',
    idx: changed((idx) => idx.writeBigInt64LE(-4n, 46 + 8)),
    code: 'CPT_FORMAT_MMAP_POINTER',
    byteOffset: 54,
    says: ['sequence 1 has pointer -4', 'never negative; a 32-bit overflow'],
  },
  {
    row: 'pointer unaligned, and the pointers fall',
    idx: changed((idx) => idx.writeBigInt64LE(2n, 46 + 16)),
    code: 'CPT_FORMAT_MMAP_POINTER',
    byteOffset: 62,
    says: ['sequence 2 has pointer 2', 'a multiple of 4, and the one before is 8: a 32-bit overflow'],
  },
  {
    row: 'negative length',
    idx: changed((idx) => idx.writeInt32LE(-1, 38)),
    code: 'CPT_FORMAT_MMAP_LENGTH',
    byteOffset: 38,
    says: ['sequence 1 has length -1; lengths start at 0'],
  },
  {
    row: 'document index does not begin with 0',
    idx: changed((idx) => idx.writeBigInt64LE(1n, 70)),
    code: 'CPT_FORMAT_MMAP_DOCUMENT_INDEX',
    byteOffset: 70,
    says: ['entry 0 is 1; the first one must be 0'],
  },
  {
    row: 'document index falls',
    idx: changed((idx) => idx.writeBigInt64LE(-(2n ** 40n), 78)),
    code: 'CPT_FORMAT_MMAP_DOCUMENT_INDEX',
    byteOffset: 78,
    says: ['entry 1 is -1099511627776; the one before is 0, and they must not fall'],
  },
  {
    row: 'document index does not end with the number of sequences',
    idx: changed((idx) => idx.writeBigInt64LE(2n, 86)),
    code: 'CPT_FORMAT_MMAP_DOCUMENT_INDEX',
    byteOffset: 86,
    says: ['entry 2 is 2; the last one must be the number of sequences, 3 (Megatron asserts it)'],
  },
];

test.each(FAULTS)('§7 $row', async ({ idx: changeIdx, bin: changeBin, code, byteOffset, says }) => {
  const idx = changeIdx?.(Buffer.from(SOUND.idx)) ?? SOUND.idx;
  const bin = changeBin?.(SOUND.bin) ?? SOUND.bin;
  const error = await refusal(openDatasetSources({ prefix: 'set', idx: bytesSource(idx), bin: bytesSource(bin) }));
  expect(error.code).toBe(code);
  expect(error.details).toMatchObject({ file: changeBin ? 'set.bin' : 'set.idx', byteOffset });
  for (const words of says) expect(error.message).toContain(words);

  const prefix = join(temporaryFolder(), 'set');
  writeFileSync(`${prefix}.idx`, idx);
  writeFileSync(`${prefix}.bin`, bin);
  const examination = await examineDataset(prefix, { model: 'qwen2-72b' });
  expect(codes(examination, 'error')).toEqual([code]);
  expect(examination.ok).toBe(false);
});

test('§7 .bin longer: a warning, an error with strict, and repaired by leaving the rest out', async () => {
  const prefix = join(temporaryFolder(), 'set');
  writeFileSync(`${prefix}.idx`, SOUND.idx);
  for (const rest of [4, 5]) {
    writeFileSync(`${prefix}.bin`, Buffer.concat([SOUND.bin, Buffer.alloc(rest)]));
    const examination = await examineDataset(prefix);
    expect(finding(examination, 'trailing-bytes', 'warn').numbers).toEqual({ trailing: rest });
    expect(examination.ok).toBe(true);
    expect((await examineDataset(prefix, { strict: true })).ok).toBe(false);
  }
  await repairDataset({ prefix, output: `${prefix}-2`, truncate: true });
  expect(codes(await examineDataset(`${prefix}-2`))).not.toContain('trailing-bytes');
});

test('§7 .idx lost: made anew from .bin when an id ends each document', async () => {
  const prefix = join(temporaryFolder(), 'set');
  writeFileSync(`${prefix}.bin`, pairBytes([[[1, 2, 9]], [[9]], [[3, 9]]]).bin);
  const { findings } = await examineDataset(prefix);
  expect(findings).toMatchObject([{ code: 'CPT_INPUT_FILE_MISSING', level: 'error' }]);
  expect(findings[0]?.advice).toContain('--reindex-eod');
  const repaired = await repairDataset({ prefix, output: `${prefix}-2`, reindexEod: 9, dtype: 'int32' });
  expect(repaired.kept).toMatchObject({ documents: 3, tokens: 6 });
});

test('§7 id outside the vocabulary or negative: document, sequence and byte of the worst one', async () => {
  const past = await examineDataset(await writeDocuments([[1], [2, 200_000, 3]]), { model: 'qwen2-72b' });
  expect(finding(past, 'id-outside-vocabulary', 'error').message).toContain(
    'up to 200000 in document 1, sequence 1, at byte 8 of .bin',
  );
  const negative = await examineDataset(await writeDocuments([[1, -5]]), { model: 'qwen2-72b' });
  expect(finding(negative, 'negative-ids', 'error').message).toContain(
    'the least -5 in document 0, sequence 0, at byte 4',
  );
  const labels = await examineDataset(await writeDocuments([[1, -2, -100]]), { model: 'qwen2-72b' });
  expect(finding(labels, 'sft-file', 'error').message).toContain('looks like a Pai SFT file');
});

test('§7 wrong dtype width: pointers and size tell, where there are several sequences', async () => {
  const prefix = join(temporaryFolder(), 'set');
  const idx = Buffer.from(SOUND.idx);
  idx.writeUInt8(8, 17); // uint16 over pointers and bytes of int32
  writeFileSync(`${prefix}.idx`, idx);
  writeFileSync(`${prefix}.bin`, SOUND.bin);
  const width = finding(await examineDataset(prefix), 'wrong-width', 'error');
  expect(width.numbers).toEqual({ width: 2, fittingWidth: 4 });
});
