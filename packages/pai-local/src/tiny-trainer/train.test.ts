import { createTrainer, type ModelShape, type Trainer } from '@pai-cpt/model-runner';
import { describe, expect, it } from 'vitest';
import { joinReplicaGroup, type ReplicaGroup } from './all-reduce.ts';
import type { TrainerOptions } from './options.ts';
import { openSamples, shuffledOrder } from './samples.ts';
import { type TrainingRun, train } from './train.ts';

const alone = await joinReplicaGroup({
  rank: 0,
  worldSize: 1,
  masterAddress: '',
  masterPort: 0,
  fingerprint: '',
  timeoutMs: 0,
});

/** Replicas that add up by waiting for each other in this process. */
function pair(): ReplicaGroup[] {
  let first: { values: Float32Array | Float64Array; done(): void } | undefined;
  return [0, 1].map((rank) => ({
    rank,
    worldSize: 2,
    async sum(values) {
      if (!first) {
        return new Promise<void>((done) => {
          first = { values, done };
        });
      }
      const other = first;
      first = undefined;
      for (let i = 0; i < values.length; i++) values[i] = (values[i] as number) + (other.values[i] as number);
      other.values.set(values);
      other.done();
    },
    async barrier() {},
    async leave() {},
  }));
}

const OPTIONS = {
  microBatchSize: 2,
  globalBatchSize: 4,
  sequenceLength: 4,
  trainIterations: 4,
  learningRate: 0.1,
  minLearningRate: 0,
  warmupIterations: 2,
  decayIterations: 4,
  saveDirectory: '/nas/out',
  saveInterval: undefined,
  evalInterval: undefined,
} as unknown as TrainerOptions;

const stream = {
  prefix: 'counting',
  tokenCount: 41,
  tokens: async (from: number, count: number) => Int32Array.from({ length: count }, (_, i) => (from + i) % 8),
};

/** A trainer of one parameter whose gradient and loss are the mean number of the windows it is given. */
function countingTrainer() {
  const applied: { gradient: number; rate: number }[] = [];
  const mean = (ids: Int32Array) => ids.reduce((sum, id) => sum + id, 0) / ids.length;
  const trainer = {
    gradients: async (ids: Int32Array) => ({ loss: mean(ids), gradients: Float32Array.of(mean(ids)) }),
    apply(gradients: Float32Array, rate: number) {
      applied.push({ gradient: gradients[0] as number, rate });
      return { gradNorm: gradients[0] as number };
    },
    evaluate: async (ids: Int32Array) => mean(ids),
  } as unknown as Trainer;
  return { trainer, applied };
}

/** The window number is its only id. */
const windows = { count: 10, sequenceLength: 4, read: async (numbers: ArrayLike<number>) => Int32Array.from(numbers) };

async function run(changes: Partial<TrainingRun> & { options?: TrainerOptions } = {}) {
  const lines: string[] = [];
  const saves: number[] = [];
  const outcome = await train({
    options: OPTIONS,
    group: alone,
    trainer: countingTrainer().trainer,
    samples: windows,
    order: (sample) => sample,
    validation: undefined,
    printFirst: (line) => lines.push(line),
    printLast: (line) => lines.push(line),
    save: async (iteration) => {
      saves.push(iteration);
      lines.push(`save ${iteration}`);
    },
    isStopRequested: () => false,
    ...changes,
  });
  return { lines, saves, outcome };
}

/** What each line is about, in order. */
function kinds(lines: string[]): string[] {
  return lines
    .filter((line) => !line.startsWith('---'))
    .map(
      (line) =>
        / iteration +(\d+)\//.exec(line)?.[1] ?? line.replace(/(\[.*\]|loss at .*?) (datetime|\|).*/, '$1').trim(),
    );
}

const lossOf = (line: string): number => Number(/lm loss: (\S+)/.exec(line)?.[1]);

