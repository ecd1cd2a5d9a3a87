import { describe, expect, it } from 'vitest';
import type { ReplicaGroup } from './all-reduce.ts';
import type { Samples } from './samples.ts';
import { evaluationBatches, validationLoss } from './validation.ts';

const samples: Samples = {
  count: 7,
  sequenceLength: 1,
  read: async (windows) => Int32Array.from(windows),
};
/** The loss of window w is w², so a batch's mean is the mean of its squares. */
const trainer = {
  evaluate: async (ids: Int32Array) => ids.reduce((sum, id) => sum + id * id, 0) / ids.length,
};
const mean = (0 + 1 + 4 + 9 + 16 + 25 + 36) / 7;

describe('validationLoss', () => {
  it.each([1, 2, 3, 4, 7, 8])('is the mean over all windows once, in batches of %i', async (microBatchSize) => {
    const alone = { rank: 0, worldSize: 1, sum: async () => undefined } as unknown as ReplicaGroup;
    expect(await validationLoss(trainer, samples, microBatchSize, alone)).toBeCloseTo(mean, 12);
  });

  it('is the same over replicas, each of which evaluates its part only', async () => {
    const sums: number[] = [];
    for (const rank of [0, 1, 2]) {
      let calls = 0;
      const counting = { evaluate: (ids: Int32Array) => trainer.evaluate(ids).finally(() => calls++) };
      const group = { rank, worldSize: 3, sum: async (values: Float64Array) => sums.push(values[0] as number) };
      await validationLoss(counting, samples, 2, group as unknown as ReplicaGroup);
      expect(calls).toBeLessThanOrEqual(2);
    }
    expect(sums.reduce((a, b) => a + b) / samples.count).toBeCloseTo(mean, 12);
  });
});

describe('evaluationBatches', () => {
  it('takes windows in order and gives each that is left over a batch of copies', () => {
    expect(evaluationBatches(5, 3)).toEqual([
      { windows: [0, 1, 2], weight: 3 },
      { windows: [3, 3, 3], weight: 1 },
      { windows: [4, 4, 4], weight: 1 },
    ]);
  });
});
