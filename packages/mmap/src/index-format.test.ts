import { bytesSource, CptError } from '@pai-cpt/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readablePair, refusal } from '../test/fixtures.ts';
import { type IndexContent, parseIndexHeader, parseInt32, parseInt64, serializeIndex } from './index-format.ts';
import { openDatasetSources } from './read.ts';
import { TOKEN_DTYPES } from './token-dtype.ts';

const pair = readablePair('i32_multi_sequence');
const open = (idx: Uint8Array, bin: Uint8Array = pair.bin) =>
  openDatasetSources({ prefix: 'set', idx: bytesSource(idx), bin: bytesSource(bin) });

test('the header of the format description, byte by byte', () => {
  const bytes = Buffer.from(
    '4d4d49444944580000 0100000000000000 08 0300000000000000 0300000000000000'.replaceAll(' ', ''),
    'hex',
  );
  expect(parseIndexHeader(bytes, 34 + 36 + 24 + 3, 'set.idx')).toEqual({
    dtype: 'uint16',
    sequenceCount: 3,
    documentIndexLength: 3,
    hasModes: true,
    offsets: { lengths: 34, pointers: 46, documentIndex: 70, modes: 94 },
  });
});

test('an index cut at any byte is refused as truncated', async () => {
  for (let length = 0; length < pair.idx.byteLength; length++) {
    const error = await refusal(open(pair.idx.subarray(0, length)));
    expect(error.code, `cut at ${length}`).toBe('CPT_FORMAT_TRUNCATED');
  }
});

test('an index with modes, cut at any byte of them, is refused', async () => {
  const { idx, bin } = readablePair('u16_modes');
  for (let cut = 1; cut < 3; cut++) {
    expect((await refusal(open(idx.subarray(0, -cut), bin))).code).toBe('CPT_FORMAT_MMAP_TRAILING');
  }
});

const COUNT_VALUES = [0n, 1n, 5n, 2n ** 31n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n];
test.each([18, 26])('every wrong count at byte %i is refused before memory is taken', async (offset) => {
  for (const value of COUNT_VALUES) {
    const idx = Buffer.from(pair.idx);
    idx.writeBigUInt64LE(value, offset);
    const error = await refusal(open(idx));
    expect(error.code, String(value)).toMatch(/^CPT_FORMAT_(TRUNCATED|MMAP_TRAILING|MMAP_DOCUMENT_INDEX)$/);
  }
});

test('a message names file, offset and numbers, in one line', async () => {
  const idx = Buffer.from(pair.idx);
  idx.writeInt32LE(-3, 34 + 4);
  const error = await refusal(open(idx));
  expect(error.message).toBe('set.idx: sequence 1 has length -3; lengths start at 0');
  expect(error.details).toMatchObject({ file: 'set.idx', byteOffset: 38 });
});

test('a document index without entries is named as such', () => {
  const bytes = Buffer.from(pair.idx.subarray(0, 34));
  bytes.writeBigUInt64LE(0n, 26);
  expect(() => parseIndexHeader(bytes, 34 + 12 * 6, 'set.idx')).toThrow('the document index has no entry');
});

test.each([
  ['TNTIDX', 'old lazy or cached format'],
  ['version https://git-lfs.github.com/spec/v1', 'Git LFS pointer'],
  ['\x1f\x8b\x08 and more bytes that make up a whole header', 'gzip'],
  ['(\xb5/\xfd and more bytes that make up a whole header', 'zstd'],
  ['anything else, long enough to be a whole header of it', 'swapped'],
])('a file that starts with %j gets a hint', (start, hint) => {
  const bytes = Buffer.from(start, 'latin1');
  expect(() => parseIndexHeader(bytes, bytes.length, 'set.idx')).toThrow(hint);
});

test('a truncated .bin says how many sequences are whole', async () => {
  const error = await refusal(open(pair.idx, pair.bin.subarray(0, 4 * 6)));
  expect(error.message).toBe(
    'set.bin: 11 tokens of int32 need 44 bytes, the file has 24; 2 of 6 sequences and 1 of 3 documents are whole; copy it again, or keep those with cpt-mmap repair --truncate',
  );
});

