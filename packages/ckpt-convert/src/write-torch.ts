import { join } from 'node:path';
import { bytesPerElement, castDtype, type Dtype, InvalidInputError, type Shape, tensorBytes } from '@pai-cpt/core';
import {
  float,
  namespace,
  orderedDict,
  TorchFileWriter,
  tensorDeclaration,
  type WritableValue,
} from '@pai-cpt/torch-checkpoint';
import { composeCopies, moveRuns, reverseCopies, type ShardSteps } from './copies.ts';
import { FAMILIES } from './families/index.ts';
import { iterationDirectoryName, rankDirectoryName, TRACKER_FILE } from './locate-checkpoint.ts';
import { type Mapping, matrixSize, placeShards, shardShape, unpackRows } from './mapping.ts';
import { argsOf } from './megatron-args.ts';
import type { ModelConfig } from './model-config.ts';
import { writeFileStream, writeTextFile } from './node.ts';
import { expectedRows, outputsOf } from './resolve.ts';

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
  readonly parallel: { readonly tensorParallelSize: number; readonly pipelineParallelSize: number };
  /** Which rank files to write; all by default. Processes may share the work. */
  readonly ranks?: readonly { readonly tensorRank: number; readonly pipelineStage: number }[];
  readonly tensors: HfTensors;
  /** Of the written weights; F32 and BF16 are converted into each other. */
  readonly dtype: Dtype;
  /** More fields of `args`, or other values for ours. */
  readonly args?: Readonly<Record<string, WritableValue>>;
}

/** Megatron pads the vocabulary to a multiple of this times the number of tensor ranks. */
const VOCAB_MULTIPLE = 128;

/** Rows of the embedding over all ranks. */
export function paddedVocabSize(vocabSize: number, tensorParallelSize: number): number {
  const multiple = VOCAB_MULTIPLE * tensorParallelSize;
  return Math.ceil(vocabSize / multiple) * multiple;
}

/**
 * Writes rank files as Megatron-Core with Transformer Engine names them, loadable by `torch.load(weights_only=True)`. Padding
 * rows repeat the last token's row. Call `commitCheckpoint` when all ranks are written.
 * @returns the paths written.
 * @throws InvalidInputError `CPT_CONFIG_MODEL` when a size does not divide among the ranks.
 */
export async function writeMegatronRankFiles(options: WriteRankFilesOptions): Promise<string[]> {
  const { directory, iteration, parallel } = options;
  requireDivisible(options);
  const root = join(directory, iterationDirectoryName(iteration));
  const paths: string[] = [];
  for (const { tensorRank, pipelineStage } of options.ranks ?? allRanks(parallel)) {
    const rankName = rankDirectoryName(tensorRank, pipelineStage, parallel.pipelineParallelSize);
    const path = join(root, rankName, 'model_optim_rng.pt');
    await writeRankFile(path, tensorRank, pipelineStage, options);
    paths.push(path);
  }
  return paths;
}

/** Names `iteration` in the tracker file: from now on it is the checkpoint that is loaded. */
export async function commitCheckpoint(directory: string, iteration: number): Promise<void> {
  await writeTextFile(join(directory, TRACKER_FILE), String(iteration));
}

function allRanks({ tensorParallelSize, pipelineParallelSize }: WriteRankFilesOptions['parallel']) {
  return Array.from({ length: tensorParallelSize * pipelineParallelSize }, (_, index) => ({
    tensorRank: index % tensorParallelSize,
    pipelineStage: Math.floor(index / tensorParallelSize),
  }));
}

function requireDivisible({ model, parallel }: WriteRankFilesOptions): void {
  const { tensorParallelSize: ranks, pipelineParallelSize: stages } = parallel;
  const rules = [
    ['heads', model.heads, 'tensor ranks', ranks],
    ['query groups', model.queryGroups, 'tensor ranks', ranks],
    ['ffn rows', model.ffnHiddenSize, 'tensor ranks', ranks],
    ['layers', model.layers, 'pipeline stages', stages],
    ['heads', model.heads, 'query groups', model.queryGroups],
  ] as const;
  for (const [what, size, over, parts] of rules) {
    if (size % parts === 0) continue;
    throw new InvalidInputError('CPT_CONFIG_MODEL', `${size} ${what} do not divide among ${parts} ${over}`);
  }
}

/** A parameter of one stage: its local name, and the row of the family table it is made by. */
interface LocalParameter {
  readonly localName: string;
  readonly mapping: Mapping;
  readonly layer: number | 'none';
}

