import { describe, expect, it } from 'vitest';
import { checkLoad, ownRanks } from './checkpoint.ts';

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

describe('checkLoad', () => {
  const there = () => true;
  const absent = () => false;

  it('says nothing when there is nothing to load from', () => {
    expect(checkLoad(undefined, there)).toEqual([]);
  });

  it("gives Megatron's warning for a folder without a tracker file", () => {
    expect(checkLoad('/nas/base', absent)).toEqual([
      'WARNING: could not find the metadata file /nas/base/latest_checkpointed_iteration.txt ',
      '    will not load any checkpoints and will start from random',
    ]);
  });

  it('refuses a checkpoint rather than pass over it', () => {
    expect(() => checkLoad('/nas/base', there)).toThrow(
      '/nas/base/latest_checkpointed_iteration.txt: there is a checkpoint',
    );
  });
});
