import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { namespace, orderedDict, tensorDeclaration, type WritableValue } from '@pai-cpt/torch-checkpoint';
import { describe, expect, it } from 'vitest';
import { FIXTURES, withDirectory, writeRankFile } from '../test/tiny-checkpoint.ts';
import { openMegatronCheckpoint } from './checkpoint.ts';

const failure = (code: string, message: string) =>
  expect.objectContaining({ code, message: expect.stringContaining(message) });

describe('virtual stages', () => {
  it('silent error 4: are chunks in the order of the model, layers 0 1 4 5 on the first stage', async () => {
    const checkpoint = await openMegatronCheckpoint(join(FIXTURES, 'qwen2-virtual-stages', 'megatron'));
    expect(checkpoint).toMatchObject({ layersPerStage: [2, 2, 2, 2], problems: [] });
    expect(checkpoint.parallel).toEqual({ tensorParallelSize: 2, pipelineParallelSize: 2, virtualStages: 2 });
    const files = checkpoint.parameters().flatMap(({ megatronName, shards }) => {
      const [, layer] = /layers\.(\d+)\.mlp\.linear_fc2\.weight$/.exec(megatronName) ?? [];
      return layer === undefined ? [] : [`${layer} ${/mp_rank_00_\d+/.exec(shards[0]?.file ?? '')?.[0]}`];
    });
    expect(files.sort()).toEqual([
      ...['0 mp_rank_00_000', '1 mp_rank_00_000', '2 mp_rank_00_001', '3 mp_rank_00_001'],
      ...['4 mp_rank_00_000', '5 mp_rank_00_000', '6 mp_rank_00_001', '7 mp_rank_00_001'],
    ]);
    await checkpoint.close();
  });

  it.each([
    ['qwen2-virtual-uneven', [1, 2, 1, 1, 2, 1]],
    ['qwen2-accounted-split', [2, 3]],
    ['qwen2-virtual-accounted', [1, 2, 2, 1]],
  ])('%s is split as its args say', async (name, layersPerStage) => {
    const checkpoint = await openMegatronCheckpoint(join(FIXTURES, name, 'megatron'));
    expect(checkpoint).toMatchObject({ layersPerStage, problems: [] });
    await checkpoint.close();
  });

  it('of another number on one rank, and a missing chunk, are refused', async () => {
    const keys = (...names: string[]) => Object.fromEntries(names.map((name) => [name, orderedDict([])]));
    const write =
      (rank: string, ...names: string[]) =>
      (directory: string) =>
        writeRankFile(
          join(directory, `mp_rank_${rank}`, 'model_optim_rng.pt'),
          new Map(Object.entries<WritableValue>({ args: namespace({}), iteration: 5, ...keys(...names) })),
        );
    await withDirectory(async (directory) => {
      await write('00', 'model0', 'model2')(directory);
      await expect(openMegatronCheckpoint(directory)).rejects.toThrow(
        failure('CPT_FORMAT_RANK_FILE', '"model1" is missing; the file has args, iteration, model0, model2'),
      );
      await write('00', 'model0', 'model1')(directory);
      await write('01', 'model0', 'model1', 'model2')(directory);
      await expect(openMegatronCheckpoint(directory)).rejects.toThrow(
        failure('CPT_FORMAT_RANKS_DIFFER', 'the number of virtual stages is 3, in '),
      );
    });
  });

  it('with the final norm before the last chunk are refused', async () => {
    const from = join(FIXTURES, 'qwen2-tp1-pp2', 'megatron');
    await withDirectory(async (root) => {
      for (const [stage, other] of [
        ['000', '001'],
        ['001', '000'],
      ]) {
        await mkdir(join(root, `mp_rank_00_${stage}`), { recursive: true });
        const [source, target] = [`${from}/release/mp_rank_00_${other}`, join(root, `mp_rank_00_${stage}`)];
        await copyFile(join(source, 'model_optim_rng.pt'), join(target, 'model_optim_rng.pt'));
      }
      await expect(openMegatronCheckpoint(root)).rejects.toThrow(
        failure('CPT_FORMAT_PIPELINE_LAYERS', '"decoder.final_layernorm.weight" is in chunk 0 of 2, not in chunk 1'),
      );
    });
  });
});

describe('the last number of mp_rank_00_001', () => {
  const copies = async (root: string, args: WritableValue) => {
    const weight = tensorDeclaration('F32', [8]);
    const model = orderedDict([['decoder.final_layernorm.weight', weight]]);
    for (const name of ['mp_rank_00_000', 'mp_rank_00_001']) {
      const keys: Record<string, WritableValue> = { args, iteration: 5, model };
      await writeRankFile(join(root, name, 'model_optim_rng.pt'), new Map(Object.entries(keys)));
    }
    return openMegatronCheckpoint(root);
  };

  it('silent error 10: is an expert rank where args say so', async () => {
    const args = namespace({ expert_model_parallel_size: 2, pipeline_model_parallel_size: 1 });
    await withDirectory((root) =>
      expect(copies(root, args)).rejects.toThrow(failure('CPT_UNSUPPORTED_MODEL', 'expert parallelism')),
    );
  });

  it('is no pipeline stage where each has all of a model', async () => {
    await withDirectory((root) =>
      expect(copies(root, null)).rejects.toThrow(failure('CPT_FORMAT_PIPELINE_LAYERS', 'is an expert rank')),
    );
  });
});
