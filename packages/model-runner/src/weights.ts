import { castDtype, type Dtype, MappingError, rowBytes, type Shape, UnsupportedError } from '@pai-cpt/core';
import type { SafetensorsFile } from '@pai-cpt/safetensors';
import { isWeightDtype, type WeightDtype } from './graphs/weight-input.ts';
import { type Tensor, weightTensor } from './session.ts';

/** Named tensors of a model, read one at a time. */
export interface WeightSource {
  shapeOf(name: string): { readonly dtype: Dtype; readonly shape: Shape } | undefined;
  /** The bytes of a tensor or of its rows `from … to - 1`, in a buffer of their own that starts at a multiple of 8. */
  read(name: string, rows?: RowRange): Promise<Uint8Array>;
}

export interface RowRange {
  readonly from: number;
  readonly to: number;
}

/** The tensors of an open safetensors file or model directory. */
export function safetensorsWeights(opened: Pick<SafetensorsFile, 'tensors' | 'tensorSource'>): WeightSource {
  return {
    shapeOf: (name) => opened.tensors.get(name),
    async read(name, rows) {
      const source = opened.tensorSource(name);
      const info = opened.tensors.get(name);
      const width = info ? rowBytes(info.shape, info.dtype) : 0;
      const from = rows ? rows.from * width : 0;
      const bytes = await source.read(from, rows ? rows.to * width - from : source.byteLength);
      // A source in memory gives a view of itself, at any offset.
      return bytes.byteLength === bytes.buffer.byteLength ? bytes : bytes.slice();
    },
  };
}

/** Parameters in memory, as a trainer has them; every read is a copy of their present values. */
export function parameterWeights(
  parameters: ReadonlyMap<string, { readonly shape: Shape; readonly data: Float32Array }>,
): WeightSource {
  return {
    shapeOf(name) {
      const found = parameters.get(name);
      return found && { dtype: 'F32', shape: found.shape };
    },
    async read(name, rows) {
      const found = parameters.get(name);
      if (!found) throw missing(name);
      const width = found.data.length / (found.shape[0] as number);
      const values = rows ? found.data.slice(rows.from * width, rows.to * width) : found.data.slice();
      return new Uint8Array(values.buffer);
    },
  };
}

/**
 * The dtype of a weight that must be there.
 * @throws MappingError `CPT_MAPPING_WEIGHT` when it is not. @throws UnsupportedError `CPT_UNSUPPORTED_RUN`.
 */
export function weightDtype(source: WeightSource, name: string): WeightDtype {
  const dtype = requireWeight(source, name).dtype;
  if (isWeightDtype(dtype)) return dtype;
  throw new UnsupportedError('CPT_UNSUPPORTED_RUN', `"${name}" is ${dtype}; weights are run in F32, BF16 or F16`, {
    feature: `weights in ${dtype}`,
  });
}

/** Dtype and shape of a weight that must be there. @throws MappingError `CPT_MAPPING_WEIGHT`. */
export function requireWeight(source: WeightSource, name: string): { readonly dtype: Dtype; readonly shape: Shape } {
  const found = source.shapeOf(name);
  if (!found) throw missing(name);
  return found;
}

/**
 * A weight, or some of its rows, ready to be fed in its own dtype.
 * @param expected the whole tensor's shape. @throws MappingError `CPT_MAPPING_WEIGHT` when the source has another.
 */
export async function readWeight(
  source: WeightSource,
  name: string,
  expected: Shape,
  rows?: RowRange,
): Promise<Tensor> {
  const shape = checkShape(source, name, expected);
  const bytes = await source.read(name, rows);
  const readShape = rows ? [rows.to - rows.from, ...shape.slice(1)] : shape;
  return weightTensor(bytes, weightDtype(source, name), readShape);
}

/**
 * A whole weight in float32, to be kept for many runs. @throws as `readWeight`, and UnsupportedError `CPT_UNSUPPORTED_CAST` for
 * dtypes other than F32 and BF16.
 */
export async function readFloat32Weight(source: WeightSource, name: string, expected: Shape): Promise<Tensor> {
  const shape = checkShape(source, name, expected);
  const bytes = castDtype(await source.read(name), weightDtype(source, name), 'F32');
  return weightTensor(bytes, 'F32', shape);
}

function checkShape(source: WeightSource, name: string, expected: Shape): Shape {
  const { shape } = requireWeight(source, name);
  if (shape.join() === expected.join()) return shape;
  const why = `"${name}" is [${shape.join(', ')}]; the model's sizes need [${expected.join(', ')}]`;
  throw new MappingError('CPT_MAPPING_WEIGHT', why, { names: [name] });
}

function missing(name: string): MappingError {
  return new MappingError('CPT_MAPPING_WEIGHT', `the weights hold no "${name}", which the model's shape asks for`, {
    names: [name],
  });
}
