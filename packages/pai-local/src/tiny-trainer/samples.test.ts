import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { microBatches, openSamples, shuffledOrder, type TokenStream } from './samples.ts';

/** A stream whose token at each place is the place itself. */
function counting(tokenCount: number): TokenStream {
  return {
    prefix: '/nas/data/dataset',
    tokenCount,
    tokens: async (from, count) => Int32Array.from({ length: count }, (_, i) => from + i),
  };
}

describe('openSamples', () => {
  it('cuts windows of L+1 tokens that overlap by the token which only the first predicts', async () => {
    const samples = openSamples(counting(13), 4);
    expect(samples.count).toBe(3);
    expect([...(await samples.read([0]))]).toEqual([0, 1, 2, 3, 4]);
    expect([...(await samples.read([1, 2]))]).toEqual([4, 5, 6, 7, 8, 8, 9, 10, 11, 12]);
  });

  it('leaves out tokens behind the last full window', () => {
    expect(openSamples(counting(12), 4).count).toBe(2);
  });

  it('refuses a stream without one window', () => {
    expect(() => openSamples(counting(4), 4)).toThrow(
      '/nas/data/dataset: 4 tokens; one sample needs 5. Lower --seq-length or add text',
    );
  });
});

describe('shuffledOrder', () => {
  const epochOf = (order: (sample: number) => number, count: number, epoch: number) =>
    Array.from({ length: count }, (_, i) => order(epoch * count + i));

  it('meets every window once per epoch, whatever the count and the seed', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), fc.nat(), fc.nat(3), (count, seed, epoch) => {
        const windows = epochOf(shuffledOrder(count, seed), count, epoch);
        expect(windows.sort((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, i) => i));
      }),
      { numRuns: 50 },
    );
  });

  it('depends on the seed and the epoch, and on nothing else', () => {
    const first = epochOf(shuffledOrder(100, 7), 100, 0);
    expect(epochOf(shuffledOrder(100, 7), 100, 0)).toEqual(first);
    expect(epochOf(shuffledOrder(100, 8), 100, 0)).not.toEqual(first);
    expect(epochOf(shuffledOrder(100, 7), 100, 1)).not.toEqual(first);
    const order = shuffledOrder(100, 7);
    order(250); // an epoch ahead and back again, as a replica may ask
    expect(epochOf(order, 100, 0)).toEqual(first);
    expect(first).not.toEqual(Array.from({ length: 100 }, (_, i) => i));
  });
});

describe('microBatches', () => {
  const identity = (sample: number) => sample;

  it("deals an iteration's samples as Megatron's sampler does", () => {
    const layout = { worldSize: 2, microBatchSize: 2, globalBatchSize: 8 };
    expect(microBatches(identity, 16, { ...layout, rank: 0 })).toEqual([
      [16, 17],
      [20, 21],
    ]);
    expect(microBatches(identity, 16, { ...layout, rank: 1 })).toEqual([
      [18, 19],
      [22, 23],
    ]);
  });

  it('covers each sample of the run once over all replicas, so the run does not depend on their number', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 4 }),
        (worldSize, microBatchSize, steps) => {
          const globalBatchSize = worldSize * microBatchSize * steps;
          const seen: number[] = [];
          for (let iteration = 0; iteration < 3; iteration++) {
            for (let rank = 0; rank < worldSize; rank++) {
              const layout = { rank, worldSize, microBatchSize, globalBatchSize };
              seen.push(...microBatches(identity, iteration * globalBatchSize, layout).flat());
            }
          }
          expect(seen.sort((a, b) => a - b)).toEqual(Array.from({ length: 3 * globalBatchSize }, (_, i) => i));
        },
      ),
      { numRuns: 30 },
    );
  });
});
