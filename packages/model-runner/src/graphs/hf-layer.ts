import { layerParameters, type ModelShape } from '../model-shape.ts';
import { Graph, type Value } from '../onnx-writer.ts';
import {
  type AttentionInputs,
  addAttention,
  addHeadNorm,
  addLinear,
  addNorm,
  addRotaryInputs,
  addSwiglu,
} from './decoder-pieces.ts';
import { addWeight, type WeightDtype } from './weight-input.ts';

/**
 * One decoder layer with Hugging Face weights. Inputs: `x` `[B·S, H]`, `cos`, `sin`, and the names of `layerParameters`, each
 * in the dtype that `dtypeOf` says; output: `y` `[B·S, H]`.
 */
export function hfLayerGraph(shape: ModelShape, length: number, dtypeOf: (name: string) => WeightDtype): Uint8Array {
  const graph = new Graph();
  const x = graph.input('x', 'float32', ['N', shape.hiddenSize]);
  addRotaryInputs(graph, shape.headDim);
  const weights = new Map(
    layerParameters(shape).map((p) => [p.name, addWeight(graph, p.name, dtypeOf(p.name), p.shape)]),
  );
  const { heads, queryGroups: groups, headDim } = shape;
  const attend = (inputs: AttentionInputs) => addAttention(graph, inputs, { heads, groups, headDim, length });
  const y = addHfLayer(graph, shape, x, (name) => weights.get(name), attend);
  graph.output('y', y, 'float32', ['N', shape.hiddenSize]);
  return graph.serialize();
}

/** The nodes of one layer; `weight` gives the value of a name of `layerParameters`. */
export function addHfLayer(
  graph: Graph,
  shape: ModelShape,
  x: Value,
  weight: (name: string) => Value | undefined,
  attend: (inputs: AttentionInputs) => Value,
): Value {
  const linear = (input: Value, name: string) =>
    addLinear(graph, input, weight(`${name}.weight`) as Value, weight(`${name}.bias`));
  const norm = (input: Value, name: string) => addNorm(graph, input, weight(`${name}.weight`) as Value, shape);
  const h = norm(x, 'input_layernorm');
  const projected = (letter: string) => linear(h, `self_attn.${letter}_proj`);
  const headNormed = (letter: string, heads: number) => {
    const weightOfNorm = weight(`self_attn.${letter}_norm.weight`);
    return weightOfNorm ? addHeadNorm(graph, projected(letter), weightOfNorm, shape, heads) : projected(letter);
  };
  const [q, k] = [headNormed('q', shape.heads), headNormed('k', shape.queryGroups)];
  const context = attend({ q, k, v: projected('v') });
  const attended = graph.op('Add', [x, linear(context, 'self_attn.o_proj')]);
  const h2 = norm(attended, 'post_attention_layernorm');
  const inner = addSwiglu(graph, linear(h2, 'mlp.gate_proj'), linear(h2, 'mlp.up_proj'));
  return graph.op('Add', [attended, linear(inner, 'mlp.down_proj')]);
}
