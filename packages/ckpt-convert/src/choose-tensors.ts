import { InvalidInputError } from '@pai-cpt/core';
import type { MegatronCheckpoint, MegatronParameter, PlacedShard } from './checkpoint.ts';
import { withMeans } from './mean-replicas.ts';
import { type Resolution, resolveParameters } from './resolve.ts';

/** What is taken where a checkpoint leaves a choice. */
export interface TensorChoice {
  /** Tensor rank whose norms are taken, from 0, or the mean of all; where it is given, ranks may differ, and are reported. */
  readonly replica?: number | 'mean';
  /** Writes the head of a tied model as a table of its own. */
  readonly untie?: boolean;
}

const EMBEDDING = 'embedding.word_embeddings.weight';
const HEAD = 'output_layer.weight';

/**
 * The checkpoint as it is to be read, and its parameters.
 * @throws InvalidInputError `CPT_INPUT_INVALID` for a replica that there is not, and the errors of `resolveParameters`.
 */
export function chooseTensors(
  opened: MegatronCheckpoint,
  { replica, untie = false }: TensorChoice,
): { checkpoint: MegatronCheckpoint; resolution: Resolution } {
  const checkpoint = untie && opened.modelConfig.isTied ? untied(opened) : opened;
  const resolution = resolveParameters(checkpoint);
  if (replica === undefined) return { checkpoint, resolution };
  if (replica === 'mean') return withMeans(checkpoint, resolution);
  const { tensorParallelSize } = checkpoint.parallel;
  if (replica >= tensorParallelSize) {
    throw new InvalidInputError(
      'CPT_INPUT_INVALID',
      `${checkpoint.directory}: --replica is ${replica}, the checkpoint has tensor ranks 0 to ${tensorParallelSize - 1}`,
      { field: '--replica' },
    );
  }
  const parameters = resolution.parameters.map((resolved) => {
    if (resolved.mapping.kind !== 'replicated') return resolved;
    const { shards } = resolved.parameter;
    const chosen = shards[replica] as PlacedShard;
    const parameter = { ...resolved.parameter, shards: [chosen, ...shards.filter((shard) => shard !== chosen)] };
    return { ...resolved, parameter };
  });
  return { checkpoint, resolution: { ...resolution, parameters } };
}

/**
 * A tied checkpoint with its head as a table of its own: the last stage's copy where there is one, which may have drifted away, else the
 * embedding again, as if it lay on the last stage.
 */
export function untied(checkpoint: MegatronCheckpoint): MegatronCheckpoint {
  const parameters = checkpoint.parameters();
  const embedding = parameters.find(({ megatronName }) => megatronName === EMBEDDING);
  const hasHead = parameters.some(({ megatronName }) => megatronName === HEAD);
  const pipelineStage = Math.max(...parameters.map((parameter) => parameter.pipelineStage));
  const place = { megatronName: HEAD, localName: HEAD, pipelineStage };
  const head: MegatronParameter[] = embedding && !hasHead ? [{ ...embedding, ...place }] : [];
  return {
    ...checkpoint,
    modelConfig: { ...checkpoint.modelConfig, isTied: false },
    parameters: () => [...parameters, ...head],
  };
}
