import { describe, expect, it, test } from 'vitest';
import { documentsOf, memoryDataset } from '../test/datasets.ts';
import { readFixture, refusal } from '../test/fixtures.ts';
import { type EstimateOptions, estimateDataset } from './estimate.ts';

const { quantiles } = readFixture('mmap/samples_more.json') as {
  quantiles: { lengths: number[]; quantiles: number[]; mean: number }[];
};

const estimate = async (lengths: readonly number[], options: EstimateOptions) =>
  estimateDataset(await memoryDataset(documentsOf(lengths)), options);

describe('1000 documents of 100 tokens, L = 64, batches of 4', async () => {
  const lengths = new Array<number>(1000).fill(100);
  const sizes = { sequenceLength: 64, globalBatchSize: 4 };

  it('counts by hand', async () => {
    const found = await estimate(lengths, { ...sizes, trainTokens: 250_000 });
    // 250000 / 4 / 64 = 976 iterations of 256 tokens. 99,1,0 of 1000 sequences: 990 and 10.
    expect(found).toMatchObject({
      documents: 1000,
      sequences: 1000,
      tokens: 100_000,
      tokensPerIteration: 256,
      iterations: 976,
      trainTokens: 249_856,
      warnings: [],
    });
    // 98999 / 64 = 1546.8 samples; 3904 asked need 3 epochs; two epochs hold 3093, 811 more are less than 0.8 × 1546 = 1236.
    expect(found.splits.train).toMatchObject({
      sequences: { from: 0, to: 990 },
      tokens: 99_000,
      samplesPerEpoch: 1546,
      iterationsPerEpoch: 386,
      samplesAsked: 3904,
      epochsAsked: 249_856 / 99_000,
      epochs: 3,
      isLastEpochApart: true,
    });
    // One validation of 10 batches of 4: 40 samples of 1000 tokens, (40 × 64 + 1) / 1000 → 3 epochs.
    expect(found.splits.valid).toMatchObject({ tokens: 1000, samplesAsked: 40, epochs: 3, samplesPerEpoch: 15 });
    expect(found.splits.test).toBeUndefined();
  });

  it('takes iterations as they are and counts validations', async () => {
    const found = await estimate(lengths, {
      ...sizes,
      iterations: 100,
      evalInterval: 30,
      evalIterations: 2,
      split: '8,1,1',
    });
    expect(found.iterations).toBe(100);
    // 100 / 30 + 1 = 4 validations of 2 batches of 4; one test.
    expect(found.splits.valid?.samplesAsked).toBe(32);
    expect(found.splits.test?.samplesAsked).toBe(8);
  });

  it('knows one epoch when nothing is asked', async () => {
    const found = await estimate(lengths, sizes);
    expect(found.iterations).toBeUndefined();
    expect(found.splits.train).toMatchObject({ epochs: 1, isLastEpochApart: false });
    expect(found.splits.train).not.toHaveProperty('samplesAsked');
    // 1546 samples read 1546 × 64 + 1 tokens of 99000.
    expect(found.splits.train?.tokensNeverRead).toBe(99_000 - 98_945);
  });

  it('lists the documents of an iteration', async () => {
    const options = { ...sizes, iterations: 5, showIteration: 5, seed: 3 };
    const { shown } = await estimate(lengths, options);
    expect(shown?.iteration).toBe(5);
    expect(shown?.samples.map(({ sample }) => sample)).toEqual([16, 17, 18, 19]);
    for (const { parts } of shown?.samples ?? []) {
      expect(parts.reduce((sum, { count }) => sum + count, 0)).toBe(65);
      for (const { document, sequence } of parts) expect(document).toBe(sequence);
    }
    const other = await estimate(lengths, { ...options, seed: 4 });
    expect(other.shown).not.toEqual(shown);
  });
});

test('counts tokens that are never read as the generator does', async () => {
  interface Case {
    name: string;
    lengths: number[];
    never_read: number;
  }
  const { replays } = readFixture('mmap/samples_more.json') as { replays: Case[] };
  const wanted = replays.find(({ name }) => name === 'last epoch just not apart') as Case;
  const options = { sequenceLength: 10, globalBatchSize: 10, iterations: 7, split: '1' };
  const found = await estimate(wanted.lengths, options);
  expect(found.splits.train?.tokensNeverRead).toBe(wanted.never_read);
  const skipped = await estimate(wanted.lengths, { ...options, maxReplayBytes: 100 });
  expect(skipped.splits.train?.tokensNeverRead).toBeUndefined();
  expect(skipped.warnings).toContainEqual(expect.stringContaining('never read were not counted'));
});

