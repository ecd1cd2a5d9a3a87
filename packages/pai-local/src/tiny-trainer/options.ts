import { parseArgs } from 'node:util';
import { InvalidInputError } from '@pai-cpt/core';

/** One training run, as Megatron's long options describe it. */
export interface TrainerOptions {
  readonly layers: number;
  readonly hiddenSize: number;
  readonly ffnHiddenSize: number;
  readonly heads: number;
  readonly queryGroups: number;
  readonly headDim: number;
  readonly normEpsilon: number;
  readonly ropeTheta: number;
  readonly isTied: boolean;
  readonly hasQkvBias: boolean;
  readonly maxPositionEmbeddings: number;
  readonly initStd: number;
  readonly microBatchSize: number;
  readonly globalBatchSize: number;
  readonly sequenceLength: number;
  readonly trainIterations: number;
  readonly learningRate: number;
  readonly minLearningRate: number;
  /** Below 0 for a warm-up that ended so many iterations ago. */
  readonly warmupIterations: number;
  /** Rate at which the warm-up begins. */
  readonly warmupInit: number;
  readonly decayIterations: number;
  readonly weightDecay: number;
  readonly betas: readonly [number, number];
  readonly clipGrad: number;
  readonly seed: number;
  readonly tensorParallelSize: number;
  readonly pipelineParallelSize: number;
  readonly saveDirectory: string | undefined;
  readonly saveInterval: number | undefined;
  readonly loadDirectory: string | undefined;
  readonly dataPath: string;
  readonly validDataPath: string | undefined;
  readonly evalInterval: number | undefined;
  readonly distributedTimeoutMs: number;
}

/** Where this replica stands among the pods of the job, from the variables that DLC sets in every pod. */
export interface Placement {
  readonly rank: number;
  readonly worldSize: number;
  readonly masterAddress: string;
  readonly masterPort: number;
}

const text = { type: 'string' } as const;
const flag = { type: 'boolean' } as const;

/**
 * Every option that is understood. Those of the second group describe how GPUs share the work or the memory; the
 * result of the run does not depend on them, so they are accepted and change nothing here.
 */
const OPTIONS = {
  'num-layers': text,
  'hidden-size': text,
  'ffn-hidden-size': text,
  'num-attention-heads': text,
  'group-query-attention': flag,
  'num-query-groups': text,
  'kv-channels': text,
  'norm-epsilon': text,
  'rotary-base': text,
  'untie-embeddings-and-output-weights': flag,
  'add-qkv-bias': flag,
  'max-position-embeddings': text,
  'init-method-std': text,
  'micro-batch-size': text,
  'global-batch-size': text,
  'seq-length': text,
  'train-iters': text,
  lr: text,
  'min-lr': text,
  'lr-warmup-iters': text,
  'lr-warmup-init': text,
  'lr-decay-iters': text,
  'weight-decay': text,
  'adam-beta1': text,
  'adam-beta2': text,
  'clip-grad': text,
  seed: text,
  'tensor-model-parallel-size': text,
  'pipeline-model-parallel-size': text,
  save: text,
  'save-interval': text,
  load: text,
  'data-path': text,
  'valid-data-path': text,
  'eval-interval': text,
  'distributed-timeout-minutes': text,

  bf16: flag,
  'sequence-parallel': flag,
  'tp-comm-overlap': flag,
  'use-distributed-optimizer': flag,
  'recompute-activations': flag,
  'use-flash-attn': flag,
  'no-load-optim': flag,
  'no-load-rng': flag,
  'no-save-optim': flag,
} as const;

type OptionName = keyof typeof OPTIONS;
type Values = { readonly [name in OptionName]?: string | boolean };

/**
 * The run that `args` describe.
 * @throws InvalidInputError `CPT_INPUT_INVALID` naming the option, for an unknown one, a missing or unreadable value, or
 * numbers that cannot be combined.
 */
