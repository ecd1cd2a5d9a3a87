import type { Dtype } from '@pai-cpt/core';
import { type Dimension, ELEMENT_TYPES, type Graph, type Value } from '../onnx-writer.ts';

/** Dtypes in which weights may be fed. */
export type WeightDtype = 'F32' | 'BF16' | 'F16';

export function isWeightDtype(dtype: Dtype): dtype is WeightDtype {
  return dtype === 'F32' || dtype === 'BF16' || dtype === 'F16';
}

/**
 * A weight that is fed in its dtype on disk, as a float32 value. Two-byte floats go in as the uint16 of their bits, because
 * onnxruntime has no bfloat16 tensor in JavaScript; widening them inside the graph is several times faster than outside.
 */
export function addWeight(graph: Graph, name: string, dtype: WeightDtype, shape: readonly Dimension[]): Value {
  if (dtype === 'F32') return graph.input(name, 'float32', shape);
  const bits = graph.input(name, 'uint16', shape);
  const half = graph.op('BitCast', [bits], { to: ELEMENT_TYPES[dtype === 'BF16' ? 'bfloat16' : 'float16'] });
  return graph.op('Cast', [half], { to: ELEMENT_TYPES.float32 });
}
