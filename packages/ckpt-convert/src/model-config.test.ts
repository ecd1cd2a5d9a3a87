import { describe, expect, it } from 'vitest';
import { attentionByArgs, type ModelConfigInput, resolveModelConfig, ropeThetaOf } from './model-config.ts';

const args = {
  num_layers: 2,
  hidden_size: 8,
  ffn_hidden_size: 12,
  num_attention_heads: 4,
  kv_channels: 2,
  group_query_attention: true,
  num_query_groups: 2,
  norm_epsilon: 1e-6,
  rotary_base: 1_000_000,
  padded_vocab_size: 16,
  untie_embeddings_and_output_weights: true,
};
const disk = {
  layers: 2,
  hiddenSize: 8,
  ffnHiddenSize: 12,
  paddedVocabSize: 16,
  qkvRows: 16,
  projColumns: 8,
  hasOutputLayer: true,
};

function input(
  changes: Partial<Record<'args' | 'disk' | 'reference', object>> & { vocabSize?: number; noArgs?: true },
) {
  const full: ModelConfigInput = {
    family: 'qwen2',
    hasQkvBias: true,
    disk: { ...disk, ...changes.disk },
    args: changes.noArgs ? undefined : new Map(Object.entries({ ...args, ...changes.args })),
    reference: changes.reference as ModelConfigInput['reference'],
    vocabSize: changes.vocabSize,
    directory: 'ckpt',
  };
  return resolveModelConfig(full);
}

describe('attentionByArgs', () => {
  it('silent error 2: ignores num_query_groups, 1 by default, while grouping is off', () => {
    const off = { num_attention_heads: 8, kv_channels: 4, group_query_attention: false, num_query_groups: 1 };
    expect(attentionByArgs(new Map<string, number | boolean>(Object.entries(off)))).toEqual({
      heads: 8,
      queryGroups: 8,
      headDim: 4,
    });
  });

  it('takes hidden / heads for kv_channels None', () => {
    const none = new Map<string, number | null>([
      ['num_attention_heads', 4],
      ['hidden_size', 24],
      ['kv_channels', null],
    ]);
    expect(attentionByArgs(none)).toEqual({ heads: 4, queryGroups: 4, headDim: 6 });
  });
});

describe('sizes', () => {
  it('come from args and the tensors', () => {
    expect(input({ args: { vocab_size: 13 } })).toEqual({
      model: {
        ...{ family: 'qwen2', layers: 2, hiddenSize: 8, ffnHiddenSize: 12, heads: 4, queryGroups: 2, headDim: 2 },
        ...{ vocabSize: 13, normEpsilon: 1e-6, ropeTheta: 1e6, isTied: false, hasQkvBias: true },
      },
      problems: [],
    });
  });

  it('follow the tensors where args or the reference say otherwise, and report it', () => {
    const { model, problems } = input({
      args: { ffn_hidden_size: 99, vocab_size: 13 },
      reference: { hidden_size: 77, vocab_size: 12 },
    });
    expect(model).toMatchObject({ ffnHiddenSize: 12, hiddenSize: 8, vocabSize: 12 });
    expect(problems).toEqual([
      'hidden size: the tensors have 8, the reference says 77; the tensors were followed',
      'ffn size: the tensors have 12, args say 99; the tensors were followed',
    ]);
  });

  it('refuse a number of layers that the stages do not hold', () => {
    expect(() => input({ args: { num_layers: 4 } })).toThrow(
      expect.objectContaining({
        code: 'CPT_FORMAT_PIPELINE_LAYERS',
        message: expect.stringContaining('hold 2 layers, args.num_layers is 4'),
      }),
    );
  });
});