test('changing any one byte of an index gives a dataset or one of our errors, nothing else', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(pair.idx.byteLength - 1), fc.nat(255), async (at, value) => {
      const idx = Buffer.from(pair.idx);
      idx[at] = value;
      const outcome = await open(idx).catch((error: unknown) => error);
      expect(outcome instanceof Error ? CptError.isInstance(outcome) : true).toBe(true);
    }),
    { numRuns: 300 },
  );
});

test('64-bit values: both halves and the sign', () => {
  const values = [0n, 1n, -1n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 53n - 1n, -(2n ** 40n) - 5n];
  const bytes = new Uint8Array([9, ...new Uint8Array(BigInt64Array.from(values).buffer)]).subarray(1);
  expect(Array.from(parseInt64(bytes))).toEqual(values.map(Number));
  expect(parseInt32(new Uint8Array([9, 1, 0, 0, 0x80]).subarray(1))).toEqual(Int32Array.of(-2147483647));
});

test('pointers past 4 GiB keep their high half', () => {
  const lengths = [2 ** 30, 2 ** 30, 5, 1];
  const content: IndexContent = {
    dtype: 'int32',
    sequenceCount: 4,
    documentCount: 4,
    lengths: () => [Int32Array.from(lengths.slice(0, 3)), Int32Array.from(lengths.slice(3))],
    sequencesPerDocument: undefined,
  };
  const idx = Buffer.concat([...serializeIndex(content)]);
  expect(idx.byteLength).toBe(34 + 12 * 4 + 8 * 5);
  const pointers = [0, 1, 2, 3].map((i) => idx.readBigInt64LE(34 + 16 + 8 * i));
  expect(pointers).toEqual([0n, 2n ** 32n, 2n ** 33n, 2n ** 33n + 20n]);
  const documents = [0, 1, 2, 3, 4].map((i) => idx.readBigInt64LE(34 + 48 + 8 * i));
  expect(documents).toEqual([0n, 1n, 2n, 3n, 4n]);
});

test('the table has no dtype that the header cannot name', () => {
  expect(Object.values(TOKEN_DTYPES).map(({ code }) => code)).toEqual([1, 2, 3, 4, 5, 8]);
});

// 3 sequences of 2^31 - 1, 2^31 - 1 and 5 ids of 4 bytes: the last one starts at 4 × (2^32 - 2), past every 32-bit number.
test('pointers past 4 GiB are exact, written and read', async () => {
  const lengths = Int32Array.of(2 ** 31 - 1, 2 ** 31 - 1, 5);
  const content = { dtype: 'int32', sequenceCount: 3, documentCount: 3, sequencesPerDocument: undefined } as const;
  const idx = Buffer.concat([...serializeIndex({ ...content, lengths: () => [lengths] })]);
  expect([0, 1, 2].map((i) => idx.readBigInt64LE(34 + 12 + 8 * i))).toEqual([0n, 8589934588n, 17179869176n]);

  const byteLength = 17179869176 + 20;
  const reads: number[][] = [];
  const bin = {
    byteLength,
    async read(offset: number, length: number) {
      reads.push([offset, length]);
      return new Uint8Array(length).fill(1);
    },
  };
  const dataset = await openDatasetSources({ prefix: 'set', idx: bytesSource(idx), bin });
  expect(dataset).toMatchObject({ tokenCount: 2 ** 32 + 3, isContiguous: true, warnings: [] });
  expect(Array.from(await dataset.get(2))).toEqual(new Array(5).fill(0x01010101));
  expect(Array.from(await dataset.tokens(2 ** 32 - 2, 1))).toEqual([0x01010101]);
  expect(reads).toEqual([
    [17179869176, 20],
    [17179869176, 4],
  ]);
  const cut = { ...bin, byteLength: byteLength - 1 };
  const error = await refusal(openDatasetSources({ prefix: 'set', idx: bytesSource(idx), bin: cut }));
  expect(error.message).toContain('2 of 3 sequences and 2 of 3 documents are whole');
});
