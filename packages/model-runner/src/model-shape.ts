import { InvalidInputError, type Shape, UnsupportedError } from '@pai-cpt/core';
import type { RopeScaling } from './rotary.ts';

/** Sizes of a dense decoder as Qwen2, Qwen3, Llama and Mistral are: RMS norms, rotary positions, grouped-query attention, SwiGLU. */
export interface ModelShape {
  readonly layers: number;
  readonly hiddenSize: number;
  readonly ffnHiddenSize: number;
  readonly heads: number;
  /** Groups of query heads that share one key and one value head. */
  readonly queryGroups: number;
  readonly headDim: number;
  /** Rows of the embedding and of the head that belong to tokens; rows beyond them are padding and take no part. */
  readonly vocabSize: number;
  readonly normEpsilon: number;
  readonly ropeTheta: number;
  readonly ropeScaling?: RopeScaling;
  /** True when the head is the embedding itself. */
  readonly isTied: boolean;
  readonly hasQkvBias: boolean;
  /** Each query and key head is normed before it is rotated, as in Qwen3. */
  readonly hasQkNorm?: boolean;
  /** Positions that attention reaches back to; longer sequences are not computed. */
  readonly slidingWindow?: number;
}

/** A parameter by its Hugging Face name. */
export interface ParameterShape {
  readonly name: string;
  readonly shape: Shape;
}

export const EMBEDDING = 'model.embed_tokens.weight';
export const FINAL_NORM = 'model.norm.weight';

/** The Hugging Face name of the head: with tied weights it has none of its own. */
export function headName(shape: ModelShape): string {
  return shape.isTied ? EMBEDDING : 'lm_head.weight';
}

/** What stands before the names of `layerParameters` in layer `layer`. */
export function layerPrefix(layer: number): string {
  return `model.layers.${layer}.`;
}

/** The parameters of one layer by the end of their names; matrices are `[out, in]`. */
export function layerParameters(shape: ModelShape): ParameterShape[] {
  const { hiddenSize, ffnHiddenSize, headDim } = shape;
  const queryRows = shape.heads * headDim;
  const groupRows = shape.queryGroups * headDim;
  const biases = [
    { name: 'self_attn.q_proj.bias', shape: [queryRows] },
    { name: 'self_attn.k_proj.bias', shape: [groupRows] },
    { name: 'self_attn.v_proj.bias', shape: [groupRows] },
  ];
  const headNorms = [
    { name: 'self_attn.q_norm.weight', shape: [headDim] },
    { name: 'self_attn.k_norm.weight', shape: [headDim] },
  ];
  return [
    { name: 'input_layernorm.weight', shape: [hiddenSize] },
    { name: 'self_attn.q_proj.weight', shape: [queryRows, hiddenSize] },
    { name: 'self_attn.k_proj.weight', shape: [groupRows, hiddenSize] },
    { name: 'self_attn.v_proj.weight', shape: [groupRows, hiddenSize] },
    ...(shape.hasQkvBias ? biases : []),
    ...(shape.hasQkNorm ? headNorms : []),
    { name: 'self_attn.o_proj.weight', shape: [hiddenSize, queryRows] },
    { name: 'post_attention_layernorm.weight', shape: [hiddenSize] },
    { name: 'mlp.gate_proj.weight', shape: [ffnHiddenSize, hiddenSize] },
    { name: 'mlp.up_proj.weight', shape: [ffnHiddenSize, hiddenSize] },
    { name: 'mlp.down_proj.weight', shape: [hiddenSize, ffnHiddenSize] },
  ];
}

/** All parameters: the embedding, layer by layer, the final norm, and the head unless it is tied. */
export function modelParameters(shape: ModelShape): ParameterShape[] {
  const layers = Array.from({ length: shape.layers }, (_, layer) =>
    layerParameters(shape).map((parameter) => ({ ...parameter, name: layerPrefix(layer) + parameter.name })),
  );
  const table = [shape.vocabSize, shape.hiddenSize];
  return [
    { name: EMBEDDING, shape: table },
    ...layers.flat(),
    { name: FINAL_NORM, shape: [shape.hiddenSize] },
    ...(shape.isTied ? [] : [{ name: headName(shape), shape: table }]),
  ];
}

/** Attention biases of the families whose config.json does not say; `attention_bias` wins where it is present. */
const QKV_BIAS_BY_MODEL_TYPE = new Map([
  ['qwen2', true],
  ['qwen3', false],
  ['llama', false],
  ['mistral', false],
]);

