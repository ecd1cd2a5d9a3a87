import type { ModelFamily } from './dense-decoder.ts';
import { llama } from './llama.ts';
import { mistral } from './mistral.ts';
import { qwen2 } from './qwen2.ts';
import { qwen3 } from './qwen3.ts';

export { LOCAL_SPEC_NAMES, type ModelFamily, type ParameterTable } from './dense-decoder.ts';

/** Every supported family under its `model_type`. */
export const FAMILIES = { qwen2, qwen3, llama, mistral } as const satisfies Record<string, ModelFamily>;

export type FamilyName = keyof typeof FAMILIES;

/** True for a `model_type` of the table. */
export function isFamilyName(value: unknown): value is FamilyName {
  return typeof value === 'string' && Object.hasOwn(FAMILIES, value);
}

/** The families whose optional parameters are exactly those among `megatronNames`: several for Llama and Mistral. */
export function familiesOf(megatronNames: Iterable<string>): FamilyName[] {
  let hasQkvBias = false;
  let hasQkNorm = false;
  for (const name of megatronNames) {
    if (name.endsWith('.self_attention.linear_qkv.bias')) hasQkvBias = true;
    if (name.endsWith('.self_attention.q_layernorm.weight')) hasQkNorm = true;
  }
  const names = Object.keys(FAMILIES) as FamilyName[];
  return names.filter((name) => {
    const family: ModelFamily = FAMILIES[name];
    return family.hasQkvBias === hasQkvBias && family.hasQkNorm === hasQkNorm;
  });
}
