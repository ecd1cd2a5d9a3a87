import type { ModelShape, ParameterShape } from '../model-shape.ts';
import { Graph, type Value } from '../onnx-writer.ts';
import { addAttention, addLinear, addNorm, addRotaryInputs, addSwiglu, reshape } from './decoder-pieces.ts';
import { addWeight, type WeightDtype } from './weight-input.ts';

/**
 * The halves of a decoder layer as one tensor parallel rank computes them, from the rank's own weights in their own layout:
 * nothing here un-shards or un-packs, so that a mistake in a converter cannot hide by being made twice.
 *
 *   linear_qkv   [groups/T · (q + 2) · d, H]   per group: the rows of its q query heads, of its key, of its value
 *   linear_proj  [H, heads/T · d]              the rank's columns
 *   linear_fc1   [2 · F/T, H]                  the rank's gate rows, then its up rows
 *   linear_fc2   [H, F/T]                      the rank's columns
 *
 * Each half computes `y = acc + partial(x)`. Fed the residual as `acc` on rank 0 and the last rank's `y` on every other one,
 * the last `y` is what the all-reduce gives.
 * Source: NVIDIA/Megatron-LM@00caa53, megatron/core/transformer/attention.py, SelfAttention.get_query_key_value_tensors; mlp.py.
 */
export const MEGATRON_HALVES = ['attention', 'mlp'] as const;
export type MegatronHalf = (typeof MEGATRON_HALVES)[number];

/** The weights of a half on one of `ranks` ranks, by the end of their names after `decoder.layers.N.`. */
export function megatronHalfParameters(shape: ModelShape, ranks: number, half: MegatronHalf): ParameterShape[] {
  const { hiddenSize, headDim } = shape;
  const ffn = shape.ffnHiddenSize / ranks;
  const queryColumns = (shape.heads / ranks) * headDim;
  const qkvRows = queryColumns + 2 * (shape.queryGroups / ranks) * headDim;
  if (half === 'mlp') {
    return [
      { name: 'mlp.linear_fc1.layer_norm_weight', shape: [hiddenSize] },
      { name: 'mlp.linear_fc1.weight', shape: [2 * ffn, hiddenSize] },
      { name: 'mlp.linear_fc2.weight', shape: [hiddenSize, ffn] },
    ];
  }
  return [
    { name: 'self_attention.linear_qkv.layer_norm_weight', shape: [hiddenSize] },
    { name: 'self_attention.linear_qkv.weight', shape: [qkvRows, hiddenSize] },
    ...(shape.hasQkvBias ? [{ name: 'self_attention.linear_qkv.bias', shape: [qkvRows] }] : []),
    { name: 'self_attention.linear_proj.weight', shape: [hiddenSize, queryColumns] },
  ];
}

/**
 * Inputs: `x` and `acc` `[B·S, H]`, the names of `megatronHalfParameters`, and for attention `cos` and `sin`; output: `y`
 * `[B·S, H]`.
 */
export function megatronHalfGraph(
  shape: ModelShape,
  ranks: number,
  half: MegatronHalf,
  length: number,
  dtypeOf: (name: string) => WeightDtype,
): Uint8Array {
  const graph = new Graph();
  const x = graph.input('x', 'float32', ['N', shape.hiddenSize]);
  const acc = graph.input('acc', 'float32', ['N', shape.hiddenSize]);
  const weights = megatronHalfParameters(shape, ranks, half).map((p) =>
    addWeight(graph, p.name, dtypeOf(p.name), p.shape),
  );
  const normed = addNorm(graph, x, weights[0] as Value, shape);
  const partial =
    half === 'mlp'
      ? addMlp(graph, normed, weights.slice(1), shape.ffnHiddenSize / ranks)
      : addRankAttention(graph, normed, weights.slice(1), shape, ranks, length);
  graph.output('y', graph.op('Add', [acc, partial]), 'float32', ['N', shape.hiddenSize]);
  return graph.serialize();
}

function addRankAttention(
  graph: Graph,
  x: Value,
  weights: readonly Value[],
  shape: ModelShape,
  ranks: number,
  length: number,
): Value {
  const { headDim } = shape;
  const heads = shape.heads / ranks;
  const groups = shape.queryGroups / ranks;
  const queryWidth = (heads / groups) * headDim;
  addRotaryInputs(graph, headDim);
  const fused = addLinear(graph, x, weights[0] as Value, shape.hasQkvBias ? weights[1] : undefined);
  const perGroup = reshape(graph, fused, [-1, groups, queryWidth + 2 * headDim]);
  const widths = graph.constant('int64', [3], [queryWidth, headDim, headDim]);
  const [q, k, v] = graph.ops('Split', 3, [perGroup, widths], { axis: 2 }) as [Value, Value, Value];
  const flat = (part: Value, count: number) => reshape(graph, part, [-1, count * headDim]);
  const inputs = { q: flat(q, heads), k: flat(k, groups), v: flat(v, groups) };
  const context = addAttention(graph, inputs, { heads, groups, headDim, length });
  return addLinear(graph, context, weights.at(-1) as Value);
}

function addMlp(graph: Graph, x: Value, weights: readonly Value[], ffn: number): Value {
  const [fc1, fc2] = weights as [Value, Value];
  const halves = graph.constant('int64', [2], [ffn, ffn]);
  const [gate, up] = graph.ops('Split', 2, [addLinear(graph, x, fc1), halves], { axis: 1 }) as [Value, Value];
  return addLinear(graph, addSwiglu(graph, gate, up), fc2);
}
