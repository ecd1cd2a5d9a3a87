import { describe, expect, it } from 'vitest';
import { countLayers, layersByArgs } from './pipeline-layout.ts';

const stages = (...counts: number[]) => counts.map((count) => new Set(Array.from({ length: count }, (_, at) => at)));

describe('countLayers', () => {
  it.each([
    [
      [2, 3],
      [0, 2],
    ],
    [
      [1, 4, 1],
      [0, 1, 5],
    ],
    [
      [0, 4],
      [0, 0],
    ],
  ])('silent error 5: stages that hold %j begin at layer %j', (counts, firstLayer) => {
    expect(countLayers(stages(...counts), 'ckpt')).toEqual({ layersPerStage: counts, firstLayer });
  });

  it('refuses a hole, which a truncated or foreign stage has', () => {
    expect(() => countLayers([new Set([0, 2])], 'ckpt')).toThrow(
      expect.objectContaining({
        code: 'CPT_FORMAT_PIPELINE_LAYERS',
        message: expect.stringContaining('layer 1 is missing'),
      }),
    );
    expect(() => countLayers([new Set([1, 2])], 'ckpt')).toThrow('layer 0 is missing');
  });
});

describe('layersByArgs', () => {
  // Splits as Megatron-Core's get_num_layers_to_build gives them.
  it.each([
    [{ num_layers: 8 }, 4, [2, 2, 2, 2]],
    [{ num_layers: 5, decoder_first_pipeline_num_layers: 2 }, 2, [2, 3]],
    [{ num_layers: 6, decoder_first_pipeline_num_layers: 1, decoder_last_pipeline_num_layers: 1 }, 3, [1, 4, 1]],
    [{ num_layers: 7, decoder_last_pipeline_num_layers: 1 }, 3, [3, 3, 1]],
    [{ num_layers: 7, account_for_embedding_in_pipeline_split: true }, 2, [3, 4]],
    [
      { num_layers: 6, account_for_embedding_in_pipeline_split: true, account_for_loss_in_pipeline_split: true },
      2,
      [3, 3],
    ],
    [{ num_layers: 6, pipeline_model_parallel_layout: 'Et*3|t*3L' }, 2, undefined],
    [{}, 2, undefined],
  ])('%j over %i stages', (args, count, split) => {
    expect(layersByArgs(new Map(Object.entries(args)), count)).toEqual(split);
  });

  it.each([
    [{ num_layers: 8 }, [2, 2, 2, 2]],
    [{ num_layers: 12, decoder_first_pipeline_num_layers: 4 }, [2, 4, 2, 4]],
    [
      { num_layers: 10, account_for_embedding_in_pipeline_split: true, account_for_loss_in_pipeline_split: true },
      [2, 3, 3, 2],
    ],
  ])('%j over 2 stages with 2 virtual ones', (args, split) => {
    expect(layersByArgs(new Map(Object.entries(args)), 2, 2)).toEqual(split);
  });
});
