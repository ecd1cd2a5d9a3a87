import { replicated } from '../mapping.ts';
import { denseDecoder, type ModelFamily } from './dense-decoder.ts';

/** Qwen3 dense: no QKV bias, a norm of head dim on queries and keys, head dim 128 whatever hidden / heads is. */
export const qwen3: ModelFamily = {
  modelType: 'qwen3',
  architecture: 'Qwen3ForCausalLM',
  hasQkvBias: false,
  hasQkNorm: true,
  parameters: {
    ...denseDecoder,
    'decoder.layers.*.self_attention.q_layernorm.weight': replicated(
      'model.layers.*.self_attn.q_norm.weight',
      'headDim',
    ),
    'decoder.layers.*.self_attention.k_layernorm.weight': replicated(
      'model.layers.*.self_attn.k_norm.weight',
      'headDim',
    ),
  },
  configDefaults: { attention_bias: false, use_sliding_window: false },
};
