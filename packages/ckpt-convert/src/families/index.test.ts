import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FIXTURES } from '../../test/tiny-checkpoint.ts';
import type { ModelConfig } from '../model-config.ts';
import { expectedNames, expectedRows, outputsOf } from '../resolve.ts';
import { FAMILIES, type FamilyName, familiesOf, isFamilyName, type ModelFamily } from './index.ts';

const transformers = JSON.parse(readFileSync(join(FIXTURES, 'families.json'), 'utf8'));
const { sizes, families } = transformers;

describe('each family has the tensors that transformers gives it', () => {
  it.each(Object.keys(families))('%s', (name) => {
    const { modelType, architecture, tensors } = families[name];
    const family: ModelFamily = FAMILIES[modelType as FamilyName];
    const model: ModelConfig = {
      family: modelType,
      layers: sizes.num_hidden_layers,
      hiddenSize: sizes.hidden_size,
      ffnHiddenSize: sizes.intermediate_size,
      heads: sizes.num_attention_heads,
      queryGroups: sizes.num_key_value_heads,
      headDim: modelType === 'qwen3' ? 8 : sizes.hidden_size / sizes.num_attention_heads,
      vocabSize: sizes.vocab_size,
      normEpsilon: 1e-6,
      ropeTheta: 1e6,
      isTied: name.endsWith('-tied'),
      hasQkvBias: family.hasQkvBias,
    };
    const rows = expectedRows(family, model);
    const outputs = rows.flatMap(({ mapping, layer }) => outputsOf(mapping, layer, model));
    expect(Object.fromEntries(outputs.map(({ hfName, shape }) => [hfName, shape]))).toEqual(tensors);
    expect(outputs).toHaveLength(Object.keys(tensors).length);
    expect(family.architecture).toBe(architecture);
    expect(familiesOf(expectedNames(family, model))).toContain(modelType);
  });
});

describe('familiesOf', () => {
  const layer = 'decoder.layers.0.self_attention';
  it.each([
    [[`${layer}.linear_qkv.bias`], ['qwen2']],
    [[`${layer}.q_layernorm.weight`], ['qwen3']],
    [[], ['llama', 'mistral']],
    [[`${layer}.linear_qkv.bias`, `${layer}.q_layernorm.weight`], []],
  ])('%j', (names, expected) => {
    expect(familiesOf(names)).toEqual(expected);
  });

  it('knows a model type from a key of Object.prototype', () => {
    expect([isFamilyName('qwen2'), isFamilyName('gpt2'), isFamilyName('toString'), isFamilyName(1)]).toEqual([
      true,
      false,
      false,
      false,
    ]);
  });
});
