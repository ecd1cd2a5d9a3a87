import type { ModelShape } from '../model-shape.ts';
import { Graph } from '../onnx-writer.ts';
import { addLinear, addNorm, addSoftmax } from './decoder-pieces.ts';
import { addWeight, type WeightDtype } from './weight-input.ts';

/** C rows of the embedding. Inputs: `weight` `[C, H]`, `rows` int32 `[N]` below C; output: `y` `[N, H]`. */
export function embeddingChunkGraph(shape: ModelShape, dtype: WeightDtype): Uint8Array {
  const graph = new Graph();
  const weight = addWeight(graph, 'weight', dtype, ['C', shape.hiddenSize]);
  const y = graph.op('Gather', [weight, graph.input('rows', 'int32', ['N'])]);
  graph.output('y', y, 'float32', ['N', shape.hiddenSize]);
  return graph.serialize();
}

/** The final norm. Inputs: `x` `[N, H]`, `weight` `[H]`; output: `y` `[N, H]`. */
export function finalNormGraph(shape: ModelShape, dtype: WeightDtype): Uint8Array {
  const graph = new Graph();
  const x = graph.input('x', 'float32', ['N', shape.hiddenSize]);
  const weight = addWeight(graph, 'weight', dtype, [shape.hiddenSize]);
  graph.output('y', addNorm(graph, x, weight, shape), 'float32', ['N', shape.hiddenSize]);
  return graph.serialize();
}

/**
 * C rows of the head. Inputs: `x` `[N, H]`, `weight` `[C, H]`, `targets` int32 `[N, 1]` below C; outputs, both `[N, 1]`:
 * `logSum`, the logarithm of the sum of the exponentials of the chunk's logits, and `chosen`, the logit of the target. Chunks
 * are joined by adding the exponentials, so no more than `[N, C]` logits exist at a time.
 */
export function headChunkGraph(shape: ModelShape, dtype: WeightDtype): Uint8Array {
  const graph = new Graph();
  const x = graph.input('x', 'float32', ['N', shape.hiddenSize]);
  const weight = addWeight(graph, 'weight', dtype, ['C', shape.hiddenSize]);
  const targets = graph.input('targets', 'int32', ['N', 1]);
  const logits = addLinear(graph, x, weight);
  graph.output('chosen', graph.op('GatherElements', [logits, targets], { axis: 1 }), 'float32', ['N', 1]);
  graph.output('logSum', addSoftmax(graph, logits).logSum, 'float32', ['N', 1]);
  return graph.serialize();
}
