import { describe, expect, it } from 'vitest';
import { type RowFacts, rowLocator } from './verify-rows.ts';

// 4 heads in 2 groups of head dim 2 over 2 ranks: rank 0 holds q0 q1 q2 q3 k0 k1 v0 v1, rank 1 q4 q5 q6 q7 k2 k3 v2 v3.
const facts: RowFacts = {
  heads: 4,
  queryGroups: 2,
  headDim: 2,
  ffnHiddenSize: 6,
  paddedVocabSize: 8,
  tensorParallelSize: 2,
};

function places(hfName: string, rows: number, changed: Partial<RowFacts> = {}, columns = 8) {
  const locator = rowLocator(hfName, { ...facts, ...changed });
  return Array.from({ length: rows }, (_, row) =>
    locator
      ?.locate(row, columns)
      .map((piece) => `${piece.tensorRank}:${piece.row}`)
      .join('+'),
  ).join(' ');
}

describe('rowLocator', () => {
  const attention = 'model.layers.3.self_attn';
  it.each([
    [`${attention}.q_proj.weight`, 8, '0:0 0:1 0:2 0:3 1:0 1:1 1:2 1:3'],
    [`${attention}.k_proj.bias`, 4, '0:4 0:5 1:4 1:5'],
    [`${attention}.v_proj.weight`, 4, '0:6 0:7 1:6 1:7'],
    ['model.layers.3.mlp.gate_proj.weight', 6, '0:0 0:1 0:2 1:0 1:1 1:2'],
    ['model.layers.3.mlp.up_proj.weight', 6, '0:3 0:4 0:5 1:3 1:4 1:5'],
    [`${attention}.o_proj.weight`, 2, '0:0+1:0 0:1+1:1'],
    ['model.layers.3.mlp.down_proj.weight', 1, '0:0+1:0'],
    ['model.embed_tokens.weight', 5, '0:0 0:1 0:2 0:3 1:0'],
    ['lm_head.weight', 5, '0:0 0:1 0:2 0:3 1:0'],
    ['model.norm.weight', 2, '0:0 0:1'],
    [`${attention}.q_norm.weight`, 2, '0:0 0:1'],
  ])('%s', (name, rows, expected) => {
    expect(places(name, rows)).toBe(expected);
  });

  it('cuts through a group when there are more ranks than groups', () => {
    expect(places(`${attention}.k_proj.weight`, 4, { tensorParallelSize: 4 })).toBe('1:0 1:1 3:0 3:1');
  });

  it('gives each rank its columns', () => {
    expect(rowLocator(`${attention}.o_proj.weight`, facts)?.locate(5, 8)).toEqual([
      { tensorRank: 0, row: 5, column: 0, columns: 4 },
      { tensorRank: 1, row: 5, column: 4, columns: 4 },
    ]);
  });

  it('names the Megatron tensor with the global layer', () => {
    expect(rowLocator(`${attention}.q_proj.bias`, facts)?.megatronName).toBe(
      'decoder.layers.3.self_attention.linear_qkv.bias',
    );
    expect(rowLocator('model.layers.0.input_layernorm.weight', facts)?.megatronName).toBe(
      'decoder.layers.0.self_attention.linear_qkv.layer_norm_weight',
    );
  });

  it.each(['model.layers.x.mlp.up_proj.weight', 'model.layers.1.mlp.experts.0.weight', 'score.weight'])(
    'knows no %s',
    (name) => {
      expect(rowLocator(name, facts)).toBeUndefined();
    },
  );
});
