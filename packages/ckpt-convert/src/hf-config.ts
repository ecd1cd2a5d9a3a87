import type { Dtype } from '@pai-cpt/core';
import { FAMILIES } from './families/index.ts';
import type { HfConfig, ModelConfig } from './model-config.ts';
import { configOfRopeScaling } from './rope-scaling.ts';

const TORCH_DTYPES: Partial<Record<Dtype, string>> = {
  BF16: 'bfloat16',
  F16: 'float16',
  F32: 'float32',
  F64: 'float64',
};

/** Token ids that only the tokenizer knows. */
export interface SpecialTokens {
  readonly eosTokenId?: number;
  readonly bosTokenId?: number;
}

/**
 * The content of config.json. With a reference it is that one with the fields patched which the tensors decide; each patch is a
 * line of `patches`. Without one it is made from the model and the constants that all models of the family share.
 */
export function buildHfConfig(
  model: ModelConfig,
  dtype: Dtype,
  reference: HfConfig | undefined,
  tokens: SpecialTokens,
): { config: Record<string, unknown>; patches: string[] } {
  const torchDtype = TORCH_DTYPES[dtype] ?? dtype;
  if (!reference) return { config: { ...synthesise(model, tokens), torch_dtype: torchDtype }, patches: [] };
  const config: Record<string, unknown> = { ...reference };
  const patches: string[] = [];
  // transformers 5 writes `dtype`, earlier ones `torch_dtype`; both read both.
  const decided = { ...decidedByTensors(model), ['dtype' in reference ? 'dtype' : 'torch_dtype']: torchDtype };
  for (const [name, value] of Object.entries(decided)) {
    if (config[name] === value || isImplied(name, value, reference)) continue;
    const before = config[name] === undefined ? 'absent' : JSON.stringify(config[name]);
    patches.push(`config.json: ${name} ${before} → ${JSON.stringify(value)}`);
    config[name] = value;
  }
  return { config, patches };
}

function decidedByTensors(model: ModelConfig): Record<string, unknown> {
  return {
    hidden_size: model.hiddenSize,
    intermediate_size: model.ffnHiddenSize,
    num_hidden_layers: model.layers,
    num_attention_heads: model.heads,
    num_key_value_heads: model.queryGroups,
    head_dim: model.headDim,
    vocab_size: model.vocabSize,
    tie_word_embeddings: model.isTied,
  };
}

/** True where leaving the field out of config.json means the same. */
function isImplied(name: string, value: unknown, reference: HfConfig): boolean {
  if ((reference[name] ?? null) !== null) return false;
  const heads = reference.num_attention_heads;
  if (name === 'head_dim') return value === Number(reference.hidden_size) / Number(heads);
  return name === 'num_key_value_heads' && value === heads;
}

function synthesise(model: ModelConfig, tokens: SpecialTokens): Record<string, unknown> {
  const family = FAMILIES[model.family];
  return {
    architectures: [family.architecture],
    model_type: family.modelType,
    ...decidedByTensors(model),
    hidden_act: 'silu',
    attention_dropout: 0,
    initializer_range: 0.02,
    rms_norm_eps: model.normEpsilon,
    rope_theta: model.ropeTheta,
    use_cache: true,
    ...(model.ropeScaling && { rope_scaling: configOfRopeScaling(model.ropeScaling) }),
    ...family.configDefaults,
    ...(model.maxPositionEmbeddings === undefined ? {} : { max_position_embeddings: model.maxPositionEmbeddings }),
    ...(tokens.bosTokenId === undefined ? {} : { bos_token_id: tokens.bosTokenId }),
    ...(tokens.eosTokenId === undefined ? {} : { eos_token_id: tokens.eosTokenId }),
  };
}
