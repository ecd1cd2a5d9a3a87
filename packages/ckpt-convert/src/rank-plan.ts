import { bytesPerElement, type Dtype, FormatError, type Shape, tensorBytes } from '@pai-cpt/core';
import type { PlacedShard } from './checkpoint.ts';
import { copiesBetween, type Placement, type StridedCopy } from './copies.ts';
import { FAMILIES, LOCAL_SPEC_NAMES, type ModelFamily } from './families/index.ts';
import type { GlobalParameter } from './global-parameters.ts';
import { type Mapping, matchName, matrixSize, nameAt, placeShards, shardShape } from './mapping.ts';
import type { ModelConfig } from './model-config.ts';
import { shardSteps } from './plan.ts';
import { planChunks, type RankGrid } from './rank-grid.ts';
import { expectedRows } from './resolve.ts';

/** Whose parameter names: Transformer Engine fuses norms into the layer behind them, mcore's local modules do not. */
export type LayerSpec = 'te' | 'local';

/** What the rows behind the vocabulary hold: the last token's row again, as Megatron's own converter writes, or zeros. */
export type PadFill = 'repeat' | 'zero';

export interface RankPlanOptions {
  readonly model: ModelConfig;
  readonly grid: RankGrid;
  readonly spec: LayerSpec;
  readonly padFill: PadFill;
  /** Rows of the embedding over all tensor ranks. */
  readonly paddedVocabSize: number;
  /** Of the written tensors; undefined leaves each as it is. */
  readonly dtype: Dtype | undefined;
}

/** One tensor of a rank file and the copies that fill it; `copies` count bytes of `sourceDtype`. */
export interface RankTensor {
  readonly localName: string;
  readonly shape: Shape;
  readonly dtype: Dtype;
  readonly sourceDtype: Dtype;
  /** In `sourceDtype`. */
  readonly byteLength: number;
  readonly sources: readonly PlacedShard[];
  readonly copies: readonly StridedCopy[];
}

/** The model of one rank file, chunk by chunk. */
export interface RankFilePlan {
  readonly tensorRank: number;
  readonly pipelineStage: number;
  readonly chunks: readonly {
    /** `model`, or `model0`, `model1`, … with virtual stages. */
    readonly key: string;
    readonly tensors: readonly RankTensor[];
    /** Names whose value is None. */
    readonly extraStates: readonly string[];
  }[];
}

/** A parameter of one chunk: its local name, its global one, and its row of the family table. */
export interface ChunkParameter {
  readonly localName: string;
  readonly globalName: string;
  readonly mapping: Mapping;
}

const EMBEDDING = 'embedding.word_embeddings.weight';

/** Transformer Engine modules ask for the key on a strict load; None is what they accept without a state. */
const EXTRA_STATE_MODULES = [
  'self_attention.linear_qkv',
  'self_attention.linear_proj',
  'self_attention.core_attention',
  'mlp.linear_fc1',
  'mlp.linear_fc2',
];

/** One rank file as data; reads nothing. All tensor ranks of a stage get the same names in the same order. */
export function planRankFile(
  options: RankPlanOptions,
  parameters: ReadonlyMap<string, GlobalParameter>,
  tensorRank: number,
  pipelineStage: number,
): RankFilePlan {
  const { model, grid, spec } = options;
  const { virtualStages = 1 } = grid;
  const own = planChunks(model.layers, grid).filter((chunk) => chunk.pipelineStage === pipelineStage);
  const chunks = own.map(({ virtualStage, firstLayer, layers }) => {
    const place = { pipelineStage, virtualStage, firstLayer, layers };
    const tensors = chunkParameters(options, place).map((parameter) =>
      planTensor(parameter, parameters.get(parameter.globalName) as GlobalParameter, tensorRank, options),
    );
    const layerNumbers = spec === 'te' ? Array.from({ length: layers }, (_, layer) => layer) : [];
    const extraStates = layerNumbers.flatMap((layer) =>
      EXTRA_STATE_MODULES.map((module) => `decoder.layers.${layer}.${module}._extra_state`),
    );
    return { key: virtualStages > 1 ? `model${virtualStage}` : 'model', tensors, extraStates };
  });
  return { tensorRank, pipelineStage, chunks };
}

