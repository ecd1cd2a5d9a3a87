import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { readFixture, refusal } from '../test/fixtures.ts';
import { planSamples, replaySamples, type SampleReplay, sampleParts } from './sample-index.ts';

interface Case {
  lengths: number[];
  seq_length: number;
  num_samples: number | null;
  seed: number;
  T: number;
  epochs: number;
  separate_final_epoch: boolean;
  samples: number;
  document_index: number[];
  sample_index: [number, number][];
  shuffle_index: number[];
}
interface NamedCase extends Case {
  name: string;
  from: number;
  to: number;
  drop_last: boolean;
  parts: Record<string, [number, number, number][]>;
}
const given = readFixture('mmap/samples.json') as Case[];
const more = readFixture('mmap/samples_more.json') as {
  replays: NamedCase[];
  assertions: (Case & { name: string })[];
  ceilings: { T: number; seq_length: number; samples: number; exact: number }[];
};

function expectReplay(replay: SampleReplay, wanted: Case) {
  expect(replay.epochs).toBe(wanted.epochs);
  expect(replay.isLastEpochApart).toBe(wanted.separate_final_epoch);
  expect(replay.samples).toBe(wanted.samples);
  expect(Array.from(replay.sequenceOrder)).toEqual(wanted.document_index);
  const { places, offsets } = replay.sampleStarts;
  expect(Array.from(places, (place, i) => [place, offsets[i]])).toEqual(wanted.sample_index);
  expect(Array.from(replay.shuffleIndex)).toEqual(wanted.shuffle_index);
}

test.each(given.map((wanted, i) => ({ i, wanted })))('case $i is Megatron, index for index', ({ wanted }) => {
  const { lengths, seq_length: sequenceLength, num_samples: samples, seed } = wanted;
  const options = { lengths: Int32Array.from(lengths), sequenceLength, seed, ...(samples !== null && { samples }) };
  expectReplay(replaySamples(options), wanted);
});

describe.each(more.replays)('$name', (wanted) => {
  const lengths = Int32Array.from(wanted.lengths);
  const replay = replaySamples({
    lengths,
    range: { from: wanted.from, to: wanted.to },
    sequenceLength: wanted.seq_length,
    samples: wanted.num_samples as number,
    seed: wanted.seed,
    keepsPartialSample: !wanted.drop_last,
  });

  it('is Megatron, index for index', () => {
    expectReplay(replay, wanted);
  });

  it('says what samples read', () => {
    for (const [number, parts] of Object.entries(wanted.parts)) {
      expect(sampleParts(replay, lengths, Number(number)).map((part) => Object.values(part))).toEqual(parts);
    }
  });
});

test('the seed of a replay is 1234 when none is given', () => {
  const wanted = given[0] as Case;
  const replay = replaySamples({ lengths: Int32Array.from(wanted.lengths), sequenceLength: 31, samples: 200 });
  expectReplay(replay, wanted);
});

test.each(more.ceilings)(
  '$T tokens by $seq_length: $samples samples with the partial one, $exact in exact numbers',
  ({ T: tokens, seq_length: sequenceLength, samples }) => {
    expect(planSamples({ tokens, sequenceLength, keepsPartialSample: true }).samples).toBe(samples);
    expect(planSamples({ tokens, sequenceLength }).samples).toBe(Math.floor((tokens - 1) / sequenceLength));
  },
);

test.each(more.assertions)('refused where Megatron asserts: $name', async ({ lengths, seq_length, seed }) => {
  const replay = async () =>
    replaySamples({
      lengths: Int32Array.from(lengths),
      sequenceLength: seq_length,
      samples: 1,
      seed,
      keepsPartialSample: true,
    });
  const error = await refusal(replay());
  expect(error.code).toBe('CPT_INPUT_INVALID');
  expect(error.message).toContain('drop_last_partial_validation_sequence');
});

test.each([
  [{ lengths: [0, 0], sequenceLength: 8 }, 'CPT_INPUT_EMPTY_DATASET'],
  [{ lengths: [1], sequenceLength: 8, samples: 4 }, 'CPT_INPUT_EMPTY_DATASET'],
  [{ lengths: [9, 9], range: { from: 1, to: 1 }, sequenceLength: 8 }, 'CPT_INPUT_EMPTY_DATASET'],
  [{ lengths: [9, 9], sequenceLength: 1 }, 'CPT_INPUT_INVALID'],
  [{ lengths: [9, 9], sequenceLength: 2.5 }, 'CPT_INPUT_INVALID'],
])('%j is refused', async ({ lengths, ...options }, code) => {
  const replay = async () => replaySamples({ lengths: Int32Array.from(lengths), ...options });
  expect((await refusal(replay())).code).toBe(code);
});

test('a sample that was not laid out is refused', async () => {
  const lengths = Int32Array.of(40);
  const replay = replaySamples({ lengths, sequenceLength: 8, samples: 4 });
  expect((await refusal(Promise.resolve().then(() => sampleParts(replay, lengths, 4)))).message).toContain('sample 4');
});

test('every epoch reads every sequence once, every sample L + 1 tokens, neighbours share one', () => {
  const sizes = fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 1, maxLength: 25 });
  fc.assert(
    fc.property(
      sizes.filter((lengths) => lengths.reduce((a, b) => a + b, 0) > 1),
      fc.integer({ min: 2, max: 20 }),
      fc.integer({ min: 1, max: 60 }),
      fc.integer({ min: 0, max: 2 ** 32 - 1 }),
      (sizes, sequenceLength, samples, seed) => {
        const lengths = Int32Array.from(sizes);
        const replay = replaySamples({ lengths, sequenceLength, samples, seed });
        expect(replay.samples).toBeGreaterThanOrEqual(samples);
        const times = new Array<number>(lengths.length).fill(0);
        for (const sequence of replay.sequenceOrder) times[sequence] = (times[sequence] as number) + 1;
        expect(new Set(times)).toEqual(new Set([replay.epochs]));
        expect(Array.from(replay.shuffleIndex).sort((a, b) => a - b)).toEqual(
          Array.from({ length: replay.samples }, (_, i) => i),
        );
        for (let number = 0; number < replay.samples; number++) {
          const parts = sampleParts(replay, lengths, number);
          expect(parts.reduce((sum, { count }) => sum + count, 0)).toBe(sequenceLength + 1);
        }
      },
    ),
    { numRuns: 60 },
  );
});
