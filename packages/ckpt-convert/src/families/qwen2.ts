import { qkv } from '../mapping.ts';
import { denseDecoder, type ModelFamily } from './dense-decoder.ts';

/** Qwen1.5, Qwen2 and Qwen2.5. */
export const qwen2: ModelFamily = {
  modelType: 'qwen2',
  architecture: 'Qwen2ForCausalLM',
  hasQkvBias: true,
  hasQkNorm: false,
  parameters: {
    ...denseDecoder,
    'decoder.layers.*.self_attention.linear_qkv.bias': qkv('model.layers.*.self_attn', 'bias'),
  },
  configDefaults: { use_sliding_window: false },
};