/** What a chunk holds. The last stage of a tied pipeline carries its own copy of the table, as Megatron trains it. */
export function chunkParameters(
  { model, grid, spec }: RankPlanOptions,
  place: { pipelineStage: number; virtualStage: number; firstLayer: number; layers: number },
): ChunkParameter[] {
  const { pipelineParallelSize: stages, virtualStages = 1 } = grid;
  const isFirst = place.pipelineStage === 0 && place.virtualStage === 0;
  const isLast = place.pipelineStage === stages - 1 && place.virtualStage === virtualStages - 1;
  const family: ModelFamily = FAMILIES[model.family];
  const found = expectedRows(family, model).flatMap(({ megatronName, mapping, layer }): ChunkParameter[] => {
    if (layer === 'none') {
      const isHere = megatronName === EMBEDDING ? isFirst : isLast;
      return isHere ? [{ localName: megatronName, globalName: megatronName, mapping }] : [];
    }
    const local = layer - place.firstLayer;
    if (local < 0 || local >= place.layers) return [];
    const named = spec === 'te' ? megatronName : localSpecName(megatronName);
    const localName = named.replace(`layers.${layer}.`, `layers.${local}.`);
    return [{ localName, globalName: megatronName, mapping }];
  });
  if (model.isTied && isLast && stages > 1) {
    const mapping = family.parameters[EMBEDDING] as Mapping;
    found.push({ localName: 'output_layer.weight', globalName: EMBEDDING, mapping });
  }
  return found;
}

function localSpecName(canonicalName: string): string {
  for (const [local, canonical] of Object.entries(LOCAL_SPEC_NAMES)) {
    const layer = matchName(canonical, canonicalName);
    if (layer !== undefined) return nameAt(local, layer);
  }
  return canonicalName;
}

function planTensor(
  { localName, mapping }: ChunkParameter,
  parameter: GlobalParameter,
  tensorRank: number,
  options: RankPlanOptions,
): RankTensor {
  const { model, grid, paddedVocabSize } = options;
  const shape = shardShape(mapping, model, grid.tensorParallelSize, paddedVocabSize);
  const owner = mapping.kind === 'replicated' ? 0 : tensorRank;
  const boxes = placeShards(mapping, shape, grid.tensorParallelSize).filter(({ shard }) => shard === owner);
  return planBoxes({ name: localName, mapping, shape, boxes }, parameter, tensorRank, options);
}

/** One packed tensor, which holds `boxes` of its parameter's matrix. */
export interface BoxedTensor {
  readonly name: string;
  readonly mapping: Mapping;
  readonly shape: Shape;
  readonly boxes: readonly Placement[];
}

/** The copies that fill a tensor of `tensorRank`. */
export function planBoxes(
  { name: localName, mapping, shape, boxes: targets }: BoxedTensor,
  parameter: GlobalParameter,
  tensorRank: number,
  { model, paddedVocabSize, padFill, dtype }: RankPlanOptions,
): RankTensor {
  const { sources, boxes } = parameter;
  const isPadded = mapping.kind === 'vocabRows' && padFill === 'repeat' && model.vocabSize < paddedVocabSize;
  const padding = isPadded ? repeatedRow(parameter, model.vocabSize, paddedVocabSize) : undefined;
  const allSources = padding ? [...sources, padding.source] : sources;
  const allBoxes = padding ? [...boxes, padding.box] : boxes;
  const elementBytes = bytesPerElement(parameter.dtype);
  const steps = allSources.map((source) => shardSteps(source, elementBytes));
  const copies = copiesBetween(allBoxes, targets, steps, matrixSize(shape)[1], elementBytes);
  const byteLength = tensorBytes(shape, parameter.dtype);
  const covered = copies.reduce((sum, copy) => sum + copy.bytes * copy.count, 0);
  const mayHaveHoles = mapping.kind === 'vocabRows' && padFill === 'zero';
  if (covered !== byteLength && !mayHaveHoles) {
    throw new FormatError(
      'CPT_FORMAT_SHAPE_MISMATCH',
      `"${localName}" of tensor rank ${tensorRank} has ${byteLength} bytes, its sources give ${covered}`,
      { tensor: localName },
    );
  }
  const dtypes = { dtype: dtype ?? parameter.dtype, sourceDtype: parameter.dtype };
  return { localName, shape, ...dtypes, byteLength, sources: allSources, copies };
}

/** The row before row `from` as a source of its own that repeats it up to row `to`: a view with a row stride of 0. */
function repeatedRow({ dtype, sources, boxes }: GlobalParameter, from: number, to: number) {
  const last = boxes.find((box) => box.globalRow < from && box.globalRow + box.rows === from) as Placement;
  const shard = sources[last.shard] as PlacedShard;
  const [rowStride = 1, ...rest] = shard.stride;
  const byteOffset = shard.byteOffset + (last.localRow + last.rows - 1) * rowStride * bytesPerElement(dtype);
  return {
    source: { ...shard, byteOffset, stride: [0, ...rest] },
    box: { ...last, shard: sources.length, globalRow: from, rows: to - from, localRow: 0 },
  };
}
