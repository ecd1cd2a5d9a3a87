import type { ModelShape, ParameterShape } from '../model-shape.ts';
import { Graph, type Value } from '../onnx-writer.ts';
import {
  type AttentionInputs,
  addAttention,
  addHeadNorm,
  addLinear,
  addNorm,
  addRotaryInputs,
  addSwiglu,
  reshape,
} from './decoder-pieces.ts';
import { addWeight, type WeightDtype } from './weight-input.ts';

/**
 * The halves of a decoder layer as one tensor parallel rank computes them, from the rank's own weights in their own layout:
 * nothing here un-shards or un-packs, so that a mistake in a converter cannot hide by being made twice.
 *
 *   linear_qkv   [groups/T · (q + 2) · d, H]   per group: the rows of its q query heads, of its key, of its value
 *   q_layernorm  [d], k_layernorm [d]          of each head, before it is rotated; only in some families
 *   linear_proj  [H, heads/T · d]              the rank's columns
 *   linear_fc1   [2 · F/T, H]                  the rank's gate rows, then its up rows
 *   linear_fc2   [H, F/T]                      the rank's columns
 *
 * Each half computes `y = acc + partial(x)`. Fed the residual as `acc` on rank 0 and the last rank's `y` on every other one,
 * the last `y` is what the all-reduce gives.
 * With more ranks than groups, `megatron-gathered.ts` takes the place of the attention half.
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
    ...headNormParameters(shape),
    { name: 'self_attention.linear_proj.weight', shape: [hiddenSize, queryColumns] },
  ];
}

/** The norms of query and key heads, where the family has them. */
export function headNormParameters({ hasQkNorm, headDim }: ModelShape): ParameterShape[] {
  if (!hasQkNorm) return [];
  return ['q', 'k'].map((letter) => ({ name: `self_attention.${letter}_layernorm.weight`, shape: [headDim] }));
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
  const weights = addWeights(graph, megatronHalfParameters(shape, ranks, half), dtypeOf);
  const partial =
    half === 'mlp'
      ? addMlp(graph, x, weights, shape, ranks)
      : addRankAttention(graph, x, weights, shape, ranks, length);
  graph.output('y', graph.op('Add', [acc, partial]), 'float32', ['N', shape.hiddenSize]);
  return graph.serialize();
}

/** Declares the weights and gives each by its name. */
export function addWeights(
  graph: Graph,
  parameters: readonly ParameterShape[],
  dtypeOf: (name: string) => WeightDtype,
): WeightValues {
  const weights = new Map(parameters.map((p) => [p.name, addWeight(graph, p.name, dtypeOf(p.name), p.shape)]));
  return (name) => weights.get(name) as Value;
}

export type WeightValues = (name: string) => Value;

function addRankAttention(
  graph: Graph,
  x: Value,
  weight: WeightValues,
  shape: ModelShape,
  ranks: number,
  length: number,
): Value {
  const { headDim } = shape;
  const heads = shape.heads / ranks;
  const groups = shape.queryGroups / ranks;
  const queryWidth = (heads / groups) * headDim;
  addRotaryInputs(graph, headDim);
  const fused = addFusedQkv(graph, x, weight, shape);
  const perGroup = reshape(graph, fused, [-1, groups, queryWidth + 2 * headDim]);
  const widths = graph.constant('int64', [3], [queryWidth, headDim, headDim]);
  const [q, k, v] = graph.ops('Split', 3, [perGroup, widths], { axis: 2 }) as [Value, Value, Value];
  const flat = (part: Value, count: number) => reshape(graph, part, [-1, count * headDim]);
  const rows = { q: flat(q, heads), k: flat(k, groups), v: flat(v, groups) };
  const inputs = addHeadNorms(graph, rows, weight, shape, heads, groups);
  const context = addAttention(graph, inputs, { heads, groups, headDim, length });
  return addLinear(graph, context, weight('self_attention.linear_proj.weight'));
}

/** The rank's rows of linear_qkv, behind the norm. */
export function addFusedQkv(graph: Graph, x: Value, weight: WeightValues, shape: ModelShape): Value {
  const normed = addNorm(graph, x, weight('self_attention.linear_qkv.layer_norm_weight'), shape);
  const bias = shape.hasQkvBias ? weight('self_attention.linear_qkv.bias') : undefined;
  return addLinear(graph, normed, weight('self_attention.linear_qkv.weight'), bias);
}

export function addHeadNorms(
  graph: Graph,
  { q, k, v }: AttentionInputs,
  weight: WeightValues,
  shape: ModelShape,
  heads: number,
  groups: number,
): AttentionInputs {
  if (!shape.hasQkNorm) return { q, k, v };
  const normed = (rows: Value, letter: string, count: number) =>
    addHeadNorm(graph, rows, weight(`self_attention.${letter}_layernorm.weight`), shape, count);
  return { q: normed(q, 'q', heads), k: normed(k, 'k', groups), v };
}

function addMlp(graph: Graph, x: Value, weight: WeightValues, shape: ModelShape, ranks: number): Value {
  const ffn = shape.ffnHiddenSize / ranks;
  const normed = addNorm(graph, x, weight('mlp.linear_fc1.layer_norm_weight'), shape);
  const halves = graph.constant('int64', [2], [ffn, ffn]);
  const fc1 = addLinear(graph, normed, weight('mlp.linear_fc1.weight'));
  const [gate, up] = graph.ops('Split', 2, [fc1, halves], { axis: 1 }) as [Value, Value];
  return addLinear(graph, addSwiglu(graph, gate, up), weight('mlp.linear_fc2.weight'));
}
