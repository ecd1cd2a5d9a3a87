import { bytesPerElement, type Dtype, type Shape } from '@pai-cpt/core';
import type { SafetensorsDirectory } from '@pai-cpt/safetensors';
import type { MegatronCheckpoint, MegatronParameter, PlacedShard, ReadInto } from './checkpoint.ts';
import { matrixSize } from './mapping.ts';
import { readRows } from './read-rows.ts';
import { type RowFacts, rowLocator } from './verify-rows.ts';

export interface TensorComparison {
  readonly tensors: number;
  readonly bytes: number;
  /** One line for each tensor that differs, with its first element that does. */
  readonly faults: readonly string[];
}

/** Rows held at a time, of the output and of each rank. */
const WINDOW_BYTES = 1024 * 1024;

/**
 * Compares every output tensor with the checkpoint byte by byte, each row found by the formulas of `verify-rows.ts`. Faults are
 * collected, not thrown: the list shows what they have in common.
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
  let bytes = 0;
  for (const [name, info] of hf.tensors) {
    options.signal?.throwIfAborted();
    const fault = await compareTensor(name, info, hf, { facts, parameters, readInto: checkpoint.readInto });
    if (fault) faults.push(fault);
    bytes += info.byteLength;
    options.onProgress?.(bytes);
  }
  return { tensors: hf.tensors.size, bytes, faults };
}

interface Source {
  readonly facts: RowFacts;
  readonly parameters: ReadonlyMap<string, MegatronParameter>;
  readonly readInto: ReadInto;
}

async function compareTensor(
  name: string,
  { dtype, shape }: { dtype: Dtype; shape: Shape },
  hf: SafetensorsDirectory,
  { facts, parameters, readInto }: Source,
): Promise<string | undefined> {
  const locator = rowLocator(name, facts);
  const parameter = locator && parameters.get(locator.megatronName);
  if (!locator || !parameter) return `"${name}" has no counterpart in the checkpoint`;
  if (parameter.dtype !== dtype) return `"${name}" is ${dtype}, the checkpoint has ${parameter.dtype}`;
  const [rows, columns] = matrixSize(shape);
  const elementBytes = bytesPerElement(dtype);
  const rowBytes = columns * elementBytes;
  const output = hf.tensorSource(name);
  const windows = parameter.shards.map((shard) => rowWindow(shard, dtype, readInto));
  const step = Math.max(1, Math.floor(WINDOW_BYTES / rowBytes));
  for (let first = 0; first < rows; first += step) {
    const count = Math.min(step, rows - first);
    const block = await output.read(first * rowBytes, count * rowBytes);
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

/** Rows of a shard out of a window that moves forward; undefined for a row that the shard does not have. */
function rowWindow(shard: PlacedShard, dtype: Dtype, readInto: ReadInto): (row: number) => Uint8Array | undefined {
  const [rows, columns] = matrixSize(shard.shape);
  const rowBytes = columns * bytesPerElement(dtype);
  const step = Math.max(1, Math.floor(WINDOW_BYTES / rowBytes));
  let from = 0;
  let window = new Uint8Array();
  return (row) => {
    if (row >= rows) return undefined;
    if (row < from || (row - from) * rowBytes >= window.byteLength) {
      from = row;
      window = readRows(shard, dtype, from, Math.min(rows, from + step), readInto);
    }
    return window.subarray((row - from) * rowBytes, (row - from + 1) * rowBytes);
  };
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
