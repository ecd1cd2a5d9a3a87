import type { ModelShape } from '../model-shape.ts';
import type { Graph, Value } from '../onnx-writer.ts';

/** Query, key and value rows of attention, each `[B·S, heads · headDim]`, heads being `groups` for key and value. */
export interface AttentionInputs {
  readonly q: Value;
  readonly k: Value;
  readonly v: Value;
}

/** How the rows of one attention are divided. On a Megatron rank `heads` and `groups` are the rank's own. */
export interface AttentionSizes {
  readonly heads: number;
  readonly groups: number;
  readonly headDim: number;
  /** S, or -1 when there is one sequence of any length. */
  readonly length: number;
}

/** Keys and values of earlier positions, `[B, groups, P, headDim]`. */
export interface KeyValueCache {
  readonly keys: Value;
  readonly values: Value;
}

/** Declares the inputs `cos` and `sin` `[B, S, headDim / 2]` that `addAttention` reads. */
export function addRotaryInputs(graph: Graph, headDim: number): void {
  graph.input('cos', 'float32', ['B', 'S', headDim / 2]);
  graph.input('sin', 'float32', ['B', 'S', headDim / 2]);
}

/** Causal attention with rotary positions, `[B·S, heads · headDim]`. */
export function addAttention(graph: Graph, inputs: AttentionInputs, sizes: AttentionSizes): Value {
  return addCachedAttention(graph, inputs, sizes).output;
}

/** The same behind a cache; `cache` of the result also holds the new positions. */
export function addCachedAttention(
  graph: Graph,
  inputs: AttentionInputs,
  sizes: AttentionSizes,
  past?: KeyValueCache,
): { output: Value; cache: KeyValueCache } {
  const { heads, groups, headDim, length } = sizes;
  const batched = (rows: Value, count: number) => reshape(graph, rows, batchedShape(length, count * headDim));
  const rotate = (rows: Value, count: number) =>
    graph.op('RotaryEmbedding', [batched(rows, count), 'cos', 'sin'], { num_heads: count, interleaved: 0 });
  const operands = [rotate(inputs.q, heads), rotate(inputs.k, groups), batched(inputs.v, groups)];
  const attributes = { q_num_heads: heads, kv_num_heads: groups, is_causal: 1 };
  const [context, keys, values] = (
    past
      ? graph.ops('Attention', 3, [...operands, '', past.keys, past.values], attributes)
      : graph.ops('Attention', 1, operands, attributes)
  ) as [Value, Value, Value];
  return { output: reshape(graph, context, [-1, heads * headDim]), cache: { keys, values } };
}

function batchedShape(length: number, width: number): number[] {
  return length === -1 ? [1, -1, width] : [-1, length, width];
}

/** The norm of every head by itself: rows `[N, heads · headDim]`, weight `[headDim]`. */
export function addHeadNorm(graph: Graph, rows: Value, weight: Value, shape: ModelShape, heads: number): Value {
  const normed = addNorm(graph, reshape(graph, rows, [-1, shape.headDim]), weight, shape);
  return reshape(graph, normed, [-1, heads * shape.headDim]);
}

/** x · w / √(mean x² + ε), per row. */
export function addNorm(graph: Graph, x: Value, weight: Value, shape: ModelShape): Value {
  return graph.op('RMSNormalization', [x, weight], { epsilon: { float: shape.normEpsilon }, axis: -1 });
}

/** x Wᵀ + b, with W `[out, in]` as both Hugging Face and Megatron store it. */
export function addLinear(graph: Graph, x: Value, weight: Value, bias?: Value): Value {
  return graph.op('Gemm', bias === undefined ? [x, weight] : [x, weight, bias], { transB: 1 });
}

/** gate · σ(gate) · up. */
export function addSwiglu(graph: Graph, gate: Value, up: Value): Value {
  return graph.op('Mul', [graph.op('Mul', [gate, graph.op('Sigmoid', [gate])]), up]);
}

/**
 * Softmax over the last axis `[N, C]` and log Σ exp `[N, 1]` of the logits. The largest probability is exp(max − log Σ exp), so
 * the sum follows from two maxima, several times faster than onnxruntime's ReduceLogSumExp; taken from any other probability it
 * would be lost where that one is rounded to zero.
 */
export function addSoftmax(graph: Graph, logits: Value): { probabilities: Value; logSum: Value } {
  const lastAxis = graph.constant('int64', [1], [-1]);
  const max = (values: Value) => graph.op('ReduceMax', [values, lastAxis], { keepdims: 1 });
  const probabilities = graph.op('Softmax', [logits], { axis: -1 });
  return { probabilities, logSum: graph.op('Sub', [max(logits), graph.op('Log', [max(probabilities)])]) };
}

export function reshape(graph: Graph, x: Value, shape: readonly number[]): Value {
  return graph.op('Reshape', [x, graph.constant('int64', [shape.length], shape)]);
}
