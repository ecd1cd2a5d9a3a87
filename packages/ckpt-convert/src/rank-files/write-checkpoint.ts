import { join, relative } from 'node:path';
import { type Dtype, tensorBytes } from '@pai-cpt/core';
import type { WritableValue } from '@pai-cpt/torch-checkpoint';
import { type CastOptions, writtenDtype } from '../cast.ts';
import type { ParallelLayout, ReadInto } from '../checkpoint.ts';
import type { Progress, WrittenFile } from '../execute.ts';
import type { GlobalParameter } from '../global-parameters.ts';
import type { HfFiles } from '../hf-files.ts';
import { iterationDirectoryName } from '../locate-checkpoint.ts';
import { argsOf } from '../megatron-args.ts';
import type { ModelConfig } from '../model-config.ts';
import { type ResourceUse, writeTextFile } from '../node.ts';
import { type RankGrid, requireDivisible } from '../rank-grid.ts';
import { type LayerSpec, type PadFill, planRankFile } from '../rank-plan.ts';
import {
  allRanks,
  commitCheckpoint,
  paddedVocabSize,
  rankFileHead,
  rankFilePath,
  VOCAB_MULTIPLE,
} from '../write-torch.ts';
import { loadFlags } from './load-flags.ts';
import { copyIntoPlace, openPendingDirectory } from './node.ts';
import { writeStage } from './write-stage.ts';

/** What the commands that write rank files have in common. */
export interface GridOptions extends CastOptions {
  readonly output: string;
  readonly parallel: RankGrid;
  /** Default `te`, or for a reshard what the source has. */
  readonly spec?: LayerSpec;
  readonly vocabSize?: number;
  /** Megatron's `--make-vocab-size-divisible-by`; default 128, or for a reshard what the source has. */
  readonly vocabMultiple?: number;
  readonly padFill?: PadFill;
  /** Replaces the iteration that the output holds. */
  readonly force?: boolean;
  onProgress?(progress: Progress): void;
  readonly signal?: AbortSignal;
}

export interface RankFilesResult extends ResourceUse {
  /** Parameters, each counted once whatever the number of ranks. */
  readonly tensors: number;
  /** Of all tensors in all rank files: replicas, copies and padding included. */
  readonly bytes: number;
  /** Rank files; names are paths inside the output. */
  readonly files: readonly WrittenFile[];
  readonly iteration: number | 'release';
  readonly model: ModelConfig;
  readonly parallel: ParallelLayout;
  readonly paddedVocabSize: number;
  readonly notes: readonly string[];
  /** What Megatron must be given to load this. */
  readonly loadFlags: readonly string[];
  readonly resumed: false;
}

export interface CheckpointContent {
  readonly model: ModelConfig;
  readonly iteration: number | 'release';
  readonly spec: LayerSpec;
  readonly vocabMultiple?: number;
  readonly parameters: ReadonlyMap<string, GlobalParameter>;
  readInto: ReadInto;
  /** Fields of `args` that the source had; the ones that describe the new files win. */
  readonly args: Readonly<Record<string, WritableValue>>;
  /** Files for the root, given the dtype that is written. */
  companions(dtype: Dtype): Promise<HfFiles | undefined>;
}

/**
 * Writes a whole checkpoint. The iteration's directory is made under a hidden name and renamed when all rank files are on the
 * disk; the tracker file, which makes it the one that is loaded, comes last.
 */
export async function writeCheckpoint(content: CheckpointContent, options: GridOptions) {
  const { model, iteration, parameters, spec } = content;
  const { output, parallel: grid, padFill = 'repeat' } = options;
  const vocabMultiple = options.vocabMultiple ?? content.vocabMultiple ?? VOCAB_MULTIPLE;
  requireDivisible(model, grid);
  for (const [name, { dtype }] of parameters) writtenDtype(name, dtype, options);
  const embedding = parameters.get('embedding.word_embeddings.weight') as GlobalParameter;
  const dtype = options.dtype ?? embedding.dtype;
  const companions = await content.companions(dtype);
  const paddedRows = paddedVocabSize(model.vocabSize, grid.tensorParallelSize, vocabMultiple);
  const iterationNumber = iteration === 'release' ? 0 : iteration;
  const own = argsOf({
    model,
    grid,
    spec,
    paddedVocabSize: paddedRows,
    vocabMultiple,
    dtype,
    iteration: iterationNumber,
  });
  const head = rankFileHead({ ...content.args, ...own, ...sequenceLength(content.args) }, iterationNumber);
  const planOptions = { model, grid, spec, padFill, paddedVocabSize: paddedRows, dtype: options.dtype };
  const plans = allRanks(grid).map(({ tensorRank, pipelineStage }) =>
    planRankFile(planOptions, parameters, tensorRank, pipelineStage),
  );
  const totalBytes = plans
    .flatMap(({ chunks }) => chunks.flatMap(({ tensors }) => tensors))
    .reduce((sum, tensor) => sum + tensorBytes(tensor.shape, tensor.dtype), 0);
  const directoryName = iteration === 'release' ? 'release' : iterationDirectoryName(iteration);
  const pending = await openPendingDirectory(join(output, directoryName));
  const files: WrittenFile[] = [];
  let doneBytes = 0;
  const nameOf = (path: string) => join(directoryName, relative(pending.path, path));
  const io = {
    readInto: content.readInto,
    onBytes(bytes: number, path: string) {
      doneBytes += bytes;
      options.onProgress?.({ doneBytes, totalBytes, file: nameOf(path) });
    },
    ...(options.signal && { signal: options.signal }),
  };
  try {
    for (let stage = 0; stage < grid.pipelineParallelSize; stage++) {
      const targets = plans
        .filter(({ pipelineStage }) => pipelineStage === stage)
        .map((plan) => ({ path: rankFilePath(pending.path, plan.tensorRank, stage, grid), plan, head }));
      const written = await writeStage(targets, io);
      files.push(...written.map(({ path, bytes, sha256 }) => ({ name: nameOf(path), bytes, sha256 })));
    }
    await pending.commit();
  } finally {
    await pending.discard();
  }
  for (const { name, content: text } of companions?.contents ?? []) await writeTextFile(join(output, name), text);
  for (const { name, from } of companions?.copies ?? []) await copyIntoPlace(from, join(output, name));
  await commitCheckpoint(output, iteration);
  const { tensorParallelSize, pipelineParallelSize, virtualStages = 1 } = grid;
  return {
    tensors: parameters.size,
    bytes: totalBytes,
    files,
    iteration,
    model,
    parallel: { tensorParallelSize, pipelineParallelSize, virtualStages },
    paddedVocabSize: paddedRows,
    patches: companions?.patches ?? [],
    loadFlags: loadFlags({ output, model, grid, spec, vocabMultiple }),
    resumed: false as const,
  };
}

/** How long the sequences of the run were; `args` made from a model alone can only say how long they may be. */
function sequenceLength({ seq_length: length }: CheckpointContent['args']): Record<string, WritableValue> {
  return length === undefined || length === null ? {} : { seq_length: length };
}
