import { UnsupportedError } from '@pai-cpt/core';
import { type ArgsNamespace, numberArg } from './model-config.ts';

/**
 * Stops at a model that the tables would convert wrongly or only in part. Values that change meaning without changing a name
 * or a shape are told by `args` alone, so they are checked before anything else.
 * @throws UnsupportedError `CPT_UNSUPPORTED_MODEL`
 */
export function refuseUnsupportedArgs(args: ArgsNamespace, file: string): void {
  const isOn = (name: string) => args.get(name) === true;
  const isAbove = (name: string, limit: number) => (numberArg(args, name) ?? limit) > limit;
  const isSet = (name: string) => (args.get(name) ?? null) !== null && args.get(name) !== false;
  const rules: [applies: boolean, feature: string, reason: string][] = [
    [isSet('num_experts'), 'mixture of experts', 'num_experts is set'],
    [isAbove('expert_model_parallel_size', 1), 'expert parallelism', 'expert_model_parallel_size is above 1'],
    [isOn('multi_latent_attention'), 'multi-latent attention', 'multi_latent_attention is on'],
    [isAbove('mtp_num_layers', 0), 'multi-token prediction', 'mtp_num_layers is above 0'],
    [isOn('apply_layernorm_1p'), 'apply_layernorm_1p', 'norm weights are stored minus one'],
    [isOn('rotary_interleaved'), 'rotary_interleaved', 'query and key rows are in another order'],
    [(numberArg(args, 'rotary_percent') ?? 1) < 1, 'rotary_percent below 1', 'only part of a head is rotated'],
    [
      args.get('position_embedding_type') === 'yarn' || args.get('position_embedding_type') === 'mrope',
      'other rotary positions',
      `position_embedding_type is ${String(args.get('position_embedding_type'))}`,
    ],
    [isSet('no_rope_freq'), 'layers without rotary positions', 'no_rope_freq is set'],
    [isOn('attention_output_gate'), 'attention_output_gate', 'linear_qkv carries a gate'],
    [isSet('fp8_param_gather') || isOn('fp8_param'), 'FP8 parameters', 'weights are quantised'],
    [
      isSet('normalization') && args.get('normalization') !== 'RMSNorm',
      'LayerNorm',
      `normalization is ${String(args.get('normalization'))}`,
    ],
    [args.get('swiglu') === false, 'an MLP without gate', 'swiglu is off'],
  ];
  for (const [applies, feature, reason] of rules) {
    if (applies) throw refusal(file, feature, `args: ${reason}`);
  }
}

const NAME_RULES: readonly [pattern: RegExp, feature: string][] = [
  [
    /^(language_model|llava_model|vision_model|vision_projection)\./,
    'a vision model, or an unknown name of before Megatron-Core',
  ],
  [/\.(router|experts|shared_experts?)\./, 'mixture of experts'],
  [/\.linear_(q_down|q_up|kv_down|kv_up)_proj\./, 'multi-latent attention'],
  [/^mtp\./, 'multi-token prediction'],
  [/\.softmax_offset$/, 'attention sinks (softmax_offset)'],
];

/** @throws UnsupportedError `CPT_UNSUPPORTED_MODEL` for a name of a model kind that is recognised and not converted. */
export function refuseUnsupportedNames(names: Iterable<string>, file: string): void {
  for (const name of names) {
    const rule = NAME_RULES.find(([pattern]) => pattern.test(name));
    if (rule) throw refusal(file, rule[1], `"${name}"`);
  }
}

export function refusal(file: string, feature: string, evidence: string): UnsupportedError {
  return new UnsupportedError('CPT_UNSUPPORTED_MODEL', `${file}: ${feature} cannot be converted yet (${evidence})`, {
    feature,
    file,
  });
}
