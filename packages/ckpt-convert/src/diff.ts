import { bytesPerElement, castDtype, type Dtype, type Shape } from '@pai-cpt/core';
import { TILE_BYTES } from './execute.ts';
import { readReference } from './hf-files.ts';
import { isHfFolder, type OpenTensors, openTensors } from './open-tensors.ts';

/** How one tensor differs. Equal ones are only counted. */
export interface TensorDifference {
  readonly name: string;
  /** `shape` and `dtype`: the tensors cannot be or are not equal as they lie; `values`: elements differ. */
  readonly status: 'missing' | 'shape' | 'dtype' | 'values';
  /** What each side has; undefined where it has none. */
  readonly a?: { readonly dtype: Dtype; readonly shape: Shape };
  readonly b?: { readonly dtype: Dtype; readonly shape: Shape };
  /** Of float tensors of one shape; 0 where only bits differ (−0, NaN payloads), null where a NaN or infinity faces another value. */
  readonly maxAbsDifference?: number | null;
  /** Elements whose bits, or for different dtypes values, differ. */
  readonly differentElements?: number;
}

export interface DiffReport {
  readonly equal: boolean;
  /** Tensors that both have. */
  readonly compared: number;
  /** Of these, how many are not equal to the bit. */
  readonly different: number;
  /** Tensors that only one has. */
  readonly missing: number;
  /** Every different and every missing tensor, by name. */
  readonly tensors: readonly TensorDifference[];
}

export interface DiffOptions {
  readonly a: string;
  readonly b: string;
  onProgress?(doneBytes: number, totalBytes: number): void;
  readonly signal?: AbortSignal;
}

/**
 * Compares two checkpoints tensor by tensor under Hugging Face names, each a Hugging Face folder or a Megatron checkpoint of any
 * grid; a vocabulary's padding is no part of it. Memory is two blocks of 2 MiB and their values as floats.
 * @throws what opening either throws; a difference is a report, not an error.
 */
export async function diffCheckpoints(options: DiffOptions): Promise<DiffReport> {
  const reference = await commonReference(options);
  const a = await openTensors(options.a, reference);
  try {
    const b = await openTensors(options.b, reference);
    try {
      return await compareAll(a, b, options);
    } finally {
      await b.close();
    }
  } finally {
    await a.close();
  }
}

async function commonReference({ a, b }: DiffOptions) {
  for (const path of [a, b]) if (await isHfFolder(path)) return readReference(path);
  return undefined;
}

async function compareAll(a: OpenTensors, b: OpenTensors, options: DiffOptions): Promise<DiffReport> {
  const names = [...new Set([...a.tensors.keys(), ...b.tensors.keys()])];
  const shared = names.filter((name) => a.tensors.has(name) && b.tensors.has(name));
  const totalBytes = shared.reduce((sum, name) => sum + (a.tensors.get(name)?.byteLength ?? 0), 0);
  const blocks = [new Uint8Array(TILE_BYTES), new Uint8Array(TILE_BYTES)] as const;
  const tensors: TensorDifference[] = [];
  let doneBytes = 0;
  for (const name of names) {
    const [left, right] = [a.tensors.get(name), b.tensors.get(name)].map(
      (found) => found && { dtype: found.dtype, shape: found.shape },
    );
    const sides = { name, ...(left && { a: left }), ...(right && { b: right }) };
    if (!left || !right) {
      tensors.push({ ...sides, status: 'missing' });
      continue;
    }
    if (left.shape.join() !== right.shape.join()) tensors.push({ ...sides, status: 'shape' });
    else {
      const found = await compareValues(name, a, b, blocks, options.signal);
      const status = left.dtype === right.dtype ? 'values' : 'dtype';
      if (found.differentElements > 0 || status === 'dtype') tensors.push({ ...sides, status, ...found });
    }
    doneBytes += a.tensors.get(name)?.byteLength ?? 0;
    options.onProgress?.(doneBytes, totalBytes);
  }
  const missing = tensors.filter(({ status }) => status === 'missing').length;
  const different = tensors.length - missing;
  return { equal: tensors.length === 0, compared: shared.length, different, missing, tensors };
}

async function compareValues(
  name: string,
  a: OpenTensors,
  b: OpenTensors,
  blocks: readonly [Uint8Array, Uint8Array],
  signal: AbortSignal | undefined,
): Promise<{ maxAbsDifference?: number | null; differentElements: number }> {
  const [{ dtype: from, byteLength }, { dtype: to }] = [a.tensors.get(name), b.tensors.get(name)] as [
    { dtype: Dtype; byteLength: number },
    { dtype: Dtype },
  ];
  const [fromBytes, toBytes] = [bytesPerElement(from), bytesPerElement(to)];
  const elements = byteLength / fromBytes;
  const step = TILE_BYTES / Math.max(fromBytes, toBytes);
  const isFloat = isComparable(from) && isComparable(to);
  let largest: number | null = 0;
  let differentElements = 0;
  for (let first = 0; first < elements; first += step) {
    signal?.throwIfAborted();
    const count = Math.min(step, elements - first);
    const left = blocks[0].subarray(0, count * fromBytes);
    const right = blocks[1].subarray(0, count * toBytes);
    await a.readInto(name, first * fromBytes, left);
    await b.readInto(name, first * toBytes, right);
    if (from === to && Buffer.compare(left, right) === 0) continue;
    differentElements += from === to ? countDifferent(left, right, fromBytes) : 0;
    if (!isFloat) continue;
    const difference = floatDifference(toFloats(left, from), toFloats(right, to));
    largest = largest === null || difference.largest === null ? null : Math.max(largest, difference.largest);
    if (from !== to) differentElements += difference.elements;
  }
  return isFloat ? { maxAbsDifference: largest, differentElements } : { differentElements };
}

function isComparable(dtype: Dtype): boolean {
  return dtype === 'F32' || dtype === 'BF16' || dtype === 'F16';
}

function countDifferent(a: Uint8Array, b: Uint8Array, elementBytes: number): number {
  let count = 0;
  for (let at = 0; at < a.byteLength; at += elementBytes) {
    for (let byte = at; byte < at + elementBytes; byte++) {
      if (a[byte] === b[byte]) continue;
      count++;
      break;
    }
  }
  return count;
}

function floatDifference(a: Float32Array, b: Float32Array): { largest: number | null; elements: number } {
  let largest: number | null = 0;
  let elements = 0;
  for (let at = 0; at < a.length; at++) {
    const [left, right] = [a[at] as number, b[at] as number];
    if (Object.is(left, right) || left === right) continue;
    elements++;
    const difference = Math.abs(left - right);
    largest = largest === null || !Number.isFinite(difference) ? null : Math.max(largest, difference);
  }
  return { largest, elements };
}

function toFloats(bytes: Uint8Array, dtype: Dtype): Float32Array {
  const cast = castDtype(bytes, dtype, 'F32');
  return new Float32Array(cast.buffer, cast.byteOffset, cast.byteLength / 4);
}
