import { bytesPerElement, type Dtype, FormatError, type Shape, tensorBytes } from '@pai-cpt/core';
import { assignShards, type OutputShard } from '@pai-cpt/safetensors';
import { type CastOptions, writtenDtype } from './cast.ts';
import type { MegatronCheckpoint, MegatronParameter, PlacedShard } from './checkpoint.ts';
import { composeCopies, type ShardSteps, type StridedCopy } from './copies.ts';
import { matrixSize, placeShards, unpackRows } from './mapping.ts';
import type { Resolution, ResolvedParameter } from './resolve.ts';

/** One output tensor and the copies that fill it. */
export interface PlannedTensor {
  readonly name: string;
  /** As it is written. */
  readonly dtype: Dtype;
  /** As the shards hold it, where that is another one; `copies` count its bytes. */
  readonly sourceDtype?: Dtype;
  readonly shape: Shape;
  readonly byteLength: number;
  readonly megatronName: string;
  readonly sources: readonly PlacedShard[];
  readonly copies: readonly StridedCopy[];
}

/** Something the tensors must satisfy and that only their bytes can tell; done before anything is written. */
export type PlannedCheck =
  | { readonly kind: 'replicas'; readonly parameter: MegatronParameter }
  | { readonly kind: 'zero'; readonly parameter: MegatronParameter }
  | { readonly kind: 'tiedCopy'; readonly parameter: MegatronParameter; readonly embedding: MegatronParameter }
  | { readonly kind: 'padding'; readonly parameter: MegatronParameter; readonly vocabSize: number };

/** Everything that a conversion will do, as data. */
export interface ConversionPlan {
  readonly outputShards: readonly OutputShard<PlannedTensor>[];
  readonly checks: readonly PlannedCheck[];
  readonly tensorCount: number;
  readonly byteLength: number;
}

/**
 * Names and shapes in, copies out; reads nothing. Output tensors keep the order of the model.
 * @throws InvalidInputError `CPT_INPUT_LOSSY_CAST`.
 */
export function planConversion(
  checkpoint: MegatronCheckpoint,
  resolution: Resolution,
  maxShardBytes: number,
  cast: CastOptions = {},
): ConversionPlan {
  const tensors = resolution.parameters.flatMap((resolved) => planParameter(resolved, checkpoint, cast));
  return {
    outputShards: assignShards(tensors, maxShardBytes),
    checks: planChecks(checkpoint, resolution),
    tensorCount: tensors.length,
    byteLength: tensors.reduce((sum, { byteLength }) => sum + byteLength, 0),
  };
}

function planParameter(
  resolved: ResolvedParameter,
  checkpoint: MegatronCheckpoint,
  cast: CastOptions,
): PlannedTensor[] {
  const { parameter, mapping, outputs } = resolved;
  const { dtype, shards, megatronName } = parameter;
  const ranks = checkpoint.parallel.tensorParallelSize;
  const elementBytes = bytesPerElement(dtype);
  const placements = placeShards(mapping, (shards[0] as PlacedShard).shape, ranks);
  const steps = shards.map((shard) => shardSteps(shard, elementBytes));
  return outputs.map(({ hfName, shape }, part) => {
    const runs = unpackRows(mapping, part, checkpoint.modelConfig);
    const copies = composeCopies(placements, runs, steps, matrixSize(shape)[1], elementBytes);
    requireEveryByte(hfName, copies, tensorBytes(shape, dtype));
    const written = writtenDtype(hfName, dtype, cast);
    const byteLength = tensorBytes(shape, written);
    const planned = { name: hfName, dtype: written, shape, byteLength, megatronName, sources: shards, copies };
    return written === dtype ? planned : { ...planned, sourceDtype: dtype };
  });
}

/** Byte steps of a shard taken as a matrix; a vector has one column. */
export function shardSteps(shard: PlacedShard, elementBytes: number): ShardSteps {
  const [row = 1, column = 1] = shard.stride;
  return { rowStep: row * elementBytes, columnStep: column * elementBytes };
}

function requireEveryByte(name: string, copies: readonly StridedCopy[], byteLength: number): void {
  const planned = copies.reduce((sum, copy) => sum + copy.bytes * copy.count, 0);
  if (planned === byteLength) return;
  throw new FormatError('CPT_FORMAT_SHAPE_MISMATCH', `"${name}" has ${byteLength} bytes, the shards give ${planned}`);
}

function planChecks(checkpoint: MegatronCheckpoint, resolution: Resolution): PlannedCheck[] {
  const { modelConfig, paddedVocabSize, parallel } = checkpoint;
  const checks: PlannedCheck[] = resolution.mustBeZero.map((parameter) => ({ kind: 'zero', parameter }));
  for (const { parameter, mapping } of resolution.parameters) {
    if (mapping.kind === 'replicated' && parallel.tensorParallelSize > 1) checks.push({ kind: 'replicas', parameter });
    if (mapping.kind === 'vocabRows' && modelConfig.vocabSize < paddedVocabSize) {
      checks.push({ kind: 'padding', parameter, vocabSize: modelConfig.vocabSize });
    }
  }
  const embedding = resolution.parameters[0]?.parameter;
  if (resolution.tiedCopy && embedding) {
    checks.push({ kind: 'tiedCopy', parameter: resolution.tiedCopy, embedding });
  }
  return checks;
}
