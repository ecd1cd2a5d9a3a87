import { contiguousStride, type Dtype, InvalidInputError, MappingError, type Shape } from '@pai-cpt/core';
import type { MegatronCheckpoint, PlacedShard } from './checkpoint.ts';
import type { Placement } from './copies.ts';
import { FAMILIES, type ModelFamily } from './families/index.ts';
import { matrixSize, placeShards, unpackRows } from './mapping.ts';
import type { ModelConfig } from './model-config.ts';
import { expectedRows, outputsOf, type Resolution } from './resolve.ts';

/** A Megatron parameter over all ranks, and the boxes of its matrix that each source holds. Without a vocabulary's padding. */
export interface GlobalParameter {
  readonly dtype: Dtype;
  readonly sources: readonly PlacedShard[];
  /** `shard` is an index into `sources`. Together they cover the matrix once. */
  readonly boxes: readonly Placement[];
}

/** Where a whole tensor of a Hugging Face folder lies. */
export interface TensorPlace {
  readonly dtype: Dtype;
  readonly shape: Shape;
  readonly file: string;
  readonly byteOffset: number;
}

/**
 * Every Megatron parameter of a model, packed from Hugging Face tensors.
 * @throws MappingError `CPT_MAPPING_NAMES` listing all missing tensors, InvalidInputError `CPT_CONFIG_MODEL` for another shape.
 */
export function parametersOfHf(
  model: ModelConfig,
  placeOf: (hfName: string) => TensorPlace | undefined,
): Map<string, GlobalParameter> {
  const family: ModelFamily = FAMILIES[model.family];
  const parameters = new Map<string, GlobalParameter>();
  const missing: string[] = [];
  for (const { megatronName, mapping, layer } of expectedRows(family, model)) {
    const places = outputsOf(mapping, layer, model).map(({ hfName, shape }) => {
      const place = placeOf(hfName);
      if (!place) missing.push(hfName);
      else requireShape(hfName, place.shape, shape, mapping.kind === 'vocabRows');
      return { hfName, place };
    });
    const found = places.flatMap(({ place }) => place ?? []);
    if (found.length < places.length) continue;
    const { dtype } = found[0] as TensorPlace;
    const other = places.find(({ place }) => place?.dtype !== dtype);
    if (other) {
      const why = `"${other.hfName}" is ${other.place?.dtype}, "${places[0]?.hfName}" is ${dtype}`;
      throw new InvalidInputError('CPT_CONFIG_MODEL', `${why}; they become one tensor and need one dtype`, {
        names: places.map(({ hfName }) => hfName),
      });
    }
    const boxes = found.flatMap(({ shape }, part) =>
      unpackRows(mapping, part, model).map(({ globalRow, toRow, rows }) => ({
        ...{ shard: part, globalRow, globalColumn: 0, rows, columns: matrixSize(shape)[1] },
        localRow: toRow,
      })),
    );
    const sources = found.map(({ shape, file, byteOffset }) => ({
      ...{ tensorRank: 0, file, byteOffset, shape, stride: contiguousStride(shape) },
    }));
    parameters.set(megatronName, { dtype, sources, boxes });
  }
  if (missing.length === 0) return parameters;
  const what = `${missing.length} tensors of ${family.modelType} with ${model.layers} layers are missing`;
  throw new MappingError('CPT_MAPPING_NAMES', `${what}: ${missing.map((name) => `"${name}"`).join(', ')}`, {
    names: missing,
  });
}

/** A table may have more rows than are kept: the rest is padding. */
function requireShape(hfName: string, found: Shape, wanted: Shape, mayHaveMore: boolean): void {
  const isEnough = (size: number, axis: number) => {
    const other = wanted[axis] as number;
    return size === other || (mayHaveMore && axis === 0 && size > other);
  };
  if (found.length === wanted.length && found.every(isEnough)) return;
  throw new InvalidInputError(
    'CPT_CONFIG_MODEL',
    `"${hfName}" is [${found.join(', ')}]; the model configuration needs [${wanted.join(', ')}]`,
    { names: [hfName] },
  );
}

/** Every parameter of a checkpoint as it lies in its rank files, for another grid: no Hugging Face name is involved. */
export function parametersOfCheckpoint(
  checkpoint: MegatronCheckpoint,
  resolution: Resolution,
): Map<string, GlobalParameter> {
  const { modelConfig, parallel } = checkpoint;
  return new Map(
    resolution.parameters.map(({ parameter, mapping }) => {
      const { megatronName, dtype, shards } = parameter;
      const shape = (shards[0] as PlacedShard).shape;
      const all = placeShards(mapping, shape, parallel.tensorParallelSize);
      const kept = mapping.kind === 'vocabRows' ? modelConfig.vocabSize : Number.POSITIVE_INFINITY;
      const boxes = all.map((box) => ({ ...box, rows: Math.max(0, Math.min(box.rows, kept - box.globalRow)) }));
      return [megatronName, { dtype, sources: shards, boxes }] as const;
    }),
  );
}
