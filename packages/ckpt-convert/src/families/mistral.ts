import { denseDecoder, type ModelFamily } from './dense-decoder.ts';

/** Mistral dense: the tensors of Llama under another config.json. */
export const mistral: ModelFamily = {
  modelType: 'mistral',
  architecture: 'MistralForCausalLM',
  hasQkvBias: false,
  hasQkNorm: false,
  parameters: denseDecoder,
  configDefaults: { sliding_window: null },
};
