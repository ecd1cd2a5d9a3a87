import { describe, expect, it } from 'vitest';
import { checkTensors } from './check-tensors.ts';
import type { MegatronParameter } from './checkpoint.ts';

/** A parameter whose shards are the given values, and how to read it. */
function floats(...shards: readonly (readonly number[])[]) {
  const files = shards.map((values) => new Uint8Array(Float32Array.from(values).buffer));
  const parameter: MegatronParameter = {
    megatronName: 'global',
    localName: 'local',
    pipelineStage: 0,
    dtype: 'F32',
    shards: shards.map(({ length }, tensorRank) => ({
      tensorRank,
      file: `rank${tensorRank}`,
      byteOffset: 0,
      shape: [length / 2, 2],
      stride: [2, 1],
    })),
  };
  const readInto = (file: string, position: number, target: Uint8Array) =>
    target.set((files[Number(file.slice(4))] as Uint8Array).subarray(position, position + target.byteLength));
  return { parameter, readInto };
}

describe('replicas', () => {
  const check = (...shards: number[][]) => {
    const { parameter, readInto } = floats(...shards);
    return checkTensors([{ kind: 'replicas', parameter }], readInto);
  };

  it('may be equal', () => {
    expect(check([1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4])).toEqual([]);
  });

  it('row 27: name the rank and the largest difference', () => {
    expect(() => check([1, 2, 3, 4], [1, 2, 3, 4], [1, 2.25, 3, 3.5])).toThrow(
      expect.objectContaining({
        code: 'CPT_FORMAT_RANKS_DIFFER',
        message: expect.stringContaining('rank2: "local" differs from the one of tensor rank 0, by at most 0.5'),
      }),
    );
  });

  it('are compared by their bits: minus zero is not zero, a NaN equals itself', () => {
    expect(() => check([0, 0], [-0, 0])).toThrow('by at most 0;');
    expect(check([Number.NaN, 1], [Number.NaN, 1])).toEqual([]);
    expect(() => check([Number.NaN, 1], [2, 1])).toThrow('by at most NaN');
  });
});

describe('padding', () => {
  it.each([
    ['all equal', [1, 1, 2, 2, 7, 7, 7, 7], [7, 7, 7, 7, 7, 7, 7, 7], '6 padding rows cut (all equal), 2 kept'],
    ['all zero', [1, 1, 2, 2, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0], '6 padding rows cut (all zero), 2 kept'],
    [
      'different',
      [1, 1, 2, 2, 3, 3, 4, 4],
      [3, 3, 5, 5, 6, 6, 7, 7],
      '6 padding rows cut (5 different ones, as after training), 2 kept',
    ],
  ])('is described when it is %s', (_, first, second, text) => {
    const { parameter, readInto } = floats(first, second);
    expect(checkTensors([{ kind: 'padding', parameter, vocabSize: 2 }], readInto)).toEqual([`global: ${text}`]);
  });
});
