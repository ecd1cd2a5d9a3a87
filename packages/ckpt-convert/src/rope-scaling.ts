import { InvalidInputError, UnsupportedError } from '@pai-cpt/core';
import { type ArgsNamespace, type HfConfig, numberArg } from './model-config.ts';

/** How rotary positions are stretched for long contexts; `linear` divides every frequency by the factor. */
export type RopeScaling =
  | { readonly type: 'linear'; readonly factor: number }
  | {
      /** Llama 3.1: slow frequencies are divided by the factor, fast ones kept, those between interpolated. */
      readonly type: 'llama3';
      readonly factor: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
      readonly originalMaxPositionEmbeddings: number;
    };

/** What Megatron computes with whatever the model: NVIDIA/Megatron-LM@00caa53, rotary_pos_embedding.py, `_apply_scaling`. */
const MEGATRON_LLAMA3 = { lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositionEmbeddings: 8192 } as const;
const MEGATRON_FACTOR = 8;

/** The scaling by `args`; the linear one is called an interpolation of the sequence length there. */
export function ropeScalingOfArgs(args: ArgsNamespace | undefined): RopeScaling | undefined {
  if (args?.get('use_rope_scaling') === true) {
    return { type: 'llama3', factor: numberArg(args, 'rope_scaling_factor') ?? MEGATRON_FACTOR, ...MEGATRON_LLAMA3 };
  }
  const factor = numberArg(args, 'rotary_seq_len_interpolation_factor');
  return factor === undefined || factor === 1 ? undefined : { type: 'linear', factor };
}

/** The entries of `args` that say this scaling; both are written, for `args` of a model without it override a launcher's flags too. */
export function argsOfRopeScaling(scaling: RopeScaling | undefined) {
  return {
    use_rope_scaling: scaling?.type === 'llama3',
    rope_scaling_factor: scaling?.type === 'llama3' ? scaling.factor : MEGATRON_FACTOR,
    rotary_seq_len_interpolation_factor: scaling?.type === 'linear' ? scaling.factor : null,
  };
}

/**
 * The scaling by config.json, of transformers 5 (`rope_parameters`) or earlier (`rope_scaling`); `kind` is its name there, also where
 * it is one that Megatron does not compute, whose `scaling` is undefined.
 * @throws InvalidInputError `CPT_CONFIG_MODEL` for a factor that is no positive number.
 */
export function ropeScalingOfConfig(config: HfConfig | undefined): { kind: string; scaling?: RopeScaling } {
  const given = Object(config?.rope_parameters ?? config?.rope_scaling ?? {}) as HfConfig;
  const kind = String(given.rope_type ?? given.type ?? 'default');
  const number = (name: string, fallback?: unknown): number => {
    const value = given[name] ?? fallback;
    if (typeof value === 'number' && value > 0) return value;
    const why = `${name} of the rotary scaling "${kind}" is ${JSON.stringify(value) ?? 'missing'}; a positive number is needed`;
    throw new InvalidInputError('CPT_CONFIG_MODEL', `config.json: ${why}`, { field: name });
  };
  if (kind === 'linear') return { kind, scaling: { type: kind, factor: number('factor') } };
  if (kind !== 'llama3') return { kind };
  const scaling = {
    type: kind,
    factor: number('factor'),
    lowFreqFactor: number('low_freq_factor'),
    highFreqFactor: number('high_freq_factor'),
    originalMaxPositionEmbeddings: number('original_max_position_embeddings', config?.max_position_embeddings),
  } as const;
  return { kind, scaling };
}

/** `rope_scaling` of config.json. */
export function configOfRopeScaling(scaling: RopeScaling): Record<string, unknown> {
  const { type, factor } = scaling;
  if (type === 'linear') return { rope_type: type, factor };
  return {
    rope_type: type,
    factor,
    low_freq_factor: scaling.lowFreqFactor,
    high_freq_factor: scaling.highFreqFactor,
    original_max_position_embeddings: scaling.originalMaxPositionEmbeddings,
  };
}

/** In words, equal exactly where the scalings are; "none" without one. */
export function describeRopeScaling(scaling: RopeScaling | undefined): string {
  if (!scaling) return 'none';
  const { type, factor } = scaling;
  if (type === 'linear') return `linear, factor ${factor}`;
  const { lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings } = scaling;
  return `llama3, factor ${factor}, ${lowFreqFactor} to ${highFreqFactor} of ${originalMaxPositionEmbeddings} positions`;
}

/** @throws UnsupportedError `CPT_UNSUPPORTED_MODEL` for the constants of a llama3 scaling that Megatron has no arguments for. */
export function requireMegatronScaling(scaling: RopeScaling | undefined, file: string): void {
  if (scaling?.type !== 'llama3') return;
  const needed: RopeScaling = { ...scaling, ...MEGATRON_LLAMA3 };
  if (describeRopeScaling(scaling) === describeRopeScaling(needed)) return;
  const why = `rotary positions are scaled by ${describeRopeScaling(scaling)}; Megatron computes ${describeRopeScaling(needed)} and takes no other`;
  throw new UnsupportedError('CPT_UNSUPPORTED_MODEL', `${file}: ${why}`, { feature: 'llama3 rotary scaling', file });
}