export function parseTrainerOptions(args: readonly string[]): TrainerOptions {
  const values = readValues(args);
  const heads = wholeNumber(values, 'num-attention-heads', 1);
  const hiddenSize = wholeNumber(values, 'hidden-size', 1);
  const trainIterations = wholeNumber(values, 'train-iters', 1);
  const options: TrainerOptions = {
    layers: wholeNumber(values, 'num-layers', 1),
    hiddenSize,
    ffnHiddenSize: wholeNumber(values, 'ffn-hidden-size', 1),
    heads,
    queryGroups: values['group-query-attention'] ? wholeNumber(values, 'num-query-groups', 1) : heads,
    headDim: wholeNumber(values, 'kv-channels', 1, hiddenSize / heads),
    normEpsilon: number(values, 'norm-epsilon', 1e-5),
    ropeTheta: number(values, 'rotary-base', 10_000),
    isTied: !values['untie-embeddings-and-output-weights'],
    hasQkvBias: Boolean(values['add-qkv-bias']),
    maxPositionEmbeddings: wholeNumber(values, 'max-position-embeddings', 1),
    initStd: number(values, 'init-method-std', 0.02),
    microBatchSize: wholeNumber(values, 'micro-batch-size', 1),
    globalBatchSize: wholeNumber(values, 'global-batch-size', 1),
    sequenceLength: wholeNumber(values, 'seq-length', 1),
    trainIterations,
    learningRate: number(values, 'lr'),
    minLearningRate: number(values, 'min-lr', 0),
    warmupIterations: wholeNumber(values, 'lr-warmup-iters', Number.MIN_SAFE_INTEGER, 0),
    warmupInit: number(values, 'lr-warmup-init', 0),
    decayIterations: wholeNumber(values, 'lr-decay-iters', 1, trainIterations),
    weightDecay: number(values, 'weight-decay', 0.1),
    betas: [number(values, 'adam-beta1', 0.9), number(values, 'adam-beta2', 0.95)],
    clipGrad: number(values, 'clip-grad', 1),
    seed: wholeNumber(values, 'seed', 0, 1234),
    tensorParallelSize: wholeNumber(values, 'tensor-model-parallel-size', 1, 1),
    pipelineParallelSize: wholeNumber(values, 'pipeline-model-parallel-size', 1, 1),
    saveDirectory: path(values, 'save'),
    saveInterval: optionalWholeNumber(values, 'save-interval'),
    loadDirectory: path(values, 'load'),
    dataPath: requiredPath(values, 'data-path'),
    validDataPath: path(values, 'valid-data-path'),
    evalInterval: optionalWholeNumber(values, 'eval-interval'),
    distributedTimeoutMs: number(values, 'distributed-timeout-minutes', 10) * 60_000,
  };
  checkCombination(options, values);
  return options;
}

/**
 * This replica's place. `WORLD_SIZE` and `RANK` count pods, not processes, as they do in a DLC pod before torchrun.
 * @throws InvalidInputError `CPT_INPUT_INVALID` naming the variable.
 */
export function parsePlacement(env: Readonly<Record<string, string | undefined>>): Placement {
  const read = (name: string, fallback: string): number => {
    const value = env[name] ?? fallback;
    if (!/^\d{1,9}$/.test(value)) throw invalid(name, `${name} is "${value}"; it must be a whole number`);
    return Number(value);
  };
  const worldSize = read('WORLD_SIZE', '1');
  const rank = read('RANK', '0');
  const masterPort = read('MASTER_PORT', '0');
  if (rank >= worldSize) throw invalid('RANK', `RANK is ${rank}; with WORLD_SIZE ${worldSize} it must be below it`);
  if (worldSize > 1 && (masterPort < 1 || masterPort > 65_535)) {
    throw invalid('MASTER_PORT', `MASTER_PORT is ${masterPort}; ${worldSize} pods need one from 1 to 65535 to meet at`);
  }
  return { rank, worldSize, masterAddress: env.MASTER_ADDR ?? '127.0.0.1', masterPort };
}

/**
 * Micro-batches that one replica runs for each iteration.
 * @throws InvalidInputError `CPT_INPUT_INVALID` when the global batch does not divide.
 */
export function accumulationSteps(options: TrainerOptions, worldSize: number): number {
  const { globalBatchSize, microBatchSize } = options;
  const samples = microBatchSize * worldSize;
  if (globalBatchSize % samples !== 0) {
    throw invalid(
      'global-batch-size',
      `global batch size (${globalBatchSize}) is not divisible by micro batch size (${microBatchSize}) times data parallel size (${worldSize})`,
    );
  }
  return globalBatchSize / samples;
}

