// One rank file:  { args, checkpoint_version, iteration, model: { name: tensor | _extra_state, … }, optimizer, … }
//
// Layers are numbered from the stage's first one, so global numbers come from counting what each stage holds.

import { type ByteSource, type Dtype, FormatError } from '@pai-cpt/core';
import {
  asMap,
  describeValue,
  getEntry,
  isKind,
  namespaceFields,
  openTorchFile,
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
import type { LocatedCheckpoint, RankFile } from './locate-checkpoint.ts';
import { type ArgsNamespace, numberArg } from './model-config.ts';
import { type FilePool, openFilePool } from './node.ts';
import { countLayers } from './pipeline-layout.ts';
import { canonicalName, isIgnoredName } from './resolve.ts';
import {
  refusal,
  refuseUnsupportedArgs,
  refuseUnsupportedKeys,
  refuseUnsupportedNames,
} from './unsupported-features.ts';

type LocatedTorch = Extract<LocatedCheckpoint, { format: 'torch' }>;

interface RankContent {
  readonly rank: RankFile;
  readonly file: TorchFile;
  readonly iteration: number | undefined;
  readonly args: ArgsNamespace | undefined;
  readonly tensors: ReadonlyMap<string, { readonly dtype: Dtype; readonly shard: PlacedShard }>;
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
    for (const rank of located.rankFiles) ranks.push(await openRankFile(rank, pool, options.signal));
    return assemble(located, ranks, pool, options);
  } catch (error) {
    await pool.close();
    throw error;
  }
}

async function openRankFile(rank: RankFile, pool: FilePool, signal: AbortSignal | undefined): Promise<RankContent> {
  const source = locatingSource(await pool.open(rank.path));
  const file = await openTorchFile(source, rank.path, signal);
  const root = asMap(file.root, rank.path);
  refuseUnsupportedKeys(
    [...root.keys()].filter((key) => typeof key === 'string'),
    rank.path,
  );
  const namespace = getEntry(root, 'args');
  const args = (namespace ?? null) === null ? undefined : namespaceFields(namespace, `${rank.path}: "args"`);
  if (args) refuseUnsupportedArgs(args, rank.path);
  const model = getEntry(root, 'model');
  if (!(model instanceof Map)) {
    const keys = [...root.keys()].map(String).join(', ');
    const why = `"model" is ${describeValue(model)}; the file has ${keys}`;
    throw new FormatError('CPT_FORMAT_RANK_FILE', `${rank.path}: ${why}`, { file: rank.path });
  }
  const entries = [...model].map(([key, value]) => [stripWrappers(String(key)), value] as const);
  refuseUnsupportedNames(
    entries.map(([name, value]) => (value instanceof Map ? `${name}.` : name)),
    rank.path,
  );
  const tensors: [string, { dtype: Dtype; shard: PlacedShard }][] = [];
  for (const [name, value] of entries) {
    if (isIgnoredName(name)) continue;
    const tensor = requireTensor(value, name, rank.path);
    const byteOffset = await source.offsetOf(file.tensorSource(tensor));
    const { shape, stride, dtype } = tensor;
    const shard = { tensorRank: rank.tensorRank, file: rank.path, byteOffset, shape, stride };
    tensors.push([name, { dtype, shard }]);
  }
  const iteration = getEntry(root, 'iteration');
  return {
    rank,
    file,
    args,
    iteration: typeof iteration === 'number' ? iteration : undefined,
    tensors: new Map(tensors),
  };
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

/** A source that tells where in the file a slice of it begins, for reads that go past the slices to the descriptor. */
function locatingSource(inner: ByteSource): ByteSource & { offsetOf(slice: ByteSource): Promise<number> } {
  let last = 0;
  return {
    byteLength: inner.byteLength,
    read(offset, length, signal) {
      last = offset;
      return length === 0 ? Promise.resolve(new Uint8Array()) : inner.read(offset, length, signal);
    },
    async offsetOf(slice) {
      await slice.read(0, 0);
      return last;
    },
  };
}

function assemble(
  located: LocatedTorch,
  ranks: readonly RankContent[],
  pool: FilePool,
  options: OpenCheckpointOptions,
): MegatronCheckpoint {
  const { directory, tensorParallelSize, pipelineParallelSize } = located;
  const parallel: ParallelLayout = { tensorParallelSize, pipelineParallelSize, virtualStages: 1 };
  const first = ranks[0] as RankContent;
  requireEqualRanks(first, ranks, parallel);
  const stages = Array.from({ length: pipelineParallelSize }, (_, stage) =>
    ranks.filter(({ rank }) => rank.pipelineStage === stage),
  );
  const layout = countLayers(stages.map(localLayers), directory);
  const parameters = stages.flatMap((stage, number) => stageParameters(stage, layout.firstLayer[number] as number));
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
    readInto: pool.readInto,
    async verifyChecksums(signal) {
      let compared = 0;
      for (const { file } of ranks) if (await file.verifyChecksums(signal)) compared++;
      return compared;
    },
    close: pool.close,
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
  for (const { rank, iteration, args } of ranks) {
    const facts = [
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

function localLayers(stage: readonly RankContent[]): Set<number> {
  const names = stage.flatMap(({ tensors }) => [...tensors.keys()]);
  return new Set(names.flatMap((name) => LAYER_NAME.exec(name)?.[1] ?? []).map(Number));
}

/** The parameters of one stage under global names, each with the shard of every tensor rank. */
function stageParameters(stage: readonly RankContent[], firstLayer: number): MegatronParameter[] {
  const [first, ...others] = stage as [RankContent, ...RankContent[]];
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
      pipelineStage: first.rank.pipelineStage,
      dtype,
      shards,
    };
  });
}