/**
 * The shape that a config.json describes.
 * @throws InvalidInputError `CPT_CONFIG_MODEL` when a size is missing or wrong.
 * @throws UnsupportedError `CPT_UNSUPPORTED_RUN` when the graphs do not compute such a model (rotary positions scaled
 * otherwise than `linear` or `llama3`, a sliding window, another activation or family).
 */
export function modelShapeFromHfConfig(config: Readonly<Record<string, unknown>>): ModelShape {
  const size = (key: string, fallback?: number) => positiveNumber(config, key, fallback, true);
  // transformers 5 moved rope_theta into rope_parameters.
  const rope = Object(config.rope_parameters ?? config.rope_scaling ?? {}) as Record<string, unknown>;
  const ropeType = rope.rope_type ?? rope.type ?? 'default';
  const modelType = String(config.model_type);
  const hasQkvBias = config.attention_bias ?? QKV_BIAS_BY_MODEL_TYPE.get(modelType);
  if (!QKV_BIAS_BY_MODEL_TYPE.has(modelType)) throw unsupported(`model_type "${modelType}"`);
  if ((rope.partial_rotary_factor ?? config.partial_rotary_factor ?? 1) !== 1)
    throw unsupported('partial_rotary_factor');
  if (config.use_sliding_window === true) throw unsupported('use_sliding_window');
  if ((config.hidden_act ?? 'silu') !== 'silu') throw unsupported(`hidden_act "${config.hidden_act}"`);
  const hiddenSize = size('hidden_size');
  const heads = size('num_attention_heads');
  const shape: ModelShape = {
    layers: size('num_hidden_layers'),
    hiddenSize,
    ffnHiddenSize: size('intermediate_size'),
    heads,
    queryGroups: size('num_key_value_heads', heads),
    headDim: size('head_dim', hiddenSize / heads),
    vocabSize: size('vocab_size'),
    normEpsilon: positiveNumber(config, 'rms_norm_eps', 1e-6, false),
    ropeTheta: positiveNumber('rope_theta' in config ? config : rope, 'rope_theta', 10000, false),
    isTied: config.tie_word_embeddings === true,
    hasQkvBias: hasQkvBias === true,
    ...(modelType === 'qwen3' && { hasQkNorm: true }),
    ...ropeScalingOf(String(ropeType), rope, config),
    // Qwen has a size for a window that use_sliding_window turns on; Mistral's is always on.
    ...(modelType === 'mistral' &&
      typeof config.sliding_window === 'number' && { slidingWindow: size('sliding_window') }),
  };
  if (heads % shape.queryGroups !== 0 || shape.headDim % 2 !== 0) {
    throw badConfig(
      `${heads} heads over ${shape.queryGroups} groups of head_dim ${shape.headDim} do not divide evenly`,
    );
  }
  return shape;
}

function ropeScalingOf(
  type: string,
  rope: Readonly<Record<string, unknown>>,
  config: Readonly<Record<string, unknown>>,
): { ropeScaling?: RopeScaling } {
  if (type === 'default') return {};
  const number = (key: string, fallback?: number) => positiveNumber(rope, key, fallback, false);
  if (type === 'linear') return { ropeScaling: { type, factor: number('factor') } };
  if (type !== 'llama3') throw unsupported(`rotary positions of type "${type}"`);
  const positions = config.max_position_embeddings;
  const ropeScaling: RopeScaling = {
    type,
    factor: number('factor'),
    lowFreqFactor: number('low_freq_factor'),
    highFreqFactor: number('high_freq_factor'),
    originalMaxPositionEmbeddings: number(
      'original_max_position_embeddings',
      typeof positions === 'number' ? positions : undefined,
    ),
  };
  return { ropeScaling };
}

function positiveNumber(
  config: Readonly<Record<string, unknown>>,
  key: string,
  fallback: number | undefined,
  isWhole: boolean,
): number {
  const value = config[key] ?? fallback;
  if (typeof value !== 'number' || !(value > 0) || (isWhole && !Number.isSafeInteger(value))) {
    throw badConfig(`${key} is ${JSON.stringify(value) ?? 'missing'}, not a positive ${isWhole ? 'whole ' : ''}number`);
  }
  return value;
}

function badConfig(why: string): InvalidInputError {
  return new InvalidInputError('CPT_CONFIG_MODEL', `config.json: ${why}`, { file: 'config.json' });
}

function unsupported(feature: string): UnsupportedError {
  return new UnsupportedError('CPT_UNSUPPORTED_RUN', `config.json: ${feature} is not computed here`, { feature });
}