describe('heads, groups and head dim', () => {
  it('are those of the source that fits the shapes', () => {
    // (4 heads, 2 groups, head dim 2) and (2, 1, 4) have the same tensors: the reference decides, and it is reported.
    const reference = { num_attention_heads: 2, num_key_value_heads: 1, head_dim: 4, vocab_size: 13 };
    const { model, problems } = input({ reference });
    expect(model).toMatchObject({ heads: 2, queryGroups: 1, headDim: 4 });
    expect(problems).toEqual([
      'attention: (2 heads + 2 × 1 groups) × head dim 4 = 16 rows of the reference was followed, not (4 heads + 2 × 2 groups) × head dim 2 = 16 rows of args',
    ]);
  });

  it('are not taken from a source whose shapes differ', () => {
    const { model } = input({
      reference: { num_attention_heads: 4, num_key_value_heads: 4, head_dim: 2, vocab_size: 13 },
    });
    expect(model).toMatchObject({ heads: 4, queryGroups: 2, headDim: 2 });
  });

  it('row 29: are refused with the numbers when nothing fits', () => {
    expect(() => input({ args: { num_query_groups: 4 } })).toThrow(
      'linear_qkv has 16 rows and linear_proj 8 columns, which fits none of: args: (4 heads + 2 × 4 groups) × head dim 2 = 24 rows',
    );
    expect(() => input({ disk: { queryNormSize: 4 } })).toThrow('fits none of');
  });

  it('are not taken where heads do not fill the groups', () => {
    const args = { num_attention_heads: 3, num_query_groups: 2 };
    expect(() => input({ args, disk: { qkvRows: 14, projColumns: 6 } })).toThrow('fits none of');
  });

  it('need a reference without args', () => {
    expect(() => input({ noArgs: true })).toThrow(expect.objectContaining({ code: 'CPT_CONFIG_MODEL' }));
    const reference = {
      ...{ num_attention_heads: 4, num_key_value_heads: 2, head_dim: 2 },
      rms_norm_eps: 1e-5,
      rope_theta: 1e4,
      vocab_size: 16,
    };
    expect(input({ noArgs: true, reference }).model).toMatchObject({ heads: 4, queryGroups: 2, ropeTheta: 1e4 });
  });
});

describe('norm epsilon and rotary base', () => {
  it('of the reference win, and the difference is reported', () => {
    const { model, problems } = input({
      reference: { rms_norm_eps: 1e-5, rope_parameters: { rope_theta: 5e5 }, vocab_size: 16 },
    });
    expect(model).toMatchObject({ normEpsilon: 1e-5, ropeTheta: 5e5 });
    expect(problems).toEqual([
      'norm epsilon: the reference says 0.00001, args say 0.000001; the reference was followed',
      'rotary base: the reference says 500000, args say 1000000; the reference was followed',
    ]);
  });

  it('have an older name in old args', () => {
    expect(input({ args: { norm_epsilon: null, layernorm_epsilon: 1e-5, vocab_size: 16 } }).model.normEpsilon).toBe(
      1e-5,
    );
  });

  it('are asked for when nothing tells', () => {
    expect(() => input({ args: { rotary_base: null } })).toThrow('no rotary_base (rope_theta)');
    expect(ropeThetaOf({})).toBeUndefined();
  });
});

describe('vocabulary', () => {
  it.each([
    ['the option first', { vocabSize: 9, reference: { vocab_size: 10 }, args: { vocab_size: 11 } }, 9],
    ['then the reference', { reference: { vocab_size: 10 }, args: { vocab_size: 11 } }, 10],
    ['then args', { args: { vocab_size: 11 } }, 11],
    ['a NullTokenizer has one more', { args: { vocab_size: 11, tokenizer_type: 'NullTokenizer' } }, 12],
    ['else all rows', {}, 16],
  ])('%s', (_, changes, expected) => {
    expect(input(changes).model.vocabSize).toBe(expected);
  });

  it('says when padding is kept because nothing tells', () => {
    expect(input({}).problems.join()).toContain('nothing tells how many of the 16 rows are tokens');
  });

  it('row 30: never invents rows', () => {
    expect(() => input({ vocabSize: 17 })).toThrow(
      expect.objectContaining({
        code: 'CPT_CONFIG_VOCAB_SIZE',
        message: expect.stringContaining('--vocab-size is 17, the embedding has 16 rows'),
      }),
    );
  });
});

describe('tied embeddings', () => {
  const tied = { untie_embeddings_and_output_weights: false, vocab_size: 16 };
  it.each([
    ['tied, no output table', { args: tied, disk: { hasOutputLayer: false } }, true],
    ['tied, with the copy of a pipeline', { args: tied, disk: { hasOutputLayer: true } }, true],
    ['untied', { args: { vocab_size: 16 } }, false],
    ['no args, an output table', { args: { untie_embeddings_and_output_weights: null, vocab_size: 16 } }, false],
  ])('%s', (_, changes, isTied) => {
    expect(input(changes).model.isTied).toBe(isTied);
  });

  it('follow the files when a launcher untied a model whose config says tied', () => {
    const { model, problems } = input({ reference: { tie_word_embeddings: true, vocab_size: 16 } });
    expect(model.isTied).toBe(false);
    expect(problems).toEqual([
      'embeddings: two tables in the files, tie_word_embeddings is true; the files were followed',
    ]);
  });

  it('miss the output table of an untied model', () => {
    expect(() => input({ disk: { hasOutputLayer: false } })).toThrow(
      expect.objectContaining({
        code: 'CPT_FORMAT_RANK_FILE',
        message: expect.stringContaining('"output_layer.weight"'),
      }),
    );
  });
});
