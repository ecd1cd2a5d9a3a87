import { gated, joined, type Mapping, qkv, replicated, vocabRows } from '../mapping.ts';

/** A Megatron name → mapping table; `*` is a layer number. Names are those of mcore with the Transformer Engine layer spec. */
export type ParameterTable = Readonly<Record<string, Mapping>>;

/** One supported architecture. */
export interface ModelFamily {
  readonly modelType: string;
  readonly architecture: string;
  readonly hasQkvBias: boolean;
  readonly hasQkNorm: boolean;
  readonly parameters: ParameterTable;
  /** Rows of config.json that hold for every model of the family and that no checkpoint carries. */
  readonly configDefaults: Readonly<Record<string, unknown>>;
}

/** The rows that all dense decoders of this shape share; a family adds or omits rows beside them. */
export const denseDecoder: ParameterTable = {
  'embedding.word_embeddings.weight': vocabRows('model.embed_tokens.weight'),
  'decoder.layers.*.self_attention.linear_qkv.layer_norm_weight': replicated(
    'model.layers.*.input_layernorm.weight',
    'hidden',
  ),
  'decoder.layers.*.self_attention.linear_qkv.weight': qkv('model.layers.*.self_attn', 'weight'),
  'decoder.layers.*.self_attention.linear_proj.weight': joined(
    'model.layers.*.self_attn.o_proj.weight',
    'hidden',
    'attention',
  ),
  'decoder.layers.*.mlp.linear_fc1.layer_norm_weight': replicated(
    'model.layers.*.post_attention_layernorm.weight',
    'hidden',
  ),
  'decoder.layers.*.mlp.linear_fc1.weight': gated('model.layers.*.mlp'),
  'decoder.layers.*.mlp.linear_fc2.weight': joined('model.layers.*.mlp.down_proj.weight', 'hidden', 'ffn'),
  'decoder.final_layernorm.weight': replicated('model.norm.weight', 'hidden'),
  'output_layer.weight': vocabRows('lm_head.weight'), // absent, or a copy, when embeddings are tied
};

/**
 * The names of mcore's local layer spec that differ, and the ones used here. Only the norms: Transformer Engine fuses them into
 * the linear layer behind them.
 */
export const LOCAL_SPEC_NAMES: Readonly<Record<string, string>> = {
  'decoder.layers.*.input_layernorm.weight': 'decoder.layers.*.self_attention.linear_qkv.layer_norm_weight',
  'decoder.layers.*.pre_mlp_layernorm.weight': 'decoder.layers.*.mlp.linear_fc1.layer_norm_weight',
};
