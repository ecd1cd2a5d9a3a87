// What Megatron-Core 0.16 saves as `torch_dist` for a grid, one process a rank:
//
//   metadata.json, common.pt, .metadata
//   __R_0.distcp     of rank R = stage · TP + tensor rank: objects, then chunks, each a torch.save file of its own
//
// A parameter of all layers is one tensor [layers, …] whose chunks are [1, …] at [layer, …]; gate and up of linear_fc1 are a chunk
// each. What all tensor ranks hold is in the file of the first, and a tied model's second copy of the table in none.
// Source: NVIDIA/Megatron-LM@core_v0.16.1, megatron/core/transformer/transformer_block.py, mlp.py, dist_checkpointing/strategies/torch.py.

import { InvalidInputError } from '@pai-cpt/core';
import {
  type DistChunk,
  type DistItem,
  type DistTensor,
  serializeDistMetadata,
  TorchFileWriter,
  tensorDeclaration,
  type WritableValue,
} from '@pai-cpt/torch-checkpoint';
import { FAMILIES, type ModelFamily } from '../families/index.ts';
import type { GlobalParameter } from '../global-parameters.ts';
import { placeShards, shardShape } from '../mapping.ts';
import type { PlannedFiles } from '../rank-files/plan-files.ts';
import { partLength, type TorchPart } from '../rank-files/torch-parts.ts';
import { planChunks } from '../rank-grid.ts';
import {
  type ChunkParameter,
  chunkParameters,
  planBoxes,
  type RankPlanOptions,
  type RankTensor,
} from '../rank-plan.ts';
import { allRanks } from '../write-torch.ts';

/** A chunk before it has its place in a file. */
interface PlannedChunk extends Pick<DistChunk, 'offsets' | 'sizes'> {
  readonly key: string;
  readonly shape: readonly number[];
  readonly tensor: RankTensor;
}

const STEM = 'archive';
const LAYER = /^decoder\.layers\.(\d+)\./;

/** Modules that ask for an `_extra_state`, in one of the two specs or in both; the norms since Transformer Engine 2. */
const STATES_OF_LAYER = [
  'self_attention.linear_qkv',
  'self_attention.linear_proj',
  'self_attention.core_attention',
  'mlp.linear_fc1',
  'mlp.linear_fc2',
];
const STATES_OF_QK_NORM = ['self_attention.q_layernorm', 'self_attention.k_layernorm'];

/**
 * A whole distributed checkpoint as data; reads nothing. `head` is what `common.pt` holds.
 * @throws InvalidInputError `CPT_CONFIG_MODEL` where layers differ in dtype.
 */
export async function planDistFiles(
  options: RankPlanOptions,
  parameters: ReadonlyMap<string, GlobalParameter>,
  head: readonly (readonly [string, WritableValue])[],
): Promise<PlannedFiles> {
  const files = allRanks(options.grid).map(({ tensorRank, pipelineStage }, rank) => {
    const chunks = plannedChunks(options, parameters, tensorRank, pipelineStage);
    const objects = tensorRank === 0 ? extraStates(options, pipelineStage) : [];
    return { pipelineStage, ...layOut(`__${rank}_0.distcp`, objects, chunks) };
  });
  const tensors = stackChunks(files.flatMap(({ chunks }) => chunks));
  const objects = new Map(files.flatMap((file) => file.objects));
  const backend = { sharded_backend: 'torch_dist', sharded_backend_version: 1 };
  const contents = [
    { name: 'common.pt', content: await commonFile(head) },
    {
      name: 'metadata.json',
      content: JSON.stringify({ ...backend, common_backend: 'torch', common_backend_version: 1 }),
    },
    { name: '.metadata', content: serializeDistMetadata({ tensors, objects }) },
  ];
  return { files: files.map(({ name, pipelineStage, parts }) => ({ name, pipelineStage, parts })), contents };
}

/** The items of a file, one behind the other, and the place of each. */
function layOut(name: string, objectNames: readonly string[], planned: readonly PlannedChunk[]) {
  const parts: TorchPart[] = [];
  let byteOffset = 0;
  const place = (part: TorchPart): DistItem => {
    const item = { relativePath: name, byteOffset, byteLength: partLength(part) };
    byteOffset += item.byteLength;
    parts.push(part);
    return item;
  };
  const objects = objectNames.map((object) => [object, place({ stem: STEM, root: [null], tensors: [] })] as const);
  const chunks = planned.map((chunk) => {
    const root = tensorDeclaration(chunk.tensor.dtype, chunk.sizes);
    return { ...chunk, ...place({ stem: STEM, root, tensors: [chunk.tensor] }) };
  });
  return { name, parts, objects, chunks };
}

