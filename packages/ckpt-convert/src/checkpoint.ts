import type { Dtype, Shape } from '@pai-cpt/core';
import type { FamilyName } from './families/index.ts';
import { type IterationChoice, locateCheckpoint } from './locate-checkpoint.ts';
import type { ArgsNamespace, HfConfig, ModelConfig } from './model-config.ts';
import { openTorchCheckpoint } from './open-torch.ts';
import { openTorchDistCheckpoint } from './open-torch-dist.ts';

/**
 * A Megatron checkpoint with global names, whatever files it lies in: the seam between formats. A format is one function that
 * returns this; everything behind it (resolving, planning, copying, verifying) is the same for all.
 */
export interface MegatronCheckpoint {
  readonly format: 'torch' | 'torch_dist';
  /** The directory of the iteration itself. */
  readonly directory: string;
  /** 0 for a `release`. */
  readonly iteration: number;
  /** How the shards lie; 1 × 1 for a distributed checkpoint, whose tensors are global whoever wrote them. */
  readonly parallel: ParallelLayout;
  /** Of each chunk in the order of the model: one a pipeline stage, with virtual stages all stages' chunk 0, then all chunk 1. */
  readonly layersPerStage: readonly number[];
  readonly modelConfig: ModelConfig;
  /** Rows of the embedding over all ranks, padding included. */
  readonly paddedVocabSize: number;
  /** The families whose tables fit the names; more than one where only a config.json can tell. */
  readonly families: readonly FamilyName[];
  readonly args: ArgsNamespace | undefined;
  /** What disagreed without making the result wrong; each line says which value was used. */
  readonly problems: readonly string[];
  parameters(): readonly MegatronParameter[];
  /** Reads `target.length` bytes of a rank file synchronously: the hot loops read tens of thousands of blocks. */
  readInto: ReadInto;
  /**
   * Reads every file against its own checksums.
   * @returns how many files had any. @throws FormatError `CPT_ZIP_CRC`.
   */
  verifyChecksums(signal?: AbortSignal): Promise<number>;
  close(): Promise<void>;
}

export interface ParallelLayout {
  readonly tensorParallelSize: number;
  readonly pipelineParallelSize: number;
  readonly virtualStages: number;
}

/** A parameter under its global name. */
export interface MegatronParameter {
  /** Global layer number, names of the Transformer Engine spec. */
  readonly megatronName: string;
  /** As the rank file spells it: layer number counted from the chunk's first, either spec. */
  readonly localName: string;
  /** Of its chunk in the order of `layersPerStage`; the stage itself where there are no virtual ones. */
  readonly pipelineStage: number;
  readonly dtype: Dtype;
  /** One per tensor rank, in rank order. */
  readonly shards: readonly PlacedShard[];
}

/** A view of one rank file. Which part of the global tensor it is follows from its rank and the family table. */
export interface PlacedShard {
  readonly tensorRank: number;
  readonly file: string;
  /** Of the first element, in the file. */
  readonly byteOffset: number;
  readonly shape: Shape;
  /** In elements; not always packed: Megatron saves views of one large buffer. */
  readonly stride: readonly number[];
}

export type ReadInto = (file: string, position: number, target: Uint8Array) => void;

export interface OpenCheckpointOptions {
  /** Which `iter_…` directory, or `release`; default: what the tracker file says, or the newest. */
  readonly iteration?: IterationChoice;
  /** The parsed config.json of the model the training started from; needed when the files carry no `args`. */
  readonly reference?: HfConfig;
  /** Rows to keep of the vocabulary; overrides the reference and the files. */
  readonly vocabSize?: number;
  readonly signal?: AbortSignal;
}

/**
 * Opens a checkpoint directory: reads names, shapes and `args` of every rank file and no tensor. Accepts the root with its
 * tracker file, one `iter_…` or `release` directory, or one rank file. Close it.
 * @throws InvalidInputError `CPT_INPUT_CHECKPOINT_MISSING`, FormatError `CPT_FORMAT_RANK_GRID`, `CPT_FORMAT_RANK_FILE`,
 * `CPT_FORMAT_RANKS_DIFFER`, `CPT_FORMAT_PIPELINE_LAYERS`, `CPT_FORMAT_DIST_METADATA`, `CPT_FORMAT_DIST_CHUNKS`, UnsupportedError `CPT_UNSUPPORTED_CHECKPOINT`,
 * `CPT_UNSUPPORTED_MODEL`.
 */
export async function openMegatronCheckpoint(
  path: string,
  options: OpenCheckpointOptions = {},
): Promise<MegatronCheckpoint> {
  const located = await locateCheckpoint(path, options.iteration);
  return located.format === 'torch' ? openTorchCheckpoint(located, options) : openTorchDistCheckpoint(located, options);
}
