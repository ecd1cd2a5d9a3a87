import { CptError } from '@pai-cpt/core';
import { describe, expect, it } from 'vitest';
import { accumulationSteps, parsePlacement, parseTrainerOptions } from './options.ts';

const COMMAND =
  '--num-layers 4 --hidden-size 64 --ffn-hidden-size 176 --num-attention-heads 4 --group-query-attention --num-query-groups 2 --norm-epsilon 1e-6 --rotary-base 1000000 --untie-embeddings-and-output-weights --add-qkv-bias --max-position-embeddings 2048 --micro-batch-size 2 --global-batch-size 16 --seq-length 64 --train-iters 100 --lr 1e-3 --min-lr 1e-4 --lr-warmup-iters 10 --lr-decay-iters 100 --tensor-model-parallel-size 2 --pipeline-model-parallel-size 2 --bf16 --sequence-parallel --tp-comm-overlap --save /nas/out --save-interval 50 --data-path /nas/data/dataset';

/** The command above with options replaced; `undefined` takes one out. */
function args(changes: Record<string, string | undefined> = {}): string[] {
  const given = new Map(
    COMMAND.split('--')
      .filter(Boolean)
      .map((option) => option.trim().split(' '))
      .map(([name = '', value]) => [name, value]),
  );
  for (const [name, value] of Object.entries(changes))
    value === undefined ? given.delete(name) : given.set(name, value);
  return [...given].flatMap(([name, value]) =>
    value === undefined || value === '' ? [`--${name}`] : [`--${name}`, value],
  );
}

function refusal(changes: Record<string, string | undefined>): { message: string; field: unknown } {
  try {
    parseTrainerOptions(args(changes));
  } catch (error) {
    if (CptError.isInstance(error) && error.code === 'CPT_INPUT_INVALID') {
      return { message: error.message, field: error.details.field };
    }
    throw error;
  }
  throw new Error('nothing was refused');
}

describe('parseTrainerOptions', () => {
  it('reads a whole command', () => {
    expect(parseTrainerOptions(args())).toEqual({
      layers: 4,
      hiddenSize: 64,
      ffnHiddenSize: 176,
      heads: 4,
      queryGroups: 2,
      headDim: 16,
      normEpsilon: 1e-6,
      ropeTheta: 1_000_000,
      isTied: false,
      hasQkvBias: true,
      maxPositionEmbeddings: 2048,
      initStd: 0.02,
      microBatchSize: 2,
      globalBatchSize: 16,
      sequenceLength: 64,
      trainIterations: 100,
      learningRate: 1e-3,
      minLearningRate: 1e-4,
      warmupIterations: 10,
      warmupInit: 0,
      decayIterations: 100,
      weightDecay: 0.1,
      betas: [0.9, 0.95],
      clipGrad: 1,
      seed: 1234,
      tensorParallelSize: 2,
      pipelineParallelSize: 2,
      saveDirectory: '/nas/out',
      saveInterval: 50,
      loadDirectory: undefined,
      dataPath: '/nas/data/dataset',
      validDataPath: undefined,
      evalInterval: undefined,
      distributedTimeoutMs: 600_000,
    });
  });

  it("takes the launcher's none for an absent path", () => {
    const options = parseTrainerOptions(args({ load: 'none', 'valid-data-path': 'none' }));
    expect(options).toMatchObject({ loadDirectory: undefined, validDataPath: undefined });
  });

  it('has as many query groups as heads without --group-query-attention, whose default of 1 Megatron ignores', () => {
    const given = args({ 'num-query-groups': '1' }).filter((arg) => arg !== '--group-query-attention');
    expect(parseTrainerOptions(given).queryGroups).toBe(4);
  });

  it.each([
    ['lr', { lr: undefined }, '--lr is missing'],
    ['lr', { lr: 'fast' }, '--lr is "fast"; it must be a number'],
    ['train-iters', { 'train-iters': '0' }, '--train-iters is 0; it must be a whole number from 1'],
    ['train-iters', { 'train-iters': '1.5' }, 'it must be a whole number'],
    ['data-path', { 'data-path': undefined }, '--data-path is missing'],
    ['arguments', { 'no-such-option': '1' }, '--no-such-option'],
    ['arguments', { fp16: '' }, '--fp16'],
    ['tensor-model-parallel-size', { 'tensor-model-parallel-size': '4' }, '2 query groups do not divide over 4'],
    ['pipeline-model-parallel-size', { 'pipeline-model-parallel-size': '3' }, '4 layers do not divide over 3'],
    ['hidden-size', { 'hidden-size': '66', 'kv-channels': '16' }, '66 does not divide over 4'],
    ['kv-channels', { 'kv-channels': '15' }, 'head dim 15 is odd'],
    [
      'num-query-groups',
      { 'num-query-groups': '3', 'tensor-model-parallel-size': '1' },
      '4 heads do not divide over 3',
    ],
    ['tensor-model-parallel-size', { 'ffn-hidden-size': '177' }, 'ffn hidden size 177 does not divide over 2'],
    ['tp-comm-overlap', { 'sequence-parallel': undefined }, 'add --sequence-parallel'],
    ['seq-length', { 'seq-length': '4096' }, '4096 is above --max-position-embeddings 2048'],
    ['min-lr', { 'min-lr': '1' }, '1 must lie between 0 and --lr 0.001'],
    ['lr-warmup-iters', { 'lr-warmup-iters': '100' }, '100 must be below --lr-decay-iters 100'],
    ['save-interval', { save: undefined }, 'it needs --save'],
  ])('refuses a wrong %s', (field, changes, message) => {
    const refused = refusal(changes as Record<string, string | undefined>);
    expect(refused.field).toBe(field);
    expect(refused.message).toContain(message);
  });
});

describe('accumulationSteps', () => {
  it('is the global batch over micro batch and replicas', () => {
    expect(accumulationSteps(parseTrainerOptions(args()), 2)).toBe(4);
  });

  it('refuses a global batch that does not divide, in the words of Megatron', () => {
    expect(() => accumulationSteps(parseTrainerOptions(args()), 3)).toThrow(
      'global batch size (16) is not divisible by micro batch size (2) times data parallel size (3)',
    );
  });
});

describe('parsePlacement', () => {
  it("reads what DLC sets in a pod, and one pod's defaults", () => {
    const env = { MASTER_ADDR: 'dlc1-master-0', MASTER_PORT: '23456', WORLD_SIZE: '4', RANK: '3' };
    expect(parsePlacement(env)).toEqual({
      rank: 3,
      worldSize: 4,
      masterAddress: 'dlc1-master-0',
      masterPort: 23_456,
    });
    expect(parsePlacement({})).toMatchObject({ rank: 0, worldSize: 1 });
  });

  it.each([
    [{ WORLD_SIZE: '2', RANK: '2', MASTER_PORT: '1' }, 'RANK is 2; with WORLD_SIZE 2'],
    [{ WORLD_SIZE: 'two' }, 'WORLD_SIZE is "two"'],
    [{ WORLD_SIZE: '2', RANK: '1' }, 'MASTER_PORT is 0'],
    [{ WORLD_SIZE: '2', RANK: '1', MASTER_PORT: '70000' }, 'MASTER_PORT is 70000'],
  ])('refuses %o', (env, message) => {
    expect(() => parsePlacement(env)).toThrow(message);
  });
});