describe('train', () => {
  it('applies the mean over micro-batches and replicas, at the rate of the updates made before', async () => {
    const counting = [countingTrainer(), countingTrainer()];
    const options = { ...OPTIONS, globalBatchSize: 8 };
    const groups = pair();
    const logs = await Promise.all(
      groups.map((group, i) => run({ options, group, trainer: counting[i]?.trainer as Trainer })),
    );
    // Samples 0 … 7 of the first iteration have the mean 3.5, the next eight 11.5, and so on.
    const [first, second] = counting.map(({ applied }) => applied);
    expect(first?.map(({ gradient }) => gradient)).toEqual([3.5, 11.5, 19.5, 27.5]);
    expect(second).toEqual(first);
    // Warm-up over 2 of 4, then half a cosine: 0, 0.05, 0.1, and 0.05 half way down.
    expect(first?.map(({ rate }) => Number(rate.toFixed(12)))).toEqual([0, 0.05, 0.1, 0.05]);
    const printed = logs[1]?.lines.filter((line) => line.includes('lm loss:')) ?? [];
    expect(printed.map(lossOf)).toEqual([3.5, 11.5, 19.5, 27.5]);
    expect(printed[1]).toContain('| consumed samples:           16 |');
    expect(printed.map((line) => /learning rate: (\S+)/.exec(line)?.[1])).toEqual([
      '5.000000E-02',
      '1.000000E-01',
      '5.000000E-02',
      '0.000000E+00',
    ]);
  });

  it('saves at the interval and at the end, then validates', async () => {
    const options = { ...OPTIONS, saveInterval: 3 };
    const { lines, outcome } = await run({ options, validation: { ...windows, count: 2 } });
    expect(outcome).toBe('finished');
    expect(kinds(lines)).toEqual([
      '[before the start of training step]',
      '1',
      '2',
      '3',
      'save 3',
      '4',
      '[after training is done]',
      'save 4',
      'validation loss at iteration 4 on validation set',
    ]);
  });

  it('does not save twice when the last iteration is a multiple of the interval', async () => {
    expect((await run({ options: { ...OPTIONS, saveInterval: 2 } })).saves).toEqual([2, 4]);
    expect((await run({ options: { ...OPTIONS, saveDirectory: undefined } })).saves).toEqual([]);
  });

  it('validates at its interval before it saves', async () => {
    const options = { ...OPTIONS, evalInterval: 2, saveInterval: 2, trainIterations: 2 };
    const { lines } = await run({ options, validation: windows });
    expect(kinds(lines).slice(2)).toEqual([
      '2',
      'validation loss at iteration 2',
      'save 2',
      '[after training is done]',
      'validation loss at iteration 2 on validation set',
    ]);
  });

  it('stops after the iteration in which any replica was told to, on all of them, and saves nothing', async () => {
    const options = { ...OPTIONS, saveInterval: 1 };
    let asked = 0;
    const logs = await Promise.all(
      pair().map((group) => run({ options, group, isStopRequested: () => group.rank === 0 && ++asked === 2 })),
    );
    for (const { lines, saves, outcome } of logs) {
      expect(outcome).toBe('stopped');
      expect(saves).toEqual([1]);
      expect(kinds(lines).slice(-2)).toEqual(['2', '[exiting program after receiving SIGTERM.]']);
    }
  });

  it('ends with the line of the iteration when the loss is not a number', async () => {
    const lines: string[] = [];
    const nan = {
      ...countingTrainer().trainer,
      gradients: async () => ({ loss: Number.NaN, gradients: Float32Array.of(1) }),
    };
    const failing = run({ trainer: nan, printLast: (line) => lines.push(line) });
    await expect(failing).rejects.toMatchObject({ code: 'CPT_TRAIN_DIVERGED' });
    expect(lines.at(-1)).toContain('number of nan iterations:   1 |');
  });
});

describe('train with a real model', () => {
  const shape: ModelShape = {
    layers: 1,
    hiddenSize: 8,
    ffnHiddenSize: 16,
    heads: 2,
    queryGroups: 1,
    headDim: 4,
    vocabSize: 8,
    normEpsilon: 1e-6,
    ropeTheta: 10_000,
    isTied: false,
    hasQkvBias: true,
  };
  const options = {
    ...OPTIONS,
    trainIterations: 30,
    decayIterations: 30,
    learningRate: 0.02,
    saveDirectory: undefined,
  };

  async function losses(groups: readonly ReplicaGroup[], microBatchSize: number) {
    const samples = openSamples(stream, 4);
    const trainers = await Promise.all(
      groups.map(() => createTrainer({ shape, microBatchSize, sequenceLength: 4, seed: 1, initStd: 0.02 })),
    );
    const logs = await Promise.all(
      groups.map((group, i) =>
        run({
          options: { ...options, microBatchSize },
          group,
          samples,
          order: shuffledOrder(samples.count, 1),
          trainer: trainers[i] as Trainer,
        }),
      ),
    );
    const parameters = trainers.map((trainer) => [...trainer.parameters.values()].flatMap(({ data }) => [...data]));
    await Promise.all(trainers.map((trainer) => trainer.close()));
    return { parameters, losses: logs[0]?.lines.filter((line) => line.includes('lm loss:')).map(lossOf) ?? [] };
  }

  it('learns the same whether a batch is one, two micro-batches, or two replicas, which stay equal bit by bit', async () => {
    const whole = await losses([alone], 4);
    const accumulated = await losses([alone], 2);
    const replicated = await losses(pair(), 2);
    expect(whole.losses[0]).toBeCloseTo(Math.log(8), 1); // a uniform guess over 8 tokens
    expect(whole.losses.at(-1)).toBeLessThan(1);
    for (const [i, loss] of whole.losses.entries()) {
      expect(accumulated.losses[i]).toBeCloseTo(loss, 3);
      expect(replicated.losses[i]).toBeCloseTo(loss, 3);
    }
    expect(replicated.parameters[0]).toEqual(replicated.parameters[1]);
  });
});
