import type { Dtype } from '@pai-cpt/core';
import type { WritableValue } from '@pai-cpt/torch-checkpoint';
import { type CastOptions, writtenDtype } from '../cast.ts';
import type { ParallelLayout, ReadInto } from '../checkpoint.ts';
import type { DigestKind } from '../digest/digests.ts';
import { type Estimate, estimateOutput } from '../estimate.ts';
import type { Progress, WrittenFile } from '../execute.ts';
import type { GlobalParameter } from '../global-parameters.ts';
import type { HfFiles } from '../hf-files.ts';
import { argsOf } from '../megatron-args.ts';
import type { ModelConfig } from '../model-config.ts';
import { type ResourceUse, startMeter } from '../node.ts';
import type { DiskCalls } from '../output/disk.ts';
import { planDigest, sourcePaths } from '../output/journal.ts';
import type { OutputJob } from '../output/output-job.ts';
import type { Part, PartResult } from '../output/parts.ts';
import { writeOutput } from '../output/write-output.ts';
import { type RankGrid, requireDivisible } from '../rank-grid.ts';
import type { LayerSpec, PadFill } from '../rank-plan.ts';
import type { ThreadTask } from '../threads/messages.ts';
import { executeInThreads } from '../threads/node.ts';
import { paddedVocabSize, rankFileHead, VOCAB_MULTIPLE } from '../write-torch.ts';
import { checkpointOutput, serializeHead } from './checkpoint-output.ts';
import { loadFlags } from './load-flags.ts';
import { type CheckpointFormat, planFiles } from './plan-files.ts';

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
  /** Default `torch`: one file a rank. */
  readonly format?: CheckpointFormat;
  /** Default sha256. */
  readonly digest?: DigestKind;
  /** Threads that write files at the same time; default 1. */
  readonly workers?: number;
  /** Replaces the iteration that the output holds. */
  readonly force?: boolean;
  /** Goes on with an unfinished conversion of the same source with the same options, if there is one. */
  readonly resume?: boolean;
  /** Writes this part only; others write the rest, on other machines perhaps, and the last one to end makes the output whole. */
  readonly part?: Part;
  /** Stops after the plan; nothing is written. */
  readonly dryRun?: boolean;
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
  /** Took over what an earlier run had finished. */
  readonly resumed: boolean;
  /** After a dry run: files, bytes, memory and time. */
  readonly estimate?: Estimate;
  /** With `part`: which one this was, and whether all are done. */
  readonly part?: PartResult;
}

export interface CheckpointContent {
  /** The source's own directory. */
  readonly source: string;
  readonly facts: OutputJob['facts'];
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
 * What a checkpoint will be: its files, how they are made, and what goes beside them.
 * @throws InvalidInputError `CPT_CONFIG_MODEL` for a grid that does not divide the model, `CPT_INPUT_LOSSY_CAST`.
 */
export async function planCheckpoint(content: CheckpointContent, options: GridOptions) {
  const { model, iteration, parameters, spec } = content;
  const { parallel: grid, padFill = 'repeat', format = 'torch' } = options;
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
  const args = { ...content.args, ...own, ...sequenceLength(content.args), ckpt_format: format };
  const head = rankFileHead(args, iterationNumber);
  const planOptions = { model, grid, spec, padFill, paddedVocabSize: paddedRows, dtype: options.dtype };
  const planned = await planFiles(format, planOptions, parameters, head);
  const work = checkpointOutput(planned, iteration, companions);
  const plan = planDigest(work.planned, content.source, serializeHead(head));
  return { ...work, plan, paddedRows, vocabMultiple, patches: companions?.patches ?? [] };
}

/**
 * Writes a whole checkpoint, or a part of it. The iteration's directory is made in the folder of work and renamed when all of its files
 * are on the disk; the tracker file, which makes it the one that is loaded, comes last.
 * @param task from what a thread plans it again.
 * @throws the errors of `planCheckpoint` and `writeOutput`.
 */
export async function writeCheckpoint(
  content: CheckpointContent,
  task: ThreadTask,
  options: GridOptions & { readonly isFilled: boolean },
  disk: DiskCalls,
) {
  const { model, iteration, parameters, spec } = content;
  const { output, parallel: grid, format = 'torch', digest = 'sha256', workers = 1, part } = options;
  const { planned, paddedRows, vocabMultiple, patches, ...work } = await planCheckpoint(content, options);
  const job: OutputJob = {
    ...work,
    make(names, io, more) {
      const { folder } = io;
      if (workers < 2 || folder === undefined) return work.make(names, io, more);
      const files = work.weights.filter(({ name }) => names.has(name));
      return executeInThreads(files, { task, plan: work.plan, folder, digest }, workers, more);
    },
    sourceFiles: sourcePaths(planned),
    ...{ directory: output, source: content.source, readInto: content.readInto },
    facts: { ...content.facts, iteration, ...factsOf(options, paddedRows) },
    ...{ force: options.force === true, resume: options.resume === true, isFilled: options.isFilled },
    ...(part && { part }),
  };
  const estimate = () => estimateOutput(planned, { ...startMeter()(), workers, ...(part && { part }) });
  const written = options.dryRun
    ? { files: [], resumed: false, estimate: estimate() }
    : await writeOutput(job, disk, options);
  const { tensorParallelSize, pipelineParallelSize, virtualStages = 1 } = grid;
  return {
    tensors: parameters.size,
    bytes: job.weights.reduce((sum, { byteLength }) => sum + byteLength, 0),
    ...written,
    iteration,
    model,
    parallel: { tensorParallelSize, pipelineParallelSize, virtualStages },
    paddedVocabSize: paddedRows,
    patches,
    loadFlags: loadFlags({ output, model, grid, spec, vocabMultiple, format }),
  };
}

/** The options that another thread can be given. */
export function withoutCallbacks<T extends GridOptions>({
  onProgress: _,
  signal: __,
  ...options
}: T): Omit<T, 'onProgress' | 'signal'> {
  return options;
}

/** What tells one conversion from another, in the user's words. */
function factsOf(options: GridOptions, paddedRows: number): Record<string, string | number> {
  const { tensorParallelSize, pipelineParallelSize, virtualStages, firstStageLayers, lastStageLayers } =
    options.parallel;
  const { spec, padFill, format = 'torch', dtype, digest } = options;
  const facts = {
    ...{ tp: tensorParallelSize, pp: pipelineParallelSize, vpp: virtualStages, first: firstStageLayers },
    ...{ last: lastStageLayers, spec, padFill, format, dtype, paddedRows },
    digest: digest === 'none' ? digest : undefined,
  };
  return Object.fromEntries(
    Object.entries(facts).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}

/** How long the sequences of the run were; `args` made from a model alone can only say how long they may be. */
function sequenceLength({ seq_length: length }: CheckpointContent['args']): Record<string, WritableValue> {
  return length === undefined || length === null ? {} : { seq_length: length };
}
