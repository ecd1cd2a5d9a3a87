import { describe, expect, it } from 'vitest';
import { TINY } from '../test/tiny-checkpoint.ts';
import { buildHfConfig } from './hf-config.ts';

describe('without a reference', () => {
  it('config.json is made from the model', () => {
    expect(buildHfConfig(TINY, 'BF16', undefined, { eosTokenId: 10 })).toEqual({
      config: {
        ...{ architectures: ['Qwen2ForCausalLM'], model_type: 'qwen2', hidden_act: 'silu', attention_dropout: 0 },
        ...{
          hidden_size: 8,
          intermediate_size: 8,
          num_hidden_layers: 2,
          num_attention_heads: 4,
          num_key_value_heads: 2,
          head_dim: 2,
        },
        ...{
          vocab_size: 11,
          tie_word_embeddings: false,
          rms_norm_eps: 1e-6,
          rope_theta: 1e6,
          max_position_embeddings: 64,
        },
        ...{
          initializer_range: 0.02,
          use_cache: true,
          use_sliding_window: false,
          eos_token_id: 10,
          torch_dtype: 'bfloat16',
        },
      },
      patches: [],
    });
  });

  it.each([
    ['qwen3', { architectures: ['Qwen3ForCausalLM'], attention_bias: false }],
    ['llama', { architectures: ['LlamaForCausalLM'], attention_bias: false, mlp_bias: false }],
    ['mistral', { architectures: ['MistralForCausalLM'], sliding_window: null }],
  ] as const)('of the family %s', (family, fields) => {
    expect(buildHfConfig({ ...TINY, family }, 'F32', undefined, {}).config).toMatchObject({
      ...fields,
      torch_dtype: 'float32',
    });
  });
});

describe('with a reference', () => {
  const reference = {
    ...{
      architectures: ['Qwen2ForCausalLM'],
      model_type: 'qwen2',
      hidden_size: 8,
      intermediate_size: 8,
      num_hidden_layers: 2,
    },
    ...{
      num_attention_heads: 4,
      num_key_value_heads: 2,
      vocab_size: 11,
      tie_word_embeddings: false,
      torch_dtype: 'bfloat16',
    },
    ...{ sliding_window: 4096, eos_token_id: 3, rms_norm_eps: 1e-5 },
  };

  it('nothing is touched that agrees, and a head dim of hidden / heads need not be written', () => {
    expect(buildHfConfig(TINY, 'BF16', reference, {})).toEqual({ config: reference, patches: [] });
  });

  it('each field that the tensors decide is patched and reported', () => {
    const { config, patches } = buildHfConfig(
      { ...TINY, headDim: 4, isTied: true, vocabSize: 12 },
      'F32',
      reference,
      {},
    );
    expect(patches).toEqual([
      'config.json: head_dim absent → 4',
      'config.json: vocab_size 11 → 12',
      'config.json: tie_word_embeddings false → true',
      'config.json: torch_dtype "bfloat16" → "float32"',
    ]);
    expect(config).toEqual({
      ...reference,
      head_dim: 4,
      vocab_size: 12,
      tie_word_embeddings: true,
      torch_dtype: 'float32',
    });
  });

  it('the dtype keeps the name that transformers 5 gave it', () => {
    const { torch_dtype: _, ...rest } = reference;
    expect(buildHfConfig(TINY, 'F16', { ...rest, dtype: 'bfloat16' }, {}).config).toEqual({
      ...rest,
      dtype: 'float16',
    });
  });

  it('an absent tie is written, because its default differs between families', () => {
    const { tie_word_embeddings: _, ...rest } = reference;
    expect(buildHfConfig(TINY, 'BF16', rest, {}).patches).toEqual(['config.json: tie_word_embeddings absent → false']);
  });
});
