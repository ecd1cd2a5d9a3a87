// Before Megatron-Core a model was saved as nested dicts,
//
//   { language_model: { embedding: { word_embeddings: { weight } }, encoder: { 'layers.0.input_norm.weight': … },
//                       output_layer: { weight } }, word_embeddings_for_head: { weight } }
//
// `encoder` was `transformer` before 2021, and the names of norms and of the attention changed in between.

import type { PickleMap, PickleValue } from '@pai-cpt/torch-checkpoint';

const LAYER = /^language_model\.(?:encoder|transformer)\.layers\.(\d+)\.(.+)$/;

/** Names inside a layer; `$1` is what the parentheses hold. */
const IN_LAYER: readonly [legacy: RegExp, name: string][] = [
  [/^input_(?:layer)?norm\.(weight|bias)$/, 'self_attention.linear_qkv.layer_norm_$1'],
  [/^(?:self_)?attention\.query_key_value\.(weight|bias)$/, 'self_attention.linear_qkv.$1'],
  [/^(?:self_)?attention\.query\.(weight|bias)$/, 'self_attention.linear_q.$1'],
  [/^(?:self_)?attention\.key_value\.(weight|bias)$/, 'self_attention.linear_kv.$1'],
  [/^(?:self_)?attention\.dense\.weight$/, 'self_attention.linear_proj.weight'],
  [/^post_attention_(?:layer)?norm\.(weight|bias)$/, 'mlp.linear_fc1.layer_norm_$1'],
  [/^mlp\.dense_h_to_4h\.weight$/, 'mlp.linear_fc1.weight'],
  [/^mlp\.dense_h_to_4h_([12])\.weight$/, 'mlp.linear_fc1_$1.weight'],
  [/^mlp\.dense_4h_to_h\.weight$/, 'mlp.linear_fc2.weight'],
];

const OUTSIDE: readonly [legacy: RegExp, name: string][] = [
  [/^language_model\.embedding\.word_embeddings\.weight$/, 'embedding.word_embeddings.weight'],
  [/^language_model\.(?:encoder|transformer)\.final_(?:layer)?norm\.(weight|bias)$/, 'decoder.final_layernorm.$1'],
  [/^language_model\.output_layer\.weight$/, 'output_layer.weight'],
  [/^word_embeddings_for_head\.weight$/, 'output_layer.weight'], // a tied model's copy on the last stage
];

/** The name that Megatron-Core gives the parameter; undefined for one that is not of before it. */
export function nameOfLegacy(name: string): string | undefined {
  const [, layer, inner] = LAYER.exec(name) ?? [];
  const renamed = inner === undefined ? rename(OUTSIDE, name) : rename(IN_LAYER, inner);
  return renamed !== undefined && layer !== undefined ? `decoder.layers.${layer}.${renamed}` : renamed;
}

function rename(rules: readonly [legacy: RegExp, name: string][], name: string): string | undefined {
  const rule = rules.find(([legacy]) => legacy.test(name));
  return rule && name.replace(...rule);
}

/** The entries of nested dicts under dotted names; a flat dict stays as it is, and so does the state of a module that is a dict. */
export function flattenModel(model: PickleMap, prefix = ''): [name: string, value: PickleValue][] {
  return [...model].flatMap(([key, value]): [string, PickleValue][] => {
    const name = `${prefix}${String(key)}`;
    return value instanceof Map && !name.endsWith('_extra_state') ? flattenModel(value, `${name}.`) : [[name, value]];
  });
}
