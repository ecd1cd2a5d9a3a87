import { castDtype, contiguousStride, type Dtype } from '@pai-cpt/core';
import type { MegatronCheckpoint, PlacedShard, ReadInto } from './checkpoint.ts';
import { matrixSize } from './mapping.ts';
import { readRows } from './read-rows.ts';
import type { Resolution } from './resolve.ts';

/** Means have addresses in a rank file that no byte of it can have. */
const FIRST_ADDRESS = 2 ** 52;

/**
 * The checkpoint with the mean of a norm's replicas in front of them wherever they differ. It is added up in float64, rounded to float32,
 * and from there as `--dtype` rounds. A norm is a few kilobytes, so the means are kept in memory.
 */
export function withMeans(
  checkpoint: MegatronCheckpoint,
  resolution: Resolution,
): { checkpoint: MegatronCheckpoint; resolution: Resolution } {
  const means: { readonly address: number; readonly bytes: Uint8Array }[] = [];
  let address = FIRST_ADDRESS;
  const parameters = resolution.parameters.map((resolved) => {
    const { shards, dtype } = resolved.parameter;
    const [first] = shards;
    if (resolved.mapping.kind !== 'replicated' || !first) return resolved;
    const bytes = meanOf(shards, dtype, checkpoint.readInto);
    if (!bytes) return resolved;
    const mean = { ...first, byteOffset: address, stride: contiguousStride(first.shape) };
    means.push({ address, bytes });
    address += bytes.byteLength;
    return { ...resolved, parameter: { ...resolved.parameter, shards: [mean, ...shards] } };
  });
  const readInto: ReadInto = (file, position, target) => {
    const found = means.findLast((mean) => mean.address <= position);
    if (!found) return checkpoint.readInto(file, position, target);
    const from = position - found.address;
    target.set(found.bytes.subarray(from, from + target.byteLength));
  };
  return { checkpoint: { ...checkpoint, readInto }, resolution: { ...resolution, parameters } };
}

/** Undefined where all are equal to the bit. */
function meanOf(shards: readonly PlacedShard[], dtype: Dtype, readInto: ReadInto): Uint8Array | undefined {
  const all = shards.map((shard) => readRows(shard, dtype, 0, matrixSize(shard.shape)[0], readInto));
  const [first, ...others] = all;
  if (!first || others.every((other) => Buffer.compare(first, other) === 0)) return undefined;
  const values = all.map((bytes) => new Float32Array(castDtype(bytes, dtype, 'F32').slice().buffer));
  const sums = new Float64Array(values[0]?.length ?? 0);
  for (const replica of values) for (const [at, value] of replica.entries()) sums[at] = (sums[at] as number) + value;
  const mean = Float32Array.from(sums, (sum) => sum / values.length);
  return castDtype(new Uint8Array(mean.buffer), 'F32', dtype);
}
