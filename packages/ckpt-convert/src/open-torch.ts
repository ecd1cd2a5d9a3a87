// One rank file:  { args, checkpoint_version, iteration, model: { name: tensor | _extra_state, … }, optimizer, … }
//
// With virtual stages `model0`, `model1`, … stand instead of `model`: the chunks of layers of one stage. The model runs through all
// stages' chunk 0, then all stages' chunk 1, so the chunk of virtual stage v on stage p of P is number v · P + p of its depth.
// Layers are numbered from the chunk's first one, so global numbers come from counting what each chunk holds.

import { type Dtype, FormatError } from '@pai-cpt/core';
import {
  asMap,
  describeValue,
  getEntry,
  isKind,
  namespaceFields,
  openTorchFile,
  type PickleMap,
  type PickleValue,
  type TorchFile,
  type TorchTensor,
} from '@pai-cpt/torch-checkpoint';
import type {
  MegatronCheckpoint,
  MegatronParameter,
  OpenCheckpointOptions,
  ParallelLayout,
  PlacedShard,
} from './checkpoint.ts';
import { describeModel } from './describe-model.ts';
import { flattenModel, nameOfLegacy } from './legacy-names.ts';
import { type LegacyOrder, type ReorderedReads, reorderedReads } from './legacy-order.ts';
import { fuseLegacy } from './legacy-parts.ts';
import type { LocatedCheckpoint, RankFile } from './locate-checkpoint.ts';
import { type LocatingSource, locatingSource } from './locating-source.ts';
import { type ArgsNamespace, numberArg } from './model-config.ts';
import { type FilePool, openFilePool } from './node.ts';
import { countLayers } from './pipeline-layout.ts';
import { canonicalName, isIgnoredName } from './resolve.ts';
import { refusal, refuseUnsupportedArgs, refuseUnsupportedNames } from './unsupported-features.ts';

type LocatedTorch = Extract<LocatedCheckpoint, { format: 'torch' }>;

interface RankContent {
  readonly rank: RankFile;
  readonly file: TorchFile;
  readonly iteration: number | undefined;
  readonly args: ArgsNamespace | undefined;
  /** One for each virtual stage. */
  readonly chunks: readonly RankTensors[];
}

type RankTensors = ReadonlyMap<string, { readonly dtype: Dtype; readonly shard: PlacedShard }>;

/** What one rank holds of one chunk of layers. */
interface RankChunk {
  readonly rank: RankFile;
  readonly tensors: RankTensors;
}

const LAYER_NAME = /^decoder\.layers\.(\d+)\./;

/** Opens a full grid of `torch.save` files: their pickles are read, their tensors are not. */
export async function openTorchCheckpoint(
  located: LocatedTorch,
  options: OpenCheckpointOptions,
): Promise<MegatronCheckpoint> {
  const pool = openFilePool();
  try {
    const ranks: RankContent[] = [];
    const reads = reorderedReads(pool.readInto);
    for (const rank of located.rankFiles) ranks.push(await openRankFile(rank, pool, reads, options.signal));
    return assemble(located, ranks, { readInto: reads.readInto, close: pool.close }, options);
  } catch (error) {
    await pool.close();
    throw error;
  }
}

async function openRankFile(
  rank: RankFile,
  pool: FilePool,
  reads: ReorderedReads,
  signal: AbortSignal | undefined,
): Promise<RankContent> {
  const source = locatingSource(await pool.open(rank.path));
  const file = await openTorchFile(source, rank.path, signal);
  const root = asMap(file.root, rank.path);
  const namespace = getEntry(root, 'args');
  const args = (namespace ?? null) === null ? undefined : namespaceFields(namespace, `${rank.path}: "args"`);
  if (args) refuseUnsupportedArgs(args, rank.path);
  const checkpointVersion = getEntry(root, 'checkpoint_version');
  // Megatron takes a missing version for 0. It counts for names of before Megatron-Core alone, which changed the order.
  const version = typeof checkpointVersion === 'number' ? checkpointVersion : 0;
  const order: LegacyOrder = { version, args, fileBytes: source.byteLength };
  const chunks: RankTensors[] = [];
  for (const model of modelChunks(root, args, rank.path)) {
    chunks.push(await placeTensors(model, file, source, rank, { order, reads }));
  }
  const iteration = getEntry(root, 'iteration');
  return {
    rank,
    file,
    args,
    iteration: typeof iteration === 'number' ? iteration : undefined,
    chunks,
  };
}

