import { describe, expect, it } from 'vitest';
import { TINY } from '../test/tiny-checkpoint.ts';
import type { MegatronCheckpoint, MegatronParameter } from './checkpoint.ts';
import { FAMILIES } from './families/index.ts';
import { type Mapping, shardShape } from './mapping.ts';
import {
  canonicalName,
  checkShapes,
  expectedNames,
  expectedRows,
  isIgnoredName,
  resolveParameters,
} from './resolve.ts';

const PADDED = 16;

function parameter(megatronName: string, shape: readonly number[], localName = megatronName): MegatronParameter {
  const shards = [0, 1].map((tensorRank) => ({
    tensorRank,
    file: `rank${tensorRank}`,
    byteOffset: 0,
    shape,
    stride: [],
  }));
  return { megatronName, localName, pipelineStage: 0, dtype: 'BF16', shards };
}

/** Two ranks of the tiny model, with changes to its list of parameters. */
function checkpoint(
  change: (all: MegatronParameter[]) => MegatronParameter[] = (all) => all,
  isTied = false,
): MegatronCheckpoint {
  const model = { ...TINY, isTied };
  const all = expectedRows(FAMILIES.qwen2, model).map(({ megatronName, mapping }) =>
    parameter(megatronName, shardShape(mapping as Mapping, model, 2, PADDED)),
  );
  const changed = change(all);
  return {
    format: 'torch',
    directory: 'ckpt',
    iteration: 1,
    parallel: { tensorParallelSize: 2, pipelineParallelSize: 1, virtualStages: 1 },
    layersPerStage: [2],
    modelConfig: model,
    paddedVocabSize: PADDED,
    families: ['qwen2'],
    args: undefined,
    problems: [],
    parameters: () => changed,
    readInto() {},
    verifyChecksums: async () => 0,
    close: async () => {},
  };
}

describe('resolveParameters', () => {
  it('gives all in the order of the model, whatever the order in the files', () => {
    const { parameters, tiedCopy, mustBeZero } = resolveParameters(checkpoint((all) => all.toReversed()));
    expect(parameters.map(({ parameter: { megatronName } }) => megatronName)).toEqual(
      expectedNames(FAMILIES.qwen2, TINY),
    );
    expect(parameters[2]?.outputs.map(({ hfName, shape }) => [hfName, shape])).toEqual([
      ['model.layers.0.self_attn.q_proj.weight', [8, 8]],
      ['model.layers.0.self_attn.k_proj.weight', [4, 8]],
      ['model.layers.0.self_attn.v_proj.weight', [4, 8]],
    ]);
    expect([tiedCopy, mustBeZero]).toEqual([undefined, []]);
  });

  it('lists every name that does not fit, in one error', () => {
    const broken = checkpoint((all) => [
      ...all.filter(({ megatronName }) => !megatronName.includes('layers.1.mlp')),
      parameter('decoder.layers.0.mlp.linear_fc3.weight', [1]),
      parameter('decoder.layers.2.mlp.linear_fc2.weight', [1]),
    ]);
    expect(() => resolveParameters(broken)).toThrow(
      expect.objectContaining({
        code: 'CPT_MAPPING_NAMES',
        details: expect.objectContaining({
          names: [
            '"decoder.layers.0.mlp.linear_fc3.weight" is in no row of qwen2',
            '"decoder.layers.2.mlp.linear_fc2.weight" is in no row of qwen2',
            '"decoder.layers.1.mlp.linear_fc1.layer_norm_weight" is missing',
            '"decoder.layers.1.mlp.linear_fc1.weight" is missing',
            '"decoder.layers.1.mlp.linear_fc2.weight" is missing',
          ],
        }),
      }),
    );
  });

  it('refuses both spellings of one norm', () => {
    const name = 'decoder.layers.0.mlp.linear_fc1.layer_norm_weight';
    const twice = checkpoint((all) => [...all, parameter(name, [8], 'decoder.layers.0.pre_mlp_layernorm.weight')]);
    expect(() => resolveParameters(twice)).toThrow(
      `"${name}" is there twice, as "${name}" and as "decoder.layers.0.pre_mlp_layernorm.weight"`,
    );
  });

  it('silent error 8: takes no unknown norm for a known one', () => {
    const extra = checkpoint((all) => [...all, parameter('decoder.layers.0.self_attention.q_layernorm.weight', [2])]);
    expect(() => resolveParameters(extra)).toThrow('q_layernorm.weight" is in no row of qwen2');
  });

  it('sets aside the biases of norms and the copy of a tied table', () => {
    const bias = parameter('decoder.final_layernorm.bias', [8]);
    const copy = parameter('output_layer.weight', [8, 8]);
    const { mustBeZero, tiedCopy, parameters } = resolveParameters(checkpoint((all) => [...all, bias, copy], true));
    expect([mustBeZero, tiedCopy]).toEqual([[bias], copy]);
    expect(parameters.flatMap(({ outputs }) => outputs.map(({ hfName }) => hfName))).not.toContain('lm_head.weight');
  });
});

describe('checkShapes', () => {
  it('accepts what the model needs', () => {
    const good = checkpoint();
    expect(() => checkShapes(good, resolveParameters(good))).not.toThrow();
  });

  it.each([
    [
      'too few rows',
      'decoder.layers.1.self_attention.linear_qkv.weight',
      [7, 8],
      'rank0: "decoder.layers.1.self_attention.linear_qkv.weight" is [7, 8]; qwen2 with 4 heads, 2 groups, head dim 2, hidden 8, ffn 8 over TP 2 needs [8, 8]',
    ],
    ['a norm cut in two', 'decoder.final_layernorm.weight', [4], 'needs [8]'],
    ['a vector for a matrix', 'decoder.layers.0.mlp.linear_fc2.weight', [32], 'needs [8, 4]'],
  ])('refuses %s', (_, name, shape, message) => {
    const bad = checkpoint((all) => all.map((one) => (one.megatronName === name ? parameter(name, shape) : one)));
    expect(() => checkShapes(bad, resolveParameters(bad))).toThrow(
      expect.objectContaining({ code: 'CPT_FORMAT_SHAPE_MISMATCH', message: expect.stringContaining(message) }),
    );
  });

  it('looks at the copy of a tied table too', () => {
    const bad = checkpoint((all) => [...all, parameter('output_layer.weight', [7, 8])], true);
    expect(() => checkShapes(bad, resolveParameters(bad))).toThrow('"output_layer.weight" is [7, 8]');
  });
});

it('canonicalName gives the Transformer Engine name of either spec', () => {
  expect(canonicalName('decoder.layers.7.input_layernorm.weight')).toBe(
    'decoder.layers.7.self_attention.linear_qkv.layer_norm_weight',
  );
  expect(canonicalName('decoder.layers.7.pre_mlp_layernorm.weight')).toBe(
    'decoder.layers.7.mlp.linear_fc1.layer_norm_weight',
  );
  expect(canonicalName('decoder.final_layernorm.weight')).toBe('decoder.final_layernorm.weight');
});

it.each([
  ['decoder.layers.0.self_attention.core_attention._extra_state', true],
  ['rotary_pos_emb.inv_freq', true],
  ['decoder.layers.0.self_attention.linear_qkv.weight', false],
])('isIgnoredName(%s)', (name, isIgnored) => {
  expect(isIgnoredName(name)).toBe(isIgnored);
});
