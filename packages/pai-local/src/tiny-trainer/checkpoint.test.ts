import { describe, expect, it } from 'vitest';
import { ownRanks } from './checkpoint.ts';

const parallel = { tensorParallelSize: 2, pipelineParallelSize: 4 };

describe('ownRanks', () => {
  it('gives a replica every tensor rank of each stage that falls to it', () => {
    expect(ownRanks(parallel, { rank: 1, worldSize: 3 })).toEqual([
      { tensorRank: 0, pipelineStage: 1 },
      { tensorRank: 1, pipelineStage: 1 },
    ]);
    expect(ownRanks(parallel, { rank: 0, worldSize: 3 }).map((rank) => rank.pipelineStage)).toEqual([0, 0, 3, 3]);
  });

  it.each([1, 2, 3, 4, 5])('writes each rank file once over %i replicas', (worldSize) => {
    const all = Array.from({ length: worldSize }, (_, rank) => ownRanks(parallel, { rank, worldSize })).flat();
    const names = all.map(({ tensorRank, pipelineStage }) => `${tensorRank}/${pipelineStage}`);
    expect(new Set(names).size).toBe(8);
    expect(names).toHaveLength(8);
  });
});
