import { bytesPerElement, castDtype, type Dtype, type Shape } from '@pai-cpt/core';
import type { SafetensorsDirectory } from '@pai-cpt/safetensors';
import type { MegatronCheckpoint, MegatronParameter, PlacedShard, ReadInto } from './checkpoint.ts';
import { matrixSize } from './mapping.ts';
import { readRows } from './read-rows.ts';
import { type RowFacts, rowLocator } from './verify-rows.ts';

export interface TensorComparison {
  readonly tensors: number;
  readonly bytes: number;
  /** `F32 → BF16` for each pair of dtypes that was compared after the cast that `--dtype` does. */
  readonly casts: readonly string[];
  /** Elements that are NaN or infinite, and the first tensor that has one. They are kept as they are; a run with them gives nothing. */
  readonly nonFinite: { readonly elements: number; readonly first?: string };
  /** One line for each tensor that differs, with its first element that does. */
  readonly faults: readonly string[];
}

/** Rows held at a time, of the output and of each rank. */
const WINDOW_BYTES = 1024 * 1024;

/**
 * Compares every output tensor with the checkpoint byte by byte, each row found by the formulas of `verify-rows.ts`; where the output
 * has another dtype, after the same rounding. Faults are collected, not thrown: the list shows what they have in common.
 */
export async function compareTensors(
  hf: SafetensorsDirectory,
  checkpoint: MegatronCheckpoint,
  options: { onProgress?(doneBytes: number): void; signal?: AbortSignal },
): Promise<TensorComparison> {
  const { modelConfig, paddedVocabSize, parallel } = checkpoint;
  const facts = { ...modelConfig, paddedVocabSize, tensorParallelSize: parallel.tensorParallelSize };
  const parameters = new Map(checkpoint.parameters().map((parameter) => [parameter.megatronName, parameter]));
  const faults: string[] = [];
  const casts = new Set<string>();
  const nonFinite: { elements: number; first?: string } = { elements: 0 };
  let bytes = 0;
  for (const [name, info] of hf.tensors) {
    options.signal?.throwIfAborted();
    const fault = await compareTensor(name, info, hf, {
      facts,
      parameters,
      casts,
      nonFinite,
      readInto: checkpoint.readInto,
    });
    if (fault) faults.push(fault);
    bytes += info.byteLength;
    options.onProgress?.(bytes);
  }
  return { tensors: hf.tensors.size, bytes, casts: [...casts], nonFinite, faults };
}

interface Source {
  readonly facts: RowFacts;
  readonly parameters: ReadonlyMap<string, MegatronParameter>;
  readonly readInto: ReadInto;
  readonly casts: Set<string>;
  readonly nonFinite: { elements: number; first?: string };
}

async function compareTensor(
  name: string,
  { dtype, shape }: { dtype: Dtype; shape: Shape },
  hf: SafetensorsDirectory,
  { facts, parameters, readInto, casts, nonFinite }: Source,
): Promise<string | undefined> {
  const locator = rowLocator(name, facts);
  const parameter = locator && parameters.get(locator.megatronName);
  if (!locator || !parameter) return `"${name}" has no counterpart in the checkpoint`;
  if (parameter.dtype !== dtype) casts.add(`${parameter.dtype} → ${dtype}`);
  const [rows, columns] = matrixSize(shape);
  const elementBytes = bytesPerElement(dtype);
  const rowBytes = columns * elementBytes;
  const output = hf.tensorSource(name);
  const windows = parameter.shards.map((shard) => rowWindow(shard, [parameter.dtype, dtype], readInto));
  const step = Math.max(1, Math.floor(WINDOW_BYTES / rowBytes));
  for (let first = 0; first < rows; first += step) {
    const count = Math.min(step, rows - first);
    const block = await output.read(first * rowBytes, count * rowBytes);
    const found = countNonFinite(block, dtype);
    if (found > 0) nonFinite.first ??= name;
    nonFinite.elements += found;
    for (let row = 0; row < count; row++) {
      for (const piece of locator.locate(first + row, columns)) {
        const expected = windows[piece.tensorRank]?.(piece.row);
        const at = row * rowBytes + piece.column * elementBytes;
        const found = block.subarray(at, at + piece.columns * elementBytes);
        if (expected && Buffer.compare(found, expected) === 0) continue;
        return describeFault(name, first + row, piece.column, found, expected, elementBytes);
      }
    }
  }
  return undefined;
}

/** Rows of a shard, in the output's dtype, out of a window that moves forward; undefined for a row that the shard does not have. */
function rowWindow(
  shard: PlacedShard,
  [from, to]: readonly [source: Dtype, output: Dtype],
  readInto: ReadInto,
): (row: number) => Uint8Array | undefined {
  const [rows, columns] = matrixSize(shard.shape);
  const rowBytes = columns * bytesPerElement(to);
  const step = Math.max(1, Math.floor(WINDOW_BYTES / (columns * bytesPerElement(from))));
  let first = 0;
  let window: Uint8Array = new Uint8Array();
  return (row) => {
    if (row >= rows) return undefined;
    if (row < first || (row - first) * rowBytes >= window.byteLength) {
      first = row;
      window = castDtype(readRows(shard, from, row, Math.min(rows, row + step), readInto), from, to);
    }
    return window.subarray((row - first) * rowBytes, (row - first + 1) * rowBytes);
  };
}

/** Elements whose exponent bits are all ones. */
function countNonFinite(block: Uint8Array, dtype: Dtype): number {
  const mask = { F32: 0x7f800000, BF16: 0x7f80, F16: 0x7c00 }[dtype as string];
  if (mask === undefined) return 0;
  const aligned = block.byteOffset % 4 === 0 ? block : new Uint8Array(block);
  const { buffer, byteOffset, byteLength } = aligned;
  const bits =
    dtype === 'F32'
      ? new Uint32Array(buffer, byteOffset, byteLength / 4)
      : new Uint16Array(buffer, byteOffset, byteLength / 2);
  let count = 0;
  for (let at = 0; at < bits.length; at++) if (((bits[at] as number) & mask) === mask) count++;
  return count;
}

function describeFault(
  name: string,
  row: number,
  column: number,
  found: Uint8Array,
  expected: Uint8Array | undefined,
  elementBytes: number,
): string {
  if (!expected) return `"${name}" row ${row}: the checkpoint has no such row`;
  if (expected.byteLength !== found.byteLength)
    return `"${name}" row ${row}: the checkpoint's rows are of another length`;
  const element = Math.floor(found.findIndex((byte, at) => byte !== expected[at]) / elementBytes);
  const hex = (bytes: Uint8Array) =>
    Buffer.from(bytes.subarray(element * elementBytes, (element + 1) * elementBytes)).toString('hex');
  return `"${name}" row ${row}, column ${column + element}: ${hex(found)}, in the checkpoint ${hex(expected)} (little-endian)`;
}
