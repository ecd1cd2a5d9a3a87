import { commitCheckpoint, type ModelConfig, writeMegatronRankFiles } from '@pai-cpt/ckpt-convert';
import { parameterWeights, type Trainer } from '@pai-cpt/model-runner';
import type { ReplicaGroup } from './all-reduce.ts';
import { savedLine, savingLine } from './log-lines.ts';
import type { TrainerOptions } from './options.ts';

/** What a save needs besides the iteration. */
export interface CheckpointTarget {
  readonly directory: string;
  readonly options: TrainerOptions;
  readonly vocabSize: number;
  readonly group: ReplicaGroup;
  readonly parameters: Trainer['parameters'];
  print(line: string): void;
}

/**
 * Writes `iter_…` in bf16, each replica the stages that are its own, and then names it in the tracker file. All replicas
 * hold equal parameters, so it does not matter which of them writes what. The tracker comes last: a run that ends while
 * it saves leaves the checkpoint before it as the newest.
 */
export async function saveCheckpoint(target: CheckpointTarget, iteration: number): Promise<void> {
  const { directory, options, group, parameters, print } = target;
  const what = `saving iteration ${iteration}`;
  print(savingLine(iteration, directory));
  await writeMegatronRankFiles({
    directory,
    iteration,
    model: modelConfig(options, target.vocabSize),
    parallel: options,
    ranks: ownRanks(options, group),
    tensors: parameterWeights(parameters),
    dtype: 'BF16',
    args: runArgs(options, iteration),
  });
  await group.barrier(what);
  if (group.rank === 0) await commitCheckpoint(directory, iteration);
  await group.barrier(what);
  print(savedLine(iteration, directory, options));
}

/** The rank files that one replica writes: all tensor ranks of the stages which fall to it. */
export function ownRanks(
  { tensorParallelSize, pipelineParallelSize }: Pick<TrainerOptions, 'tensorParallelSize' | 'pipelineParallelSize'>,
  { rank, worldSize }: Pick<ReplicaGroup, 'rank' | 'worldSize'>,
): { tensorRank: number; pipelineStage: number }[] {
  const stages = Array.from({ length: pipelineParallelSize }, (_, stage) => stage).filter(
    (stage) => stage % worldSize === rank,
  );
  return stages.flatMap((pipelineStage) =>
    Array.from({ length: tensorParallelSize }, (_, tensorRank) => ({ tensorRank, pipelineStage })),
  );
}

function modelConfig(options: TrainerOptions, vocabSize: number): ModelConfig {
  const { layers, hiddenSize, ffnHiddenSize, heads, queryGroups, headDim, normEpsilon, ropeTheta } = options;
  const { isTied, hasQkvBias, maxPositionEmbeddings } = options;
  const sizes = { layers, hiddenSize, ffnHiddenSize, heads, queryGroups, headDim, vocabSize };
  return { family: 'qwen2', ...sizes, normEpsilon, ropeTheta, isTied, hasQkvBias, maxPositionEmbeddings };
}

/** Fields of `args` that belong to the run and not to the model. */
function runArgs(options: TrainerOptions, iteration: number) {
  const { learningRate, minLearningRate, initStd, weightDecay, betas, clipGrad } = options;
  const float = (value: number) => ({ kind: 'float', value }) as const;
  return {
    seq_length: options.sequenceLength,
    micro_batch_size: options.microBatchSize,
    global_batch_size: options.globalBatchSize,
    train_iters: options.trainIterations,
    consumed_train_samples: iteration * options.globalBatchSize,
    lr: float(learningRate),
    min_lr: float(minLearningRate),
    lr_decay_style: 'cosine',
    lr_decay_iters: options.decayIterations,
    lr_warmup_iters: options.warmupIterations,
    weight_decay: float(weightDecay),
    adam_beta1: float(betas[0]),
    adam_beta2: float(betas[1]),
    clip_grad: float(clipGrad),
    init_method_std: float(initStd),
    seed: options.seed,
  };
}