function readValues(args: readonly string[]): Values {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, strict: true, allowPositionals: false }).values;
  } catch (error) {
    throw invalid('arguments', error instanceof Error ? error.message : String(error), error);
  }
}

function checkCombination(options: TrainerOptions, values: Values): void {
  const { heads, hiddenSize, layers, queryGroups, tensorParallelSize: tp, pipelineParallelSize: pp } = options;
  const rules: [boolean, OptionName, string][] = [
    [hiddenSize % heads === 0, 'hidden-size', `${hiddenSize} does not divide over ${heads} attention heads`],
    [options.headDim % 2 === 0, 'kv-channels', `head dim ${options.headDim} is odd; rotary embeddings turn pairs`],
    [heads % queryGroups === 0, 'num-query-groups', `${heads} heads do not divide over ${queryGroups} query groups`],
    [heads % tp === 0, 'tensor-model-parallel-size', `${heads} attention heads do not divide over ${tp}`],
    [queryGroups % tp === 0, 'tensor-model-parallel-size', `${queryGroups} query groups do not divide over ${tp}`],
    [
      options.ffnHiddenSize % tp === 0,
      'tensor-model-parallel-size',
      `ffn hidden size ${options.ffnHiddenSize} does not divide over ${tp}`,
    ],
    [layers % pp === 0, 'pipeline-model-parallel-size', `${layers} layers do not divide over ${pp}`],
    [
      !values['tp-comm-overlap'] || Boolean(values['sequence-parallel']),
      'tp-comm-overlap',
      'tensor parallel communication can overlap only when sequence parallelism is enabled; add --sequence-parallel',
    ],
    [
      options.sequenceLength <= options.maxPositionEmbeddings,
      'seq-length',
      `${options.sequenceLength} is above --max-position-embeddings ${options.maxPositionEmbeddings}`,
    ],
    [
      options.minLearningRate >= 0 && options.minLearningRate <= options.learningRate,
      'min-lr',
      `${options.minLearningRate} must lie between 0 and --lr ${options.learningRate}`,
    ],
    [
      options.warmupInit >= 0 && options.warmupInit <= options.learningRate,
      'lr-warmup-init',
      `${options.warmupInit} must lie between 0 and --lr ${options.learningRate}`,
    ],
    [
      options.warmupIterations < options.decayIterations,
      'lr-warmup-iters',
      `${options.warmupIterations} must be below --lr-decay-iters ${options.decayIterations}`,
    ],
    [
      options.saveInterval === undefined || options.saveDirectory !== undefined,
      'save-interval',
      'it needs --save to say where',
    ],
  ];
  for (const [holds, name, why] of rules) {
    if (!holds) throw invalid(name, `--${name}: ${why}`);
  }
}

function wholeNumber(values: Values, name: OptionName, least: number, fallback?: number): number {
  const value = number(values, name, fallback);
  if (!Number.isSafeInteger(value) || value < least) {
    throw invalid(name, `--${name} is ${value}; it must be a whole number from ${least}`);
  }
  return value;
}

function optionalWholeNumber(values: Values, name: OptionName): number | undefined {
  return values[name] === undefined ? undefined : wholeNumber(values, name, 1);
}

function number(values: Values, name: OptionName, fallback?: number): number {
  const value = values[name];
  if (value === undefined && fallback !== undefined) return fallback;
  if (typeof value !== 'string') throw invalid(name, `--${name} is missing`);
  const parsed = value.trim() === '' ? Number.NaN : Number(value);
  if (!Number.isFinite(parsed)) throw invalid(name, `--${name} is "${value}"; it must be a number`);
  return parsed;
}

/** A path option; `none`, as the launcher's arguments spell it, is the same as leaving it out. */
function path(values: Values, name: OptionName): string | undefined {
  const value = values[name];
  return typeof value === 'string' && value !== '' && value !== 'none' ? value : undefined;
}

function requiredPath(values: Values, name: OptionName): string {
  const value = path(values, name);
  if (value === undefined) throw invalid(name, `--${name} is missing; it takes the path of a dataset without .bin`);
  return value;
}

function invalid(field: string, message: string, cause?: unknown): InvalidInputError {
  return new InvalidInputError('CPT_INPUT_INVALID', message, { field }, { cause });
}
