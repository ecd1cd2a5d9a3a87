import { EMBEDDING, FINAL_NORM, headName, layerPrefix, type ModelShape, modelParameters } from '../model-shape.ts';
import { Graph } from '../onnx-writer.ts';
import { type AttentionInputs, addCachedAttention, addLinear, addNorm, addRotaryInputs } from './decoder-pieces.ts';
import { addHfLayer } from './hf-layer.ts';

/** Names of a layer's cached keys and values, `[1, groups, P, headDim]`, before (input) and after (output) a step. */
export function cacheNames(layer: number) {
  return {
    past: { keys: `past.keys.${layer}`, values: `past.values.${layer}` },
    present: { keys: `present.keys.${layer}`, values: `present.values.${layer}` },
  };
}

/**
 * All layers of a decoder over the next S tokens of one sequence, behind a cache. Inputs: `ids` int32 `[S]`, `cos` and `sin` of
 * their positions, the parameters in float32 under their Hugging Face names, and the past of every layer; outputs: `logits`
 * `[1, vocabSize]` after the last token, and the present of every layer.
 */
export function decoderGraph(shape: ModelShape): Uint8Array {
  const graph = new Graph();
  const { heads, queryGroups: groups, headDim } = shape;
  for (const { name, shape: size } of modelParameters(shape)) graph.input(name, 'float32', size);
  const names = new Set(modelParameters(shape).map(({ name }) => name));
  addRotaryInputs(graph, headDim);
  let hidden = graph.op('Gather', [EMBEDDING, graph.input('ids', 'int32', ['S'])]);
  for (let layer = 0; layer < shape.layers; layer++) {
    const { past, present } = cacheNames(layer);
    for (const name of [past.keys, past.values]) graph.input(name, 'float32', [1, groups, 'P', headDim]);
    const attend = (inputs: AttentionInputs) => {
      const { output, cache } = addCachedAttention(graph, inputs, { heads, groups, headDim, length: -1 }, past);
      graph.output(present.keys, cache.keys, 'float32', [1, groups, 'T', headDim]);
      graph.output(present.values, cache.values, 'float32', [1, groups, 'T', headDim]);
      return output;
    };
    const weight = (name: string) => {
      const full = layerPrefix(layer) + name;
      return names.has(full) ? full : undefined;
    };
    hidden = addHfLayer(graph, shape, hidden, weight, attend);
  }
  const last = graph.op('Gather', [hidden, graph.constant('int64', [1], [-1])]);
  const logits = addLinear(graph, addNorm(graph, last, FINAL_NORM, shape), headName(shape));
  graph.output('logits', logits, 'float32', [1, shape.vocabSize]);
  return graph.serialize();
}
