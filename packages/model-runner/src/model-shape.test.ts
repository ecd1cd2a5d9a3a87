import { elementCount } from '@pai-cpt/core';
import { expect, it } from 'vitest';
import { modelParameters, modelShapeFromHfConfig } from './model-shape.ts';

/** The config.json of Qwen/Qwen2-7B, Qwen2-72B and Qwen2-0.5B as far as shapes go. */
const qwen2 = (sizes: Record<string, unknown>) => ({
  model_type: 'qwen2',
  hidden_act: 'silu',
  rms_norm_eps: 1e-6,
  rope_theta: 1000000.0,
  tie_word_embeddings: false,
  use_sliding_window: false,
  ...sizes,
});
const QWEN2_7B = qwen2({
  hidden_size: 3584,
  intermediate_size: 18944,
  num_hidden_layers: 28,
  num_attention_heads: 28,
  num_key_value_heads: 4,
  vocab_size: 152064,
});

it('reads a config.json', () => {
  expect(modelShapeFromHfConfig(QWEN2_7B)).toEqual({
    layers: 28,
    hiddenSize: 3584,
    ffnHiddenSize: 18944,
    heads: 28,
    queryGroups: 4,
    headDim: 128,
    vocabSize: 152064,
    normEpsilon: 1e-6,
    ropeTheta: 1e6,
    isTied: false,
    hasQkvBias: true,
  });
});

it('reads rope_theta where transformers 5 writes it', () => {
  const { rope_theta, ...rest } = QWEN2_7B;
  const config = { ...rest, rope_parameters: { rope_type: 'default', rope_theta: 5e5 } };
  expect(modelShapeFromHfConfig(config).ropeTheta).toBe(5e5);
});

// Counts as published with the models (safetensors metadata on the Hugging Face hub).
it.each([
  { name: 'Qwen2-7B', config: QWEN2_7B, count: 7_615_616_512 },
  {
    name: 'Qwen2-72B',
    config: qwen2({
      hidden_size: 8192,
      intermediate_size: 29568,
      num_hidden_layers: 80,
      num_attention_heads: 64,
      num_key_value_heads: 8,
      vocab_size: 152064,
    }),
    count: 72_706_203_648,
  },
  {
    name: 'Qwen2-0.5B, tied',
    config: qwen2({
      hidden_size: 896,
      intermediate_size: 4864,
      num_hidden_layers: 24,
      num_attention_heads: 14,
      num_key_value_heads: 2,
      vocab_size: 151936,
      tie_word_embeddings: true,
    }),
    count: 494_032_768,
  },
  {
    name: 'Llama-2-7B, without biases',
    config: {
      ...QWEN2_7B,
      model_type: 'llama',
      hidden_size: 4096,
      intermediate_size: 11008,
      num_hidden_layers: 32,
      num_attention_heads: 32,
      num_key_value_heads: 32,
      vocab_size: 32000,
    },
    count: 6_738_415_616,
  },
])('lists every parameter of $name', ({ config, count }) => {
  const parameters = modelParameters(modelShapeFromHfConfig(config));
  expect(parameters.reduce((sum, { shape }) => sum + elementCount(shape), 0)).toBe(count);
  expect(new Set(parameters.map(({ name }) => name)).size).toBe(parameters.length);
});

it.each([
  { change: { hidden_size: undefined }, code: 'CPT_CONFIG_MODEL', says: 'hidden_size is missing' },
  { change: { num_hidden_layers: 1.5 }, code: 'CPT_CONFIG_MODEL', says: 'num_hidden_layers is 1.5' },
  { change: { num_key_value_heads: 5 }, code: 'CPT_CONFIG_MODEL', says: '28 heads over 5 groups' },
  { change: { head_dim: 127 }, code: 'CPT_CONFIG_MODEL', says: 'head_dim 127' },
  { change: { model_type: 'phi3' }, code: 'CPT_UNSUPPORTED_RUN', says: 'model_type "phi3"' },
  { change: { use_sliding_window: true }, code: 'CPT_UNSUPPORTED_RUN', says: 'use_sliding_window' },
  { change: { hidden_act: 'gelu' }, code: 'CPT_UNSUPPORTED_RUN', says: 'hidden_act "gelu"' },
  { change: { rope_scaling: { type: 'yarn', factor: 4 } }, code: 'CPT_UNSUPPORTED_RUN', says: '"yarn"' },
  { change: { rope_parameters: { rope_type: 'yarn' } }, code: 'CPT_UNSUPPORTED_RUN', says: '"yarn"' },
])('refuses $change', ({ change, code, says }) => {
  expect(() => modelShapeFromHfConfig({ ...QWEN2_7B, ...change })).toThrow(
    expect.objectContaining({ code, message: expect.stringContaining(says) }),
  );
});
