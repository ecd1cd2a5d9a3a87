import type { ParameterShape } from './model-shape.ts';
import type { Tensor } from './session.ts';
import { readWeight, type WeightSource, weightDtype } from './weights.ts';

/** Names of the norms when the model was built from Megatron's own layers instead of Transformer Engine's fused ones. */
const LOCAL_NORMS = new Map([
  ['self_attention.linear_qkv.layer_norm_weight', 'input_layernorm.weight'],
  ['mlp.linear_fc1.layer_norm_weight', 'pre_mlp_layernorm.weight'],
]);

/** The weights of one rank in one layer. */
export interface RankLayer {
  readonly source: WeightSource;
  /** 0-based within the stage. */
  readonly layer: number;
}

/** The weights of a graph, ready to be fed, and what a session of the graph depends on. */
export async function rankWeights({ source, layer }: RankLayer, parameters: readonly ParameterShape[]) {
  const nameOf = (name: string) => rankName(source, layer, name);
  const dtypeOf = (name: string) => weightDtype(source, nameOf(name));
  const feeds: Record<string, Tensor> = {};
  for (const { name, shape } of parameters) feeds[name] = await readWeight(source, nameOf(name), shape);
  return { dtypeOf, key: parameters.map(({ name }) => dtypeOf(name)).join(' '), feeds };
}

function rankName(source: WeightSource, layer: number, name: string): string {
  const prefix = `decoder.layers.${layer}.`;
  const local = LOCAL_NORMS.get(name);
  const isLocal = local !== undefined && !source.shapeOf(prefix + name) && source.shapeOf(prefix + local);
  return prefix + (isLocal ? local : name);
}
