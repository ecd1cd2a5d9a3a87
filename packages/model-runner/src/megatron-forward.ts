import { InvalidInputError, UnsupportedError } from '@pai-cpt/core';
import {
  MEGATRON_HALVES,
  type MegatronHalf,
  megatronHalfGraph,
  megatronHalfParameters,
} from './graphs/megatron-layer.ts';
import { type LayerwiseModel, type PassContext, rowsOf } from './layerwise.ts';
import { addGatheredAttention } from './megatron-gather.ts';
import type { ModelShape } from './model-shape.ts';
import { type RankLayer, rankWeights } from './rank-weights.ts';
import { float32Tensor } from './session.ts';
import { embedTokens, headLoss, type TablePart } from './vocabulary.ts';
import type { WeightSource } from './weights.ts';

/** The rank files of a Megatron checkpoint. */
export interface MegatronRanks {
  readonly parallel: { readonly tensorParallelSize: number; readonly pipelineParallelSize: number };
  /** The weights of one rank, under the names that are local to its stage (`decoder.layers.0` is the stage's first layer). */
  rank(tensorRank: number, pipelineStage: number): WeightSource;
  /** Layers of each pipeline stage, in order. */
  readonly layersPerStage: readonly number[];
}

const EMBEDDING = 'embedding.word_embeddings.weight';
const HEAD = 'output_layer.weight';
const FINAL_NORM = 'decoder.final_layernorm.weight';

/** A model in Megatron's rank files, each rank's part of a layer computed from its own weights as they lie. */
export function openMegatronModel(pass: PassContext, megatron: MegatronRanks): LayerwiseModel {
  const { shape, sessions } = pass;
  const { tensorParallelSize, pipelineParallelSize } = megatron.parallel;
  checkDivision(shape, megatron);
  const lastStage = pipelineParallelSize - 1;
  const ranks = Array.from({ length: tensorParallelSize }, (_, rank) => rank);
  const embedding = ranks.map((rank) => ({ source: megatron.rank(rank, 0), name: EMBEDDING }));
  const isGathered = tensorParallelSize > shape.queryGroups;
  return {
    embed: () => embedTokens(pass, embedding),
    async runLayer(layer, hidden) {
      const place = placeLayer(layer, megatron.layersPerStage);
      const parts = ranks.map((rank) => ({
        source: megatron.rank(rank, place.pipelineStage),
        layer: place.localLayer,
      }));
      for (const half of MEGATRON_HALVES) {
        const sum = hidden.slice();
        if (half === 'attention' && isGathered) await addGatheredAttention(pass, parts, hidden, sum);
        else for (const part of parts) await addPartial(pass, part, half, ranks.length, hidden, sum);
        hidden.set(sum);
      }
    },
    loss(hidden) {
      const head = ranks.map((rank) => headPart(megatron.rank(rank, lastStage), shape, embedding[rank] as TablePart));
      return headLoss(pass, hidden, { source: megatron.rank(0, lastStage), name: FINAL_NORM }, head);
    },
    close: () => sessions.close(),
  };
}

/** Adds what one rank contributes to `sum`, from the hidden states before the half. */
async function addPartial(
  pass: PassContext,
  part: RankLayer,
  half: MegatronHalf,
  ranks: number,
  hidden: Float32Array,
  sum: Float32Array,
): Promise<void> {
  const { shape, batch, runs, sessions } = pass;
  const width = shape.hiddenSize;
  const parameters = megatronHalfParameters(shape, ranks, half);
  const { dtypeOf, key, feeds } = await rankWeights(part, parameters);
  const session = await sessions.get(`megatron ${half} ${key}`, () =>
    megatronHalfGraph(shape, ranks, half, batch.length, dtypeOf),
  );
  for (const run of runs) {
    const size = [run.toRow - run.fromRow, width];
    const acc = rowsOf(sum, run, width);
    const after = new Float32Array(acc.length);
    const rotary = half === 'attention' ? run.rotary : {};
    const x = float32Tensor(rowsOf(hidden, run, width), size);
    await session.run({ ...feeds, ...rotary, x, acc: float32Tensor(acc, size) }, { y: float32Tensor(after, size) });
    acc.set(after);
  }
}

/** A tied head is a copy of the embedding on the last stage, or the embedding itself when that is the first stage too. */
function headPart(source: WeightSource, shape: ModelShape, embedding: TablePart): TablePart {
  return shape.isTied && !source.shapeOf(HEAD) ? embedding : { source, name: HEAD };
}

function placeLayer(layer: number, layersPerStage: readonly number[]): { pipelineStage: number; localLayer: number } {
  let localLayer = layer;
  let pipelineStage = 0;
  for (const count of layersPerStage) {
    if (localLayer < count) break;
    localLayer -= count;
    pipelineStage++;
  }
  return { pipelineStage, localLayer };
}

function checkDivision(shape: ModelShape, megatron: MegatronRanks): void {
  const { tensorParallelSize: ranks, pipelineParallelSize: stages } = megatron.parallel;
  const layers = megatron.layersPerStage.reduce((sum, count) => sum + count, 0);
  if (megatron.layersPerStage.length !== stages || layers !== shape.layers) {
    throw new InvalidInputError(
      'CPT_INPUT_INVALID',
      `layersPerStage is [${megatron.layersPerStage.join(', ')}]; ${stages} stages must hold ${shape.layers} layers`,
    );
  }
  const isDivided = shape.queryGroups % ranks === 0 || ranks % shape.queryGroups === 0;
  if (isDivided && shape.heads % ranks === 0 && shape.ffnHiddenSize % ranks === 0) return;
  throw new UnsupportedError(
    'CPT_UNSUPPORTED_RUN',
    `${shape.heads} heads, ${shape.queryGroups} query groups and ${shape.ffnHiddenSize} ffn rows do not divide over tensor parallel size ${ranks}`,
    { feature: `tensor parallel size ${ranks}` },
  );
}