/** `model`, or `model0`, `model1`, … */
function modelChunks(root: PickleMap, args: ArgsNamespace | undefined, path: string): PickleMap[] {
  const wrong = (why: string) => new FormatError('CPT_FORMAT_RANK_FILE', `${path}: ${why}`, { file: path });
  const all = [...root.keys()].map(String).join(', ');
  const count = [...root.keys()].filter((key) => /^model\d+$/.test(String(key))).length;
  if (count > 0 && root.has('model')) throw wrong(`it has both "model" and "model0", …: ${all}`);
  const claimed = numberArg(args, 'virtual_pipeline_model_parallel_size');
  if (claimed !== undefined && claimed !== Math.max(1, count)) {
    throw wrong(`args.virtual_pipeline_model_parallel_size is ${claimed}, the file has ${all}`);
  }
  const keys = count === 0 ? ['model'] : Array.from({ length: count }, (_, number) => `model${number}`);
  return keys.map((key) => {
    const model = getEntry(root, key);
    if (model instanceof Map) return model;
    throw wrong(`"${key}" is ${describeValue(model)}; the file has ${all}`);
  });
}

async function placeTensors(
  model: PickleMap,
  file: TorchFile,
  source: LocatingSource,
  rank: RankFile,
  { order, reads }: { readonly order: LegacyOrder; readonly reads: ReorderedReads },
): Promise<RankTensors> {
  const entries = flattenModel(model).map(([key, value]) => {
    const name = stripWrappers(key);
    const renamed = nameOfLegacy(name);
    return { name: renamed ?? name, fileName: name, value, isLegacy: renamed !== undefined };
  });
  const weights = entries.filter(({ name }) => !isIgnoredName(name));
  refuseUnsupportedNames(
    weights.map(({ name }) => name),
    rank.path,
  );
  const tensors = new Map<string, { dtype: Dtype; shard: PlacedShard }>();
  for (const { name, value, isLegacy } of withoutSpareTable(weights)) {
    const tensor = requireTensor(value, name, rank.path);
    const byteOffset = await source.offsetOf(file.tensorSource(tensor));
    const { shape, stride, dtype } = tensor;
    const shard = { tensorRank: rank.tensorRank, file: rank.path, byteOffset, shape, stride };
    const isOldOrder = isLegacy && order.version < 2 && /\.linear_qkv\.(weight|bias)$/.test(name);
    tensors.set(name, { dtype, shard: isOldOrder ? reads.reorder(shard, dtype, name, order) : shard });
  }
  return fuseLegacy(tensors, { order, reads });
}

/**
 * Without the copy of the embedding that Pai's converters leave beside a head of its own; the two names mean one place of the model, and
 * the one that came last would become the head.
 */
function withoutSpareTable<T extends { readonly fileName: string }>(weights: readonly T[]): readonly T[] {
  const hasHead = weights.some(({ fileName }) => fileName === 'language_model.output_layer.weight');
  return hasHead ? weights.filter(({ fileName }) => fileName !== 'word_embeddings_for_head.weight') : weights;
}

/** Wrappers for data parallelism and mixed precision put `module.` before every name, once each. */
function stripWrappers(name: string): string {
  return name.replace(/^(module\.)+/, '');
}

function requireTensor(value: PickleValue, name: string, file: string): TorchTensor {
  const className = isKind(value, 'tensor') ? value.subclass : isKind(value, 'record') ? value.global : undefined;
  if (className?.includes('Float8')) throw refusal(file, 'FP8 parameters', `"${name}" is a ${className}`);
  if (!isKind(value, 'tensor')) {
    throw new FormatError('CPT_FORMAT_RANK_FILE', `${file}: "${name}" is ${describeValue(value)}; a tensor is needed`, {
      file,
      tensor: name,
    });
  }
  if (value.dtype.startsWith('F8')) throw refusal(file, 'FP8 parameters', `"${name}" is ${value.dtype}`);
  return value;
}

function assemble(
  located: LocatedTorch,
  ranks: readonly RankContent[],
  { readInto, close }: Pick<FilePool, 'readInto' | 'close'>,
  options: OpenCheckpointOptions,
): MegatronCheckpoint {
  const { directory, tensorParallelSize, pipelineParallelSize } = located;
  const first = ranks[0] as RankContent;
  const virtualStages = first.chunks.length;
  const parallel: ParallelLayout = { tensorParallelSize, pipelineParallelSize, virtualStages };
  requireEqualRanks(first, ranks, parallel);
  const chunks = Array.from({ length: virtualStages * pipelineParallelSize }, (_, number) =>
    ranks
      .filter(({ rank }) => rank.pipelineStage === number % pipelineParallelSize)
      .map(({ rank, chunks }): RankChunk => {
        return { rank, tensors: chunks[Math.floor(number / pipelineParallelSize)] as RankTensors };
      }),
  );
  const layout = countLayers(chunks.map(localLayers), directory);
  const parameters = chunks.flatMap((chunk, number) =>
    chunkParameters(chunk, number, layout.firstLayer[number] as number),
  );
  requireEnds(parameters, chunks.length, directory);
  const { layersPerStage } = layout;
  const { args } = first;
  const described = describeModel({ directory, parameters, parallel, layersPerStage, args }, options);
  return {
    format: 'torch',
    directory,
    iteration: first.iteration ?? 0,
    parallel,
    layersPerStage,
    args,
    ...described,
    problems: [...located.notes, ...described.problems],
    parameters: () => parameters,
    readInto,
    async verifyChecksums(signal) {
      let compared = 0;
      for (const { file } of ranks) if (await file.verifyChecksums(signal)) compared++;
      return compared;
    },
    close,
  };
}