function stackChunks(placed: readonly (PlannedChunk & DistItem)[]): Map<string, DistTensor> {
  const tensors = new Map<string, DistTensor & { chunks: DistChunk[] }>();
  for (const { key, shape, tensor, ...chunk } of placed) {
    const known = tensors.get(key) ?? { dtype: tensor.dtype, shape, chunks: [] };
    requireOneDtype(tensor, known.dtype);
    known.chunks.push(chunk);
    tensors.set(key, known);
  }
  return tensors;
}

function plannedChunks(
  options: RankPlanOptions,
  parameters: ReadonlyMap<string, GlobalParameter>,
  tensorRank: number,
  pipelineStage: number,
): PlannedChunk[] {
  return stageParameters(options, pipelineStage)
    .filter(({ mapping }) => mapping.kind !== 'replicated' || tensorRank === 0)
    .flatMap((parameter) => chunksOf(parameter, parameters, tensorRank, options));
}

/** Each parameter once: a tied model's copy of the table is not saved. */
function stageParameters(options: RankPlanOptions, pipelineStage: number): ChunkParameter[] {
  const { model, grid } = options;
  return planChunks(model.layers, grid)
    .filter((chunk) => chunk.pipelineStage === pipelineStage)
    .flatMap((chunk) => chunkParameters(options, chunk))
    .filter(({ localName, globalName }) => localName === globalName || LAYER.test(globalName));
}

function chunksOf(
  { globalName, mapping }: ChunkParameter,
  parameters: ReadonlyMap<string, GlobalParameter>,
  tensorRank: number,
  options: RankPlanOptions,
): PlannedChunk[] {
  const { model, grid, paddedVocabSize } = options;
  const ranks = grid.tensorParallelSize;
  const shardSizes = shardShape(mapping, model, ranks, paddedVocabSize);
  const whole = shardShape(mapping, model, 1, paddedVocabSize);
  const layer = LAYER.exec(globalName)?.[1];
  const stack = (first: number, rest: readonly number[]) => (layer === undefined ? [...rest] : [first, ...rest]);
  const owner = mapping.kind === 'replicated' ? 0 : tensorRank;
  return placeShards(mapping, shardSizes, ranks)
    .filter(({ shard }) => shard === owner)
    .map((box) => {
      const sizes = [box.rows, ...(whole.length > 1 ? [box.columns] : [])];
      const offsets = [box.globalRow, ...(whole.length > 1 ? [box.globalColumn] : [])];
      const target = { name: globalName, mapping, shape: sizes, boxes: [{ ...box, localRow: 0 }] };
      return {
        key: globalName.replace(LAYER, 'decoder.layers.'),
        shape: stack(model.layers, whole),
        offsets: stack(Number(layer), offsets),
        sizes: stack(1, sizes),
        tensor: planBoxes(target, parameters.get(globalName) as GlobalParameter, tensorRank, options),
      };
    });
}

/** Keys of objects that a load asks for and whose value is None: it fails on a missing one and leaves a spare one alone. */
function extraStates({ model, grid }: RankPlanOptions, pipelineStage: number): string[] {
  const family: ModelFamily = FAMILIES[model.family];
  const modules = [...STATES_OF_LAYER, ...(family.hasQkNorm ? STATES_OF_QK_NORM : [])];
  const chunks = planChunks(model.layers, grid);
  const ofLayers = chunks
    .filter((chunk) => chunk.pipelineStage === pipelineStage)
    .flatMap(({ firstLayer, layers }) => Array.from({ length: layers }, (_, local) => firstLayer + local))
    .flatMap((layer) =>
      modules.map((module) => `decoder.layers.${module}._extra_state/shard_${layer}_${model.layers}`),
    );
  const isLast = pipelineStage === grid.pipelineParallelSize - 1;
  return isLast ? [...ofLayers, 'decoder.final_layernorm._extra_state/shard_0_1'] : ofLayers;
}

/** All layers of a parameter are one tensor here. */
function requireOneDtype({ localName, dtype }: RankTensor, others: DistTensor['dtype']): void {
  if (dtype === others) return;
  throw new InvalidInputError(
    'CPT_CONFIG_MODEL',
    `"${localName}" is ${dtype}, the same parameter of other layers ${others}; torch_dist has one tensor for all layers: give --dtype, or --format torch`,
    { names: [localName] },
  );
}

/** `content_metadata` tells Megatron-Core how the model was cut: gate and up under one name. */
async function commonFile(head: readonly (readonly [string, WritableValue])[]): Promise<Uint8Array> {
  const blocks: Uint8Array[] = [];
  const sink = { write: async (bytes: Uint8Array) => void blocks.push(bytes.slice()) };
  const content = new Map([['singleton_local_shards', false]]);
  const writer = new TorchFileWriter(
    sink,
    'common',
    new Map<string, WritableValue>([...head, ['content_metadata', content]]),
  );
  await writer.start();
  await writer.finish();
  return Buffer.concat(blocks);
}