/** What a stage holds. The last stage of a tied pipeline carries its own copy of the table, as Megatron trains it. */
function stageParameters(options: WriteRankFilesOptions, pipelineStage: number): LocalParameter[] {
  const { model, parallel } = options;
  const stages = parallel.pipelineParallelSize;
  const perStage = model.layers / stages;
  const isLast = pipelineStage === stages - 1;
  const embedding = 'embedding.word_embeddings.weight';
  const rows = expectedRows(FAMILIES[model.family], model).flatMap((row): LocalParameter[] => {
    const { megatronName, mapping, layer } = row;
    if (layer === 'none') {
      const isHere = megatronName === embedding ? pipelineStage === 0 : isLast;
      return isHere ? [{ localName: megatronName, mapping, layer }] : [];
    }
    if (Math.floor(layer / perStage) !== pipelineStage) return [];
    const localName = megatronName.replace(`layers.${layer}.`, `layers.${layer % perStage}.`);
    return [{ localName, mapping, layer }];
  });
  if (model.isTied && isLast && stages > 1) {
    const mapping = FAMILIES[model.family].parameters[embedding] as Mapping;
    rows.push({ localName: 'output_layer.weight', mapping, layer: 'none' });
  }
  return rows;
}

/** Transformer Engine modules ask for the key on a strict load; None is what they accept without a state. */
const EXTRA_STATE_MODULES = [
  'self_attention.linear_qkv',
  'self_attention.linear_proj',
  'self_attention.core_attention',
  'mlp.linear_fc1',
  'mlp.linear_fc2',
];

async function writeRankFile(
  path: string,
  tensorRank: number,
  pipelineStage: number,
  options: WriteRankFilesOptions,
): Promise<void> {
  const { model, parallel, dtype, iteration } = options;
  const ranks = parallel.tensorParallelSize;
  const padded = paddedVocabSize(model.vocabSize, ranks);
  const parameters = stageParameters(options, pipelineStage).map((parameter) => ({
    ...parameter,
    shape: shardShape(parameter.mapping, model, ranks, padded),
  }));
  const weights = parameters.map(({ localName, shape }) => [localName, tensorDeclaration(dtype, shape)] as const);
  const layers = model.layers / parallel.pipelineParallelSize;
  const extraStates = Array.from({ length: layers }, (_, layer) =>
    EXTRA_STATE_MODULES.map((module) => [`decoder.layers.${layer}.${module}._extra_state`, null] as const),
  ).flat();
  const root: WritableValue = new Map<string, WritableValue>([
    ['args', namespace({ ...argsOf(model, parallel, padded, dtype, iteration), ...options.args })],
    ['checkpoint_version', float(3)],
    ['iteration', iteration],
    ['model', orderedDict([...weights, ...extraStates])],
  ]);
  await writeFileStream(path, async (write) => {
    const writer = new TorchFileWriter({ write }, 'model_optim_rng', root);
    await writer.start();
    for (const parameter of parameters) await writer.append(await shardBytes(parameter, tensorRank, options));
    await writer.finish();
  });
}

/** One rank's part of a parameter: the copies of a conversion with source and target exchanged. */
async function shardBytes(
  { mapping, layer, shape }: LocalParameter & { shape: number[] },
  tensorRank: number,
  options: WriteRankFilesOptions,
): Promise<Uint8Array> {
  const { model, parallel, tensors, dtype } = options;
  const ranks = parallel.tensorParallelSize;
  const elementBytes = bytesPerElement(dtype);
  const columns = matrixSize(shape)[1];
  const steps = new Array<ShardSteps>(ranks).fill({ rowStep: columns * elementBytes, columnStep: elementBytes });
  const shard = new Uint8Array(tensorBytes(shape, dtype));
  for (const [part, { hfName, shape: hfShape }] of outputsOf(mapping, layer, model).entries()) {
    const whole = await readAs(tensors, hfName, hfShape, dtype);
    const copies = composeCopies(
      placeShards(mapping, shape, ranks),
      unpackRows(mapping, part, model),
      steps,
      matrixSize(hfShape)[1],
      elementBytes,
    );
    const owner = mapping.kind === 'replicated' ? 0 : tensorRank;
    for (const copy of reverseCopies(copies, owner)) moveRuns(copy, whole, 0, shard, 0);
    if (mapping.kind === 'vocabRows') repeatLastRow(shard, whole, shape[0] as number, tensorRank, model.vocabSize);
  }
  return shard;
}

async function readAs(tensors: HfTensors, hfName: string, shape: Shape, dtype: Dtype): Promise<Uint8Array> {
  const found = tensors.shapeOf(hfName);
  if (!found || found.shape.join() !== shape.join()) {
    const what = found ? `[${found.shape.join(', ')}]` : 'missing';
    throw new InvalidInputError(
      'CPT_CONFIG_MODEL',
      `"${hfName}" is ${what}; the model configuration needs [${shape.join(', ')}]`,
      { names: [hfName] },
    );
  }
  return castDtype(await tensors.read(hfName), found.dtype, dtype);
}

function repeatLastRow(
  shard: Uint8Array,
  whole: Uint8Array,
  rows: number,
  tensorRank: number,
  vocabSize: number,
): void {
  const rowBytes = whole.byteLength / vocabSize;
  const lastRow = whole.subarray(whole.byteLength - rowBytes);
  const firstPadding = Math.max(0, vocabSize - tensorRank * rows);
  for (let row = firstPadding; row < rows; row++) shard.set(lastRow, row * rowBytes);
}
