import { InvalidInputError } from '@pai-cpt/core';
import type { ModelConfig } from './model-config.ts';

/** How the rank files of one checkpoint divide a model. */
export interface RankGrid {
  readonly tensorParallelSize: number;
  readonly pipelineParallelSize: number;
  /** Chunks of layers that each pipeline stage holds, `model0`, `model1`, …; 1 when absent. */
  readonly virtualStages?: number;
  /** Layers of the first stage, over all its chunks; the rest is divided evenly among the others. */
  readonly firstStageLayers?: number;
  readonly lastStageLayers?: number;
}

/** One run of layers that lies in one chunk of one stage. */
export interface LayerChunk {
  readonly pipelineStage: number;
  readonly virtualStage: number;
  readonly firstLayer: number;
  readonly layers: number;
}

/**
 * The chunks in the order in which the model runs through them: all stages' chunk 0, then all stages' chunk 1. A stage with two
 * chunks therefore does not hold one run of layers: 8 layers over 2 stages with 2 chunks are 0 1 4 5 and 2 3 6 7.
 * @throws InvalidInputError `CPT_CONFIG_MODEL` when layers do not divide.
 */
export function planChunks(layers: number, grid: RankGrid): LayerChunk[] {
  const { pipelineParallelSize: stages, virtualStages = 1 } = grid;
  const perStage = stageLayers(layers, grid);
  for (const held of perStage) requireWhole('layers', held, 'chunks of a stage', virtualStages);
  let firstLayer = 0;
  return Array.from({ length: stages * virtualStages }, (_, chunk) => {
    const pipelineStage = chunk % stages;
    const held = (perStage[pipelineStage] as number) / virtualStages;
    firstLayer += held;
    return {
      pipelineStage,
      virtualStage: Math.floor(chunk / stages),
      firstLayer: firstLayer - held,
      layers: held,
    };
  });
}

function stageLayers(layers: number, grid: RankGrid): number[] {
  const { pipelineParallelSize: stages, firstStageLayers: first, lastStageLayers: last } = grid;
  if (first === undefined && last === undefined) {
    requireWhole('layers', layers, 'pipeline stages', stages);
    return new Array<number>(stages).fill(layers / stages);
  }
  const even = stages - (first === undefined ? 0 : 1) - (last === undefined ? 0 : 1);
  const rest = layers - (first ?? 0) - (last ?? 0);
  if (stages < 2 || rest < even || (even === 0 && rest !== 0)) {
    const ends = [first === undefined ? [] : `${first} on the first`, last === undefined ? [] : `${last} on the last`];
    throw new InvalidInputError(
      'CPT_CONFIG_MODEL',
      `${ends.flat().join(' and ')} of ${stages} pipeline stages leave ${rest} of ${layers} layers for ${Math.max(even, 0)} others`,
    );
  }
  if (even > 0) requireWhole('remaining layers', rest, 'other pipeline stages', even);
  const split = new Array<number>(stages).fill(even > 0 ? rest / even : 0);
  if (first !== undefined) split[0] = first;
  if (last !== undefined) split[stages - 1] = last;
  return split;
}

/** @throws InvalidInputError `CPT_CONFIG_MODEL` when a size of the model does not divide among the ranks. */
export function requireDivisible(model: ModelConfig, grid: RankGrid): void {
  const { tensorParallelSize: ranks, pipelineParallelSize: stages, virtualStages = 1 } = grid;
  for (const [name, size] of Object.entries({
    tensorParallelSize: ranks,
    pipelineParallelSize: stages,
    virtualStages,
  })) {
    if (Number.isSafeInteger(size) && size > 0) continue;
    throw new InvalidInputError('CPT_CONFIG_MODEL', `${name} is ${size}; it must be a whole number from 1 on`);
  }
  if (virtualStages > 1 && stages === 1) {
    throw new InvalidInputError(
      'CPT_CONFIG_MODEL',
      `${virtualStages} virtual stages need more than one pipeline stage`,
    );
  }
  requireWhole('heads', model.heads, 'tensor ranks', ranks);
  requireWhole('query groups', model.queryGroups, 'tensor ranks', ranks);
  requireWhole('ffn rows', model.ffnHiddenSize, 'tensor ranks', ranks);
  requireWhole('heads', model.heads, 'query groups', model.queryGroups);
  planChunks(model.layers, grid);
}

function requireWhole(what: string, size: number, over: string, parts: number): void {
  if (size % parts === 0) return;
  throw new InvalidInputError('CPT_CONFIG_MODEL', `${size} ${what} do not divide among ${parts} ${over}`);
}
