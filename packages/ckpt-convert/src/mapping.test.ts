import { describe, expect, it } from 'vitest';
import { TINY } from '../test/tiny-checkpoint.ts';
import {
  dimensionSize,
  gated,
  joined,
  matchName,
  matrixSize,
  nameAt,
  placeShards,
  qkv,
  replicated,
  shardShape,
  stacked,
  unpackRows,
  vocabRows,
} from './mapping.ts';

describe('matchName', () => {
  it.each([
    ['decoder.layers.*.mlp.linear_fc1.weight', 'decoder.layers.12.mlp.linear_fc1.weight', 12],
    ['decoder.layers.*.mlp.linear_fc1.weight', 'decoder.layers.x.mlp.linear_fc1.weight', undefined],
    ['decoder.layers.*.mlp.linear_fc1.weight', 'decoder.layers.1.2.mlp.linear_fc1.weight', undefined],
    ['decoder.layers.*.mlp.linear_fc1.weight', 'decoder.layers..mlp.linear_fc1.weight', undefined],
    ['decoder.layers.*.mlp.linear_fc1.weight', 'decoder.layers.1.mlp.linear_fc2.weight', undefined],
    ['output_layer.weight', 'output_layer.weight', 'none'],
    ['output_layer.weight', 'output_layer.weights', undefined],
  ])('%s on %s', (pattern, name, layer) => {
    expect(matchName(pattern, name)).toBe(layer);
  });

  it('is undone by nameAt', () => {
    expect(nameAt('a.*.b', 7)).toBe('a.7.b');
    expect(nameAt('a.b', 'none')).toBe('a.b');
  });
});

describe('a model of hidden 8, ffn 8, 4 heads of 2 in 2 groups, 11 tokens padded to 16, over 2 ranks', () => {
  it.each([
    ['replicated', replicated('n', 'hidden'), [8]],
    ['replicated over a head', replicated('n', 'headDim'), [2]],
    ['stacked', stacked('n', 'ffn', 'hidden'), [4, 8]],
    ['joined', joined('n', 'hidden', 'attention'), [8, 4]],
    ['vocabRows', vocabRows('n'), [8, 8]],
    ['qkv', qkv('a', 'weight'), [8, 8]],
    ['qkv bias', qkv('a', 'bias'), [8]],
    ['gated', gated('m'), [8, 8]],
  ])('a shard of %s', (_, mapping, shape) => {
    expect(shardShape(mapping, TINY, 2, 16)).toEqual(shape);
  });

  it('sizes by meaning', () => {
    const names = ['hidden', 'ffn', 'attention', 'keyValue', 'headDim', 'vocab'] as const;
    expect(names.map((name) => dimensionSize(name, TINY))).toEqual([8, 8, 8, 4, 2, 11]);
  });
});

describe('placement and unpacking', () => {
  it('a replicated tensor is taken from rank 0, whole', () => {
    expect(placeShards(replicated('n', 'hidden'), [8], 4)).toEqual([
      { shard: 0, globalRow: 0, globalColumn: 0, rows: 8, columns: 1, localRow: 0 },
    ]);
  });

  it('a stacked tensor follows the ranks', () => {
    const starts = placeShards(stacked('n', 'ffn', 'hidden'), [2, 8], 3).map(({ globalRow }) => globalRow);
    expect(starts).toEqual([0, 2, 4]);
    expect(unpackRows(stacked('n', 'ffn', 'hidden'), 0, TINY)).toEqual([{ globalRow: 0, toRow: 0, rows: 8 }]);
  });

  it('a table loses its padding', () => {
    expect(unpackRows(vocabRows('n'), 0, TINY)).toEqual([{ globalRow: 0, toRow: 0, rows: 11 }]);
  });

  it('a vector is a matrix of one column, a scalar one element', () => {
    expect([matrixSize([5]), matrixSize([5, 3]), matrixSize([5, 3, 2]), matrixSize([])]).toEqual([
      [5, 1],
      [5, 3],
      [5, 6],
      [1, 1],
    ]);
  });
});
