import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FIXTURES } from '../test/tiny-checkpoint.ts';
import { modelOfHf } from './hf-model.ts';

const tensors = new Map([['model.embed_tokens.weight', { dtype: 'BF16' as const, shape: [50, 24] }]]);
const smallest = {
  model_type: 'llama',
  hidden_size: 24,
  intermediate_size: 40,
  num_hidden_layers: 2,
  num_attention_heads: 6,
};

describe('modelOfHf', () => {
  it('takes the defaults of transformers where config.json leaves a field out', () => {
    const { model, notes } = modelOfHf(smallest, tensors, 'config.json');
    expect(model).toEqual({
      family: 'llama',
      layers: 2,
      hiddenSize: 24,
      ffnHiddenSize: 40,
      heads: 6,
      queryGroups: 6,
      headDim: 4,
      vocabSize: 50,
      normEpsilon: 1e-6,
      ropeTheta: 10_000,
      isTied: true,
      hasQkvBias: false,
    });
    expect(notes).toEqual(['rotary base: config.json has none; 10000 was taken']);
  });

  it('says which scaled rotary positions are not in args', () => {
    const config = { ...smallest, rope_theta: 5e5, rope_scaling: { rope_type: 'yarn', factor: 8 } };
    expect(modelOfHf(config, tensors, 'config.json').notes).toEqual([expect.stringContaining('yarn')]);
    const plain = { ...smallest, rope_parameters: { rope_type: 'default', rope_theta: 5e5 } };
    expect(modelOfHf(plain, tensors, 'config.json')).toMatchObject({ notes: [], model: { ropeTheta: 5e5 } });
  });

  it.each(['qwen2-tp1-pp1', 'qwen3-head-dim', 'mistral'])(
    '%s: the config.json that transformers takes gives the sizes of the tensors',
    (name) => {
      const { config, tensors: shapes } = JSON.parse(readFileSync(join(FIXTURES, name, 'expected.json'), 'utf8'));
      const { model } = modelOfHf(config, new Map(Object.entries(shapes)), 'config.json');
      const [rows, columns] = shapes['model.layers.0.self_attn.k_proj.weight'].shape;
      expect([model.queryGroups * model.headDim, model.hiddenSize]).toEqual([rows, columns]);
      expect(model.isTied).toBe(!('lm_head.weight' in shapes));
    },
  );

  it.each([
    [{ head_dim: 2.5 }, 'head_dim is 2.5'],
    [{ num_hidden_layers: 0 }, 'num_hidden_layers is 0'],
    [{ intermediate_size: undefined }, 'intermediate_size is missing'],
    [
      { model_type: 'toString' },
      'model_type "toString" cannot be converted yet; known are qwen2, qwen3, llama, mistral',
    ],
  ])('refuses %j', (fields, message) => {
    expect(() => modelOfHf({ ...smallest, ...fields }, tensors, 'a/config.json')).toThrow(message);
  });
});
