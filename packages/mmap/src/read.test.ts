import { bytesSource, countingSource } from '@pai-cpt/core';
import { expect, test } from 'vitest';
import { documentsOf, pairBytes } from '../test/datasets.ts';
import { brokenPairs, readablePair, readablePairs, refusal } from '../test/fixtures.ts';
import { openDatasetSources } from './read.ts';

const open = (pair: { idx: Uint8Array; bin: Uint8Array }) =>
  openDatasetSources({ prefix: 'set', idx: bytesSource(pair.idx), bin: bytesSource(pair.bin) });

test.each(readablePairs)('$name is read as it was meant', async (pair) => {
  const dataset = await open(pair);
  expect(dataset.dtype).toBe(pair.dtype);
  expect(dataset.sequenceCount).toBe(pair.lengths.length);
  expect(dataset.documentCount).toBe(pair.documents.length);
  expect(dataset.tokenCount).toBe(pair.tokens);
  expect(Array.from(dataset.lengths)).toEqual(pair.lengths);
  expect(Array.from(dataset.pointers)).toEqual(pair.pointers);
  expect(Array.from(dataset.documentIndex)).toEqual(pair.documentIndex);
  expect(dataset.modes ? Array.from(dataset.modes) : null).toEqual(pair.modes);
  expect(dataset.idxBytes).toBe(pair.idx.byteLength);
  expect(dataset.warnings.length).toBe(pair.warnings.length);
  for (const [i, word] of pair.warnings.entries()) expect(dataset.warnings[i]).toContain(word);
  const sequences = pair.documents.flat();
  for (const [i, ids] of sequences.entries()) expect(Array.from(await dataset.get(i))).toEqual(ids);
  expect(Array.from(await dataset.tokens(0, pair.tokens))).toEqual(sequences.flat());
});

const withBothFiles = brokenPairs.filter((pair) => pair.idx && pair.bin);
test.each(withBothFiles)('$name is refused with $refusal', async (pair) => {
  const error = await refusal(open(pair as { idx: Uint8Array; bin: Uint8Array }));
  expect(error.code).toBe(pair.refusal);
  expect(error.message).toMatch(/^set\.(idx|bin): .*;/);
  expect(error.message).not.toContain('\n');
});

test.each(['i32_multi_sequence', 'i32_gap', 'i32_swapped', 'i32_zero_length_seq'])(
  '%s: every range of the token stream',
  async (name) => {
    const pair = readablePair(name);
    const dataset = await open(pair);
    const all = pair.documents.flat(2);
    for (let from = 0; from <= all.length; from++) {
      for (let count = 0; from + count <= all.length; count++) {
        expect(Array.from(await dataset.tokens(from, count))).toEqual(all.slice(from, from + count));
      }
    }
  },
);

test('opening reads the index once and no token; a sequence is one read of its own bytes', async () => {
  const pair = readablePair('i32_multi_sequence');
  const idx = countingSource(bytesSource(pair.idx));
  const bin = countingSource(bytesSource(pair.bin));
  const dataset = await openDatasetSources({ prefix: 'set', idx, bin });
  expect(idx.stats.bytes).toBe(pair.idx.byteLength);
  expect(bin.stats).toEqual({ reads: 0, bytes: 0 });
  await dataset.get(1);
  expect(bin.stats).toEqual({ reads: 1, bytes: 12 });
  await dataset.tokens(2, 5);
  expect(bin.stats).toEqual({ reads: 2, bytes: 32 });
});

test.each(readablePairs)('$name: the sequences of any range, one after another', async (pair) => {
  const dataset = await open(pair);
  const all = pair.documents.flat();
  for (let from = 0; from <= all.length; from++) {
    for (let to = from; to <= all.length; to++) {
      const read: number[][] = [];
      for await (const ids of dataset.sequences(from, to)) read.push([...ids]);
      expect(read).toEqual(all.slice(from, to));
    }
  }
});

test('sequences are read in windows, a long one by itself', async () => {
  const lengths = [100_000, 100_000, 62_144, 1, 600_000, 7];
  const { idx, bin: bytes } = pairBytes(documentsOf(lengths), 'int32');
  const bin = countingSource(bytesSource(bytes));
  const dataset = await openDatasetSources({ prefix: 'set', idx: bytesSource(idx), bin });
  const firsts: (number | undefined)[] = [];
  for await (const ids of dataset.sequences()) firsts.push(ids[0]);
  expect(firsts).toEqual([0, 100_000, 200_000, 262_144, 262_145, 862_145]);
  expect(bin.stats).toEqual({ reads: 4, bytes: bytes.byteLength }); // 2^18 ids, then 1, 600,000 and 7
});

test.each([
  [-1, 2],
  [0, 7],
  [3, 2],
  [0.5, 2],
])('sequences %d to %d do not exist', async (from, to) => {
  const dataset = await open(readablePair('i32_multi_sequence'));
  expect((await refusal(dataset.sequences(from, to).next())).message).toBe(
    `set: sequences ${from} to ${to} do not exist; it has 6`,
  );
});

test('small reads are made at once where the source can, large ones are not', async () => {
  const { idx, bin: bytes } = pairBytes(documentsOf([65_536, 65_537]), 'int32');
  const made: string[] = [];
  const bin = {
    byteLength: bytes.byteLength,
    async read(offset: number, length: number) {
      made.push(`read ${length}`);
      return bytes.subarray(offset, offset + length);
    },
    readSync(offset: number, length: number) {
      made.push(`readSync ${length}`);
      return bytes.subarray(offset, offset + length);
    },
  };
  const dataset = await openDatasetSources({ prefix: 'set', idx: bytesSource(idx), bin });
  const [first, second] = [await dataset.get(0), await dataset.get(1)];
  expect([first.at(-1), second[0], second.at(-1)]).toEqual([65_535, 65_536, 131_072]);
  expect(made).toEqual(['readSync 262144', 'read 262148']);
});

test.each([-1, 6, 0.5, Number.NaN])('sequence %d does not exist', async (sequence) => {
  const dataset = await open(readablePair('i32_multi_sequence'));
  expect((await refusal(dataset.get(sequence))).message).toBe(`set: sequence ${sequence} does not exist; it has 6`);
});

test.each([
  [-1, 1],
  [0, 12],
  [11, 1],
  [0, -1],
])('tokens %i + %i are outside', async (from, count) => {
  const dataset = await open(readablePair('i32_multi_sequence'));
  expect((await refusal(dataset.tokens(from, count))).code).toBe('CPT_FORMAT_TRUNCATED');
});

test('an int64 id outside 32 bits is an error with its place', async () => {
  const pair = readablePair('dt_int64');
  const bin = Buffer.from(pair.bin);
  bin.writeBigInt64LE(2n ** 40n, 24 + 8);
  const dataset = await open({ idx: pair.idx, bin });
  expect(Array.from(await dataset.get(0))).toEqual([1, 2, 3]);
  const error = await refusal(dataset.get(1));
  expect(error.code).toBe('CPT_FORMAT_MMAP_TOKEN_RANGE');
  expect(error.details).toMatchObject({ file: 'set.bin', byteOffset: 32, sequence: 1 });
});

test('an abort stops a read with its own reason', async () => {
  const dataset = await open(readablePair('i32_multi_sequence'));
  const reason = new Error('enough');
  await expect(dataset.get(0, AbortSignal.abort(reason))).rejects.toBe(reason);
  await expect(dataset.tokens(0, 1, AbortSignal.abort(reason))).rejects.toBe(reason);
  await expect(dataset.sequences(0, 6, AbortSignal.abort(reason)).next()).rejects.toBe(reason);
});
