import type { ModelShape, ParameterShape } from '../model-shape.ts';
import { Graph, type Value } from '../onnx-writer.ts';
import { addAttention, addLinear, addRotaryInputs } from './decoder-pieces.ts';
import { addFusedQkv, addHeadNorms, addWeights, headNormParameters } from './megatron-layer.ts';
import type { WeightDtype } from './weight-input.ts';

/**
 * The attention half with more tensor parallel ranks than query groups, where the rows of linear_qkv on one rank are a part of a
 * group's: T/G ranks share a group. They gather the group's columns, and each goes on with its own share of the query heads and the
 * whole key and value.
 *
 *   a group's columns over its ranks:   q heads of d each │ key d │ value d      (cut into T/G equal parts, wherever that falls)
 *   query heads of rank r:              H/T of them, from head (r mod T/G) · H/T of the group on
 *
 * Source: NVIDIA/Megatron-LM@00caa53, megatron/core/transformer/attention.py, SelfAttention.get_query_key_value_tensors.
 */
export function gatheredQkvParameters(shape: ModelShape, ranks: number): ParameterShape[] {
  const rows = ((shape.heads + 2 * shape.queryGroups) * shape.headDim) / ranks;
  return [
    { name: 'self_attention.linear_qkv.layer_norm_weight', shape: [shape.hiddenSize] },
    { name: 'self_attention.linear_qkv.weight', shape: [rows, shape.hiddenSize] },
    ...(shape.hasQkvBias ? [{ name: 'self_attention.linear_qkv.bias', shape: [rows] }] : []),
  ];
}

/** One rank's part of a group's columns. Inputs: `x` `[N, H]` and the names of `gatheredQkvParameters`; output: `y` `[N, rows]`. */
export function gatheredQkvGraph(shape: ModelShape, ranks: number, dtypeOf: (name: string) => WeightDtype): Uint8Array {
  const graph = new Graph();
  const parameters = gatheredQkvParameters(shape, ranks);
  const x = graph.input('x', 'float32', ['N', shape.hiddenSize]);
  const fused = addFusedQkv(graph, x, addWeights(graph, parameters, dtypeOf), shape);
  graph.output('y', fused, 'float32', ['N', parameters[1]?.shape[0] as number]);
  return graph.serialize();
}

export function gatheredHeadParameters(shape: ModelShape, ranks: number): ParameterShape[] {
  const columns = (shape.heads / ranks) * shape.headDim;
  return [
    ...headNormParameters(shape),
    { name: 'self_attention.linear_proj.weight', shape: [shape.hiddenSize, columns] },
  ];
}

/**
 * What one rank adds. Inputs: `group` `[N, (q + 2) · d]`, the gathered columns of the rank's group, `acc` `[N, H]`, `cos`, `sin`, and
 * the names of `gatheredHeadParameters`; output: `y` `[N, H]`.
 * @param firstHead the rank's first query head, counted in its group.
 */
export function gatheredHeadGraph(
  shape: ModelShape,
  ranks: number,
  firstHead: number,
  length: number,
  dtypeOf: (name: string) => WeightDtype,
): Uint8Array {
  const graph = new Graph();
  const { headDim, hiddenSize } = shape;
  const perGroup = shape.heads / shape.queryGroups;
  const heads = shape.heads / ranks;
  const group = graph.input('group', 'float32', ['N', (perGroup + 2) * headDim]);
  const acc = graph.input('acc', 'float32', ['N', hiddenSize]);
  addRotaryInputs(graph, headDim);
  const weight = addWeights(graph, gatheredHeadParameters(shape, ranks), dtypeOf);
  const columns = (fromHead: number, count: number): Value => {
    const bounds = [fromHead * headDim, (fromHead + count) * headDim].map((at) => graph.constant('int64', [1], [at]));
    return graph.op('Slice', [group, ...bounds, graph.constant('int64', [1], [1])]);
  };
  const rows = { q: columns(firstHead, heads), k: columns(perGroup, 1), v: columns(perGroup + 1, 1) };
  const inputs = addHeadNorms(graph, rows, weight, shape, heads, 1);
  const context = addAttention(graph, inputs, { heads, groups: 1, headDim, length });
  const partial = addLinear(graph, context, weight('self_attention.linear_proj.weight'));
  graph.output('y', graph.op('Add', [acc, partial]), 'float32', ['N', hiddenSize]);
  return graph.serialize();
}
