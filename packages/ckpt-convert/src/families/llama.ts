import { denseDecoder, type ModelFamily } from './dense-decoder.ts';

/** Llama 2 and 3 from Megatron training. Meta's own files permute the rows of Q and K; Megatron's rotary halves do not. */
export const llama: ModelFamily = {
  modelType: 'llama',
  architecture: 'LlamaForCausalLM',
  hasQkvBias: false,
  hasQkNorm: false,
  parameters: denseDecoder,
  configDefaults: { attention_bias: false, mlp_bias: false },
};