/** Fields that ranks of one run share; others, such as `rank` and `consumed_train_samples`, may differ. */
const SHARED_ARGS = [
  'num_layers',
  'hidden_size',
  'ffn_hidden_size',
  'num_attention_heads',
  'num_query_groups',
  'kv_channels',
];

function requireEqualRanks(first: RankContent, ranks: readonly RankContent[], parallel: ParallelLayout): void {
  for (const { rank, iteration, args, chunks } of ranks) {
    const facts = [
      ['the number of virtual stages', first.chunks.length, chunks.length],
      ['iteration', first.iteration, iteration],
      ...SHARED_ARGS.map((name) => [`args.${name}`, numberArg(first.args, name), numberArg(args, name)] as const),
    ] as const;
    for (const [name, expected, found] of facts) {
      if (expected === found) continue;
      throw ranksDiffer(rank.path, `${name} is ${found}, in ${first.rank.path} it is ${expected}; two runs lie mixed`);
    }
    const sizes = [
      ['tensor_model_parallel_size', parallel.tensorParallelSize],
      ['pipeline_model_parallel_size', parallel.pipelineParallelSize],
    ] as const;
    for (const [name, found] of sizes) {
      const claimed = numberArg(args, name) ?? found;
      if (claimed === found) continue;
      const why = `args.${name} is ${claimed}, the directory holds ${found}; copy the missing mp_rank directories`;
      throw new FormatError('CPT_FORMAT_RANK_GRID', `${rank.path}: ${why}`, { file: rank.path });
    }
  }
}

function ranksDiffer(file: string, why: string): FormatError {
  return new FormatError('CPT_FORMAT_RANKS_DIFFER', `${file}: ${why}`, { file });
}

function localLayers(stage: readonly RankChunk[]): Set<number> {
  const names = stage.flatMap(({ tensors }) => [...tensors.keys()]);
  return new Set(names.flatMap((name) => LAYER_NAME.exec(name)?.[1] ?? []).map(Number));
}

/** The parameters of one chunk under global names, each with the shard of every tensor rank. */
function chunkParameters(stage: readonly RankChunk[], number: number, firstLayer: number): MegatronParameter[] {
  const [first, ...others] = stage as [RankChunk, ...RankChunk[]];
  for (const other of others) {
    const missing = [...first.tensors.keys()].filter((name) => !other.tensors.has(name));
    const extra = [...other.tensors.keys()].filter((name) => !first.tensors.has(name));
    if (missing.length + extra.length === 0) continue;
    const why = [...missing.map((name) => `lacks "${name}"`), ...extra.map((name) => `also has "${name}"`)].join('; ');
    throw ranksDiffer(other.rank.path, `beside ${first.rank.path} it ${why}`);
  }
  return [...first.tensors].map(([localName, { dtype }]) => {
    const shards = stage.map(({ rank, tensors }) => {
      const tensor = tensors.get(localName) as { dtype: Dtype; shard: PlacedShard };
      if (tensor.dtype === dtype) return tensor.shard;
      throw ranksDiffer(rank.path, `"${localName}" is ${tensor.dtype}, in ${first.rank.path} it is ${dtype}`);
    });
    const globalName = localName.replace(LAYER_NAME, (_, layer) => `decoder.layers.${Number(layer) + firstLayer}.`);
    return {
      megatronName: canonicalName(globalName),
      localName,
      pipelineStage: number,
      dtype,
      shards,
    };
  });
}

/** The embedding begins the first chunk, norm and head end the last one: chunks in another order would show here. */
function requireEnds(parameters: readonly MegatronParameter[], chunks: number, directory: string): void {
  const place: Record<string, number> = {
    'embedding.word_embeddings.weight': 0,
    'decoder.final_layernorm.weight': chunks - 1,
    'output_layer.weight': chunks - 1,
  };
  for (const { megatronName, pipelineStage, shards } of parameters) {
    const wanted = place[megatronName];
    if (wanted === undefined || wanted === pipelineStage) continue;
    const why = `"${megatronName}" is in chunk ${pipelineStage} of ${chunks}, not in chunk ${wanted}; stages lie mixed, or the last number of mp_rank_TT_NNN is an expert rank`;
    throw new FormatError('CPT_FORMAT_PIPELINE_LAYERS', `${directory}: ${why}`, { file: shards[0]?.file ?? directory });
  }
}