// numpy.percentile(lengths, [0, 10, 50, 90, 99, 100], method='inverted_cdf')
test.each(quantiles)('lengths of documents: $quantiles', async ({ lengths, quantiles, mean }) => {
  const { documentLengths } = await estimate(lengths, { sequenceLength: 8, globalBatchSize: 1, split: '1' });
  const { mean: found, ...rest } = documentLengths;
  expect(Object.values(rest)).toEqual(quantiles);
  expect(found).toBeCloseTo(mean, 9);
});

test('documents of several sequences: lengths by document, samples by sequence, parts with their document', async () => {
  const dataset = await memoryDataset([
    [
      [1, 2],
      [3, 4, 5],
    ],
    [],
    [[6, 7, 8, 9]],
  ]);
  const options = { sequenceLength: 8, globalBatchSize: 1, split: '1' };
  const found = estimateDataset(dataset, { ...options, showIteration: 1 });
  expect(found.documentLengths).toMatchObject({ min: 0, p50: 4, max: 5, mean: 3 });
  expect(found.warnings[0]).toContain('1 of 3 documents have several of the 3 sequences');
  const documents = [0, 0, 2]; // of sequences 0, 1 and 2; document 1 is empty
  const parts = found.shown?.samples.flatMap(({ parts }) => parts) ?? [];
  expect(parts.map(({ sequence }) => sequence).sort()).toEqual([0, 1, 2]);
  for (const { document, sequence } of parts) expect(document).toBe(documents[sequence]);

  const empties = estimateDataset(await memoryDataset([[[1, 2, 3]], [], [[4, 5, 6, 7, 8, 9]]]), options);
  expect(empties.warnings.join('\n')).not.toContain('several');
});

test.each([
  ['a validation split without tokens', [9, 9, 9], { split: '99,1,0' }, 'the valid split holds 0 tokens'],
  ['no validation', [99], { split: '1' }, 'the split gives validation nothing'],
  ['no training', [99], { split: '0,1' }, 'the split gives training nothing'],
  [
    'fewer tokens than a sample',
    [7, 7],
    { split: '1,1' },
    'the train split holds 7 tokens, fewer than the 9 of one sample',
  ],
  ['more than four epochs', [40], { split: '1', iterations: 21 }, 'training reads its tokens 4.2 times'],
])('warns of %s', async (_, lengths, options, warning) => {
  const { warnings } = await estimate(lengths, { sequenceLength: 8, globalBatchSize: 1, ...options });
  expect(warnings).toContainEqual(expect.stringContaining(warning));
});

test('four epochs are no reason to warn', async () => {
  const { warnings } = await estimate([40, 40], {
    sequenceLength: 8,
    globalBatchSize: 1,
    split: '1,1',
    iterations: 20,
  });
  expect(warnings).toEqual([]);
});

test.each([
  [{ trainTokens: 100, iterations: 1 }, 'not both'],
  [{ trainTokens: 31 }, '31 tokens are less than one iteration of 4 × 8'],
  [{ globalBatchSize: 0 }, 'globalBatchSize 0'],
  [{ iterations: 1.5 }, 'iterations 1.5'],
  [{ evalInterval: 0 }, 'evalInterval 0'],
  [{ sequenceLength: 1 }, 'sequence length 1'],
  [{ split: 'x' }, 'split "x"'],
  [{ iterations: 3, showIteration: 4 }, 'iteration 4 does not exist; there are 1 to 3'],
  [{ showIteration: 0 }, 'iteration 0 does not exist'],
  [{ split: '0,1', showIteration: 1 }, 'gives training nothing to show'],
])('%j is refused', async (options, message) => {
  const error = await refusal(estimate([100, 100], { sequenceLength: 8, globalBatchSize: 4, split: '1', ...options }));
  expect(error.code).toBe('CPT_INPUT_INVALID');
  expect(error.message).toContain(message);
});
