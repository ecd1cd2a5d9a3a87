import { describe, expect, it } from 'vitest';
import { TINY } from '../test/tiny-checkpoint.ts';
import { planChunks, type RankGrid, requireDivisible } from './rank-grid.ts';

/** Layers of `model0`, `model1`, … of each stage. */
function layersOf(layers: number, grid: Omit<RankGrid, 'tensorParallelSize'>): number[][][] {
  const stages = Array.from({ length: grid.pipelineParallelSize }, (): number[][] => []);
  for (const { pipelineStage, virtualStage, firstLayer, layers: count } of planChunks(layers, {
    tensorParallelSize: 1,
    ...grid,
  })) {
    const stage = stages[pipelineStage] as number[][];
    stage[virtualStage] = Array.from({ length: count }, (_, layer) => firstLayer + layer);
  }
  return stages;
}

describe('planChunks, by hand from the rules of Megatron-Core', () => {
  it.each([
    ['even', 4, { pipelineParallelSize: 2 }, [[[0, 1]], [[2, 3]]]],
    [
      'interleaved',
      8,
      { pipelineParallelSize: 2, virtualStages: 2 },
      [
        [
          [0, 1],
          [4, 5],
        ],
        [
          [2, 3],
          [6, 7],
        ],
      ],
    ],
    ['first', 5, { pipelineParallelSize: 2, firstStageLayers: 2 }, [[[0, 1]], [[2, 3, 4]]]],
    [
      'both ends',
      6,
      { pipelineParallelSize: 3, firstStageLayers: 1, lastStageLayers: 1 },
      [[[0]], [[1, 2, 3, 4]], [[5]]],
    ],
    [
      // Each round runs through 1 + 2 layers: chunk 1 of the first stage begins at layer 3.
      'a first stage and interleaving',
      6,
      { pipelineParallelSize: 2, virtualStages: 2, firstStageLayers: 2 },
      [
        [[0], [3]],
        [
          [1, 2],
          [4, 5],
        ],
      ],
    ],
  ])('%s', (_, layers, grid, expected) => {
    expect(layersOf(layers, grid)).toEqual(expected);
  });

  it.each([
    [5, { pipelineParallelSize: 2 }, '5 layers do not divide among 2 pipeline stages'],
    [4, { pipelineParallelSize: 2, virtualStages: 4 }, '2 layers do not divide among 4 chunks of a stage'],
    [6, { pipelineParallelSize: 3, firstStageLayers: 1 }, '5 remaining layers do not divide among 2 other'],
    [4, { pipelineParallelSize: 2, firstStageLayers: 5 }, '5 on the first of 2 pipeline stages leave -1 of 4 layers'],
    [4, { pipelineParallelSize: 1, lastStageLayers: 4 }, '4 on the last of 1 pipeline stages leave 0 of 4 layers'],
    [5, { pipelineParallelSize: 2, firstStageLayers: 2, lastStageLayers: 2 }, 'leave 1 of 5 layers for 0 others'],
  ])('refuses %i layers over %j', (layers, grid, message) => {
    expect(() => layersOf(layers, grid)).toThrow(message);
  });
});

describe('requireDivisible', () => {
  it.each([
    [{ tensorParallelSize: 0, pipelineParallelSize: 1 }, 'tensorParallelSize is 0'],
    [{ tensorParallelSize: 4, pipelineParallelSize: 1 }, '2 query groups do not divide among 4 tensor ranks'],
    [{ tensorParallelSize: 1, pipelineParallelSize: 1, virtualStages: 2 }, '2 virtual stages need more than one'],
  ])('%j', (grid, message) => {
    expect(() => requireDivisible(TINY, grid)).toThrow(message);
  });
});
