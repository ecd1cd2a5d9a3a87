import { CptError, type Dtype } from '@pai-cpt/core';
import {
  type MegatronCheckpoint,
  type MegatronParameter,
  type OpenCheckpointOptions,
  openMegatronCheckpoint,
} from './checkpoint.ts';
import { FAMILIES, type ModelFamily } from './families/index.ts';
import { matchName, placeShards } from './mapping.ts';
import type { ModelConfig } from './model-config.ts';
import { checkShapes, resolveParameters } from './resolve.ts';

/** What a checkpoint is, without reading a tensor. */
export interface Inspection {
  readonly format: MegatronCheckpoint['format'];
  readonly directory: string;
  readonly iteration: number;
  /** Several names where only a config.json can tell. */
  readonly family: string;
  readonly tensorParallelSize: number;
  readonly pipelineParallelSize: number;
  readonly virtualStages: number;
  readonly layersPerStage: readonly number[];
  readonly paddedVocabSize: number;
  readonly model: ModelConfig;
  /** Over all ranks, padding included. */
  readonly parameters: readonly { readonly name: string; readonly shape: readonly number[]; readonly dtype: Dtype }[];
  /** What disagrees or stands in the way of a conversion. */
  readonly problems: readonly string[];
}

/** Opens a checkpoint and describes it. @throws the errors of `openMegatronCheckpoint`. */
export async function inspectCheckpoint(path: string, options: OpenCheckpointOptions = {}): Promise<Inspection> {
  const checkpoint = await openMegatronCheckpoint(path, options);
  try {
    const { format, directory, iteration, parallel, layersPerStage, paddedVocabSize, modelConfig } = checkpoint;
    const family: ModelFamily = FAMILIES[modelConfig.family];
    return {
      format,
      directory,
      iteration,
      family: checkpoint.families.join(' or '),
      ...parallel,
      layersPerStage,
      paddedVocabSize,
      model: modelConfig,
      parameters: checkpoint.parameters().map((parameter) => ({
        name: parameter.megatronName,
        shape: globalShape(parameter, family),
        dtype: parameter.dtype,
      })),
      problems: [...checkpoint.problems, ...obstacles(checkpoint)],
    };
  } finally {
    await checkpoint.close();
  }
}

/** The shape over all ranks; that of one rank for a name which no row of the table has. */
function globalShape({ megatronName, shards }: MegatronParameter, family: ModelFamily): number[] {
  const shape = [...(shards[0]?.shape ?? [])];
  const row = Object.entries(family.parameters).find(([pattern]) => matchName(pattern, megatronName) !== undefined);
  if (!row) return shape;
  const boxes = placeShards(row[1], shape, shards.length);
  const rows = Math.max(...boxes.map((box) => box.globalRow + box.rows));
  const columns = Math.max(...boxes.map((box) => box.globalColumn + box.columns));
  return shape.length < 2 ? [rows] : [rows, columns];
}

function obstacles(checkpoint: MegatronCheckpoint): string[] {
  try {
    checkShapes(checkpoint, resolveParameters(checkpoint));
    return [];
  } catch (error) {
    if (CptError.isInstance(error)) return [error.message];
    throw error;
  }
}
