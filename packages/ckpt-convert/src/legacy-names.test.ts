import { describe, expect, it } from 'vitest';
import { flattenModel, nameOfLegacy } from './legacy-names.ts';

const layer = (name: string) => `decoder.layers.12.${name}`;

describe('nameOfLegacy', () => {
  it.each([
    ['language_model.embedding.word_embeddings.weight', 'embedding.word_embeddings.weight'],
    ['language_model.encoder.layers.12.input_norm.weight', layer('self_attention.linear_qkv.layer_norm_weight')],
    ['language_model.transformer.layers.12.input_layernorm.bias', layer('self_attention.linear_qkv.layer_norm_bias')],
    [
      'language_model.encoder.layers.12.self_attention.query_key_value.weight',
      layer('self_attention.linear_qkv.weight'),
    ],
    ['language_model.transformer.layers.12.attention.query_key_value.bias', layer('self_attention.linear_qkv.bias')],
    ['language_model.encoder.layers.12.self_attention.dense.weight', layer('self_attention.linear_proj.weight')],
    ['language_model.encoder.layers.12.post_attention_norm.weight', layer('mlp.linear_fc1.layer_norm_weight')],
    ['language_model.encoder.layers.12.post_attention_layernorm.weight', layer('mlp.linear_fc1.layer_norm_weight')],
    ['language_model.encoder.layers.12.mlp.dense_h_to_4h.weight', layer('mlp.linear_fc1.weight')],
    ['language_model.encoder.layers.12.mlp.dense_4h_to_h.weight', layer('mlp.linear_fc2.weight')],
    ['language_model.encoder.final_norm.weight', 'decoder.final_layernorm.weight'],
    ['language_model.transformer.final_layernorm.bias', 'decoder.final_layernorm.bias'],
    ['language_model.output_layer.weight', 'output_layer.weight'],
    ['word_embeddings_for_head.weight', 'output_layer.weight'],
    ['language_model.embedding.position_embeddings.weight', undefined],
    ['language_model.encoder.layers.12.self_attention.query.weight', layer('self_attention.linear_q.weight')],
    ['language_model.transformer.layers.12.attention.key_value.bias', layer('self_attention.linear_kv.bias')],
    ['language_model.encoder.layers.12.self_attention.query_norm.weight', undefined],
    ['language_model.encoder.layers.12.mlp.dense_h_to_4h_1.weight', layer('mlp.linear_fc1_1.weight')],
    ['language_model.encoder.layers.12.mlp.w1.weight', undefined],
    ['language_model.decoder.layers.12.mlp.linear_fc1.weight', undefined],
    ['decoder.final_layernorm.weight', undefined],
  ])('%s', (legacy, name) => {
    expect(nameOfLegacy(legacy)).toBe(name);
  });
});

it('flattenModel joins the keys of nested dicts, and leaves the state of a module whole', () => {
  const state = new Map([['recipe', 1]]);
  const model = new Map<string, unknown>([
    ['a', new Map<string, unknown>([['b.c', new Map([['weight', 2]])]])],
    ['d.weight', 3],
    ['e._extra_state', state],
  ]);
  expect(flattenModel(model as Parameters<typeof flattenModel>[0])).toEqual([
    ['a.b.c.weight', 2],
    ['d.weight', 3],
    ['e._extra_state', state],
  ]);
});
