import { join } from 'node:path';
import { type Dtype, InvalidInputError, type Shape } from '@pai-cpt/core';
import { float, namespace, type WritableValue } from '@pai-cpt/torch-checkpoint';
import { parametersOfHf } from './global-parameters.ts';
import { iterationDirectoryName, rankDirectoryName, TRACKER_FILE } from './locate-checkpoint.ts';
import { argsOf } from './megatron-args.ts';
import type { ModelConfig } from './model-config.ts';
import { writeTextFile } from './node.ts';
import { openPendingFiles } from './rank-files/node.ts';
import { rankFilePart } from './rank-files/torch-parts.ts';
import { writeStage } from './rank-files/write-stage.ts';
import { type RankGrid, requireDivisible } from './rank-grid.ts';
import { type LayerSpec, planRankFile } from './rank-plan.ts';

/** Whole tensors under their Hugging Face names. */
export interface HfTensors {
  shapeOf(name: string): { readonly dtype: Dtype; readonly shape: Shape } | undefined;
  /** All bytes, packed, in the dtype that `shapeOf` gives. */
  read(name: string): Promise<Uint8Array>;
}

export interface WriteRankFilesOptions {
  /** The checkpoint root; `iter_…` is made in it. */
  readonly directory: string;
  readonly iteration: number;
  readonly model: ModelConfig;
  readonly parallel: RankGrid;
  /** Which rank files to write; all by default. Processes may share the work. */
  readonly ranks?: readonly { readonly tensorRank: number; readonly pipelineStage: number }[];
  readonly tensors: HfTensors;
  /** Of the written weights; F32 and BF16 are converted into each other. */
  readonly dtype: Dtype;
  /** Default `te`. */
  readonly spec?: LayerSpec;
  /** More fields of `args`, or other values for ours. */
  readonly args?: Readonly<Record<string, WritableValue>>;
}

/** Megatron pads the vocabulary to a multiple of this times the number of tensor ranks. */
export const VOCAB_MULTIPLE = 128;

/** Rows of the embedding over all ranks; `multiple` is Megatron's `--make-vocab-size-divisible-by`. */
export function paddedVocabSize(vocabSize: number, tensorParallelSize: number, multiple = VOCAB_MULTIPLE): number {
  const step = multiple * tensorParallelSize;
  return Math.ceil(vocabSize / step) * step;
}

/**
 * Writes rank files as Megatron-Core names them, loadable by `torch.load(weights_only=True)`. Padding rows repeat the last
 * token's row. One parameter is held at a time. Call `commitCheckpoint` when all ranks are written.
 * @returns the paths written.
 * @throws InvalidInputError `CPT_CONFIG_MODEL` when a size does not divide among the ranks or a tensor is of another model,
 * MappingError `CPT_MAPPING_NAMES` when one is missing.
 */
export async function writeMegatronRankFiles(options: WriteRankFilesOptions): Promise<string[]> {
  const { directory, iteration, model, parallel: grid, tensors, dtype, spec = 'te' } = options;
  requireDivisible(model, grid);
  const paddedRows = paddedVocabSize(model.vocabSize, grid.tensorParallelSize);
  const parameters = parametersOfHf(model, (file) => {
    const found = tensors.shapeOf(file);
    return found && { ...found, file, byteOffset: 0 };
  });
  const planOptions = { model, grid, spec, padFill: 'repeat', paddedVocabSize: paddedRows, dtype } as const;
  const args = argsOf({
    model,
    grid,
    spec,
    paddedVocabSize: paddedRows,
    vocabMultiple: VOCAB_MULTIPLE,
    dtype,
    iteration,
  });
  const head = rankFileHead({ ...args, ...options.args }, iteration);
  const root = join(directory, iterationDirectoryName(iteration));
  const ranks = options.ranks ?? allRanks(grid);
  const files = openPendingFiles();
  const io = { ...memoryIo(tensors), createOutput: files.create };
  for (const stage of new Set(ranks.map(({ pipelineStage }) => pipelineStage))) {
    const targets = ranks
      .filter(({ pipelineStage }) => pipelineStage === stage)
      .map(({ tensorRank }) => ({
        path: rankFilePath(root, tensorRank, stage, grid),
        parts: [rankFilePart(planRankFile(planOptions, parameters, tensorRank, stage), head)],
      }));
    await writeStage(targets, io).finally(files.discard);
  }
  return ranks.map(({ tensorRank, pipelineStage }) => rankFilePath(root, tensorRank, pipelineStage, grid));
}

/** Names `iteration` in the tracker file: from now on it is the checkpoint that is loaded. */
export async function commitCheckpoint(directory: string, iteration: number | 'release'): Promise<void> {
  await writeTextFile(join(directory, TRACKER_FILE), String(iteration));
}

/** What comes before the model. Loaders ask for all three; 3.0 is the version that has query groups in one run of rows. */
export function rankFileHead(args: Readonly<Record<string, WritableValue>>, iteration: number) {
  return [
    ['args', namespace(args)],
    ['checkpoint_version', float(3)],
    ['iteration', iteration],
  ] as const satisfies (readonly [string, WritableValue])[];
}

export function rankFilePath(root: string, tensorRank: number, pipelineStage: number, grid: RankGrid): string {
  return join(root, rankDirectoryName(tensorRank, pipelineStage, grid.pipelineParallelSize), 'model_optim_rng.pt');
}

/** Every rank of a grid, stage by stage. */
export function allRanks({ tensorParallelSize, pipelineParallelSize }: RankGrid) {
  return Array.from({ length: tensorParallelSize * pipelineParallelSize }, (_, index) => ({
    tensorRank: index % tensorParallelSize,
    pipelineStage: Math.floor(index / tensorParallelSize),
  }));
}

/** Reads out of the tensors of one parameter, which are loaded before and dropped after it. */
function memoryIo(tensors: HfTensors) {
  let loaded = new Map<string, Uint8Array>();
  return {
    async prepare({ sources }: { readonly sources: readonly { readonly file: string }[] }) {
      loaded = new Map();
      for (const file of new Set(sources.map((source) => source.file))) loaded.set(file, await tensors.read(file));
    },
    readInto(file: string, position: number, target: Uint8Array) {
      const bytes = loaded.get(file);
      if (!bytes || position + target.byteLength > bytes.byteLength) {
        const found = bytes?.byteLength ?? 0;
        const need = `bytes ${position} to ${position + target.byteLength} are needed, ${found} were read`;
        throw new InvalidInputError('CPT_CONFIG_MODEL', `"${file}": ${need}`, { names: [file] });
      }
      target.set(bytes.subarray(position, position + target.byteLength));
    },
  };
}
