import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Dtype } from '@pai-cpt/core';
import { openSafetensorsDirectory } from '@pai-cpt/safetensors';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FIXTURES, randomTensors, TINY, withDirectory } from '../test/tiny-checkpoint.ts';
import { openMegatronCheckpoint } from './checkpoint.ts';
import { convertCheckpoint } from './convert.ts';
import type { ModelConfig } from './model-config.ts';
import { readRows } from './read-rows.ts';
import { commitCheckpoint, paddedVocabSize, writeMegatronRankFiles } from './write-torch.ts';

const models = fc
  .record({
    tensorParallelSize: fc.constantFrom(1, 2, 4),
    pipelineParallelSize: fc.integer({ min: 1, max: 3 }),
    layersPerStage: fc.integer({ min: 1, max: 2 }),
    groupsPerRank: fc.integer({ min: 1, max: 2 }),
    headsPerGroup: fc.integer({ min: 1, max: 3 }),
    headDim: fc.constantFrom(2, 4),
    hiddenSize: fc.integer({ min: 1, max: 6 }),
    ffnPerRank: fc.integer({ min: 1, max: 3 }),
    vocabSize: fc.integer({ min: 1, max: 300 }),
    isTied: fc.boolean(),
    family: fc.constantFrom('qwen2' as const, 'qwen3' as const),
  })
  .map(({ tensorParallelSize, pipelineParallelSize, ...sizes }) => {
    const queryGroups = sizes.groupsPerRank * tensorParallelSize;
    const model: ModelConfig = {
      ...TINY,
      family: sizes.family,
      hasQkvBias: sizes.family === 'qwen2',
      layers: sizes.layersPerStage * pipelineParallelSize,
      queryGroups,
      heads: queryGroups * sizes.headsPerGroup,
      headDim: sizes.headDim,
      hiddenSize: sizes.hiddenSize,
      ffnHiddenSize: sizes.ffnPerRank * tensorParallelSize,
      vocabSize: sizes.vocabSize,
      isTied: sizes.isTied,
    };
    return { model, parallel: { tensorParallelSize, pipelineParallelSize } };
  });

describe('Hugging Face → rank files → Hugging Face', () => {
  it('is the identity for any grid, grouping, dtype and tie', async () => {
    const dtypes = fc.constantFrom<Dtype>('BF16', 'F32', 'F16');
    await fc.assert(
      fc.asyncProperty(models, dtypes, fc.nat(), async ({ model, parallel }, dtype, seed) => {
        await withDirectory(async (root) => {
          const [directory, output] = [join(root, 'ckpt'), join(root, 'hf')];
          const tensors = randomTensors(model, dtype, seed);
          await writeMegatronRankFiles({ directory, iteration: 12, model, parallel, tensors, dtype });
          await commitCheckpoint(directory, 12);
          const result = await convertCheckpoint({ source: directory, output });
          expect(result).toMatchObject({ iteration: 12, model, parallel });
          const hf = await openSafetensorsDirectory(output);
          expect([...hf.tensors.keys()].sort()).toEqual(tensors.names.toSorted());
          for (const name of tensors.names) {
            expect(hf.tensors.get(name)).toMatchObject({ dtype, shape: tensors.shapeOf(name)?.shape });
            expect(Buffer.compare(await hf.read(name), await tensors.read(name)), name).toBe(0);
          }
          await hf.close();
        });
      }),
      { numRuns: 12 },
    );
  });
});

describe('against the rank files that torch wrote', () => {
  it.each(['qwen2-tp4-pp2', 'qwen2-tp2-pp2-tied', 'qwen2-mha', 'qwen3-head-dim'])('%s', async (name) => {
    await withDirectory(async (root) => {
      const source = join(FIXTURES, name, 'megatron');
      const { model, parallel, iteration } = await convertCheckpoint({ source, output: join(root, 'hf') });
      const hf = await openSafetensorsDirectory(join(root, 'hf'));
      const tensors = {
        shapeOf: (tensor: string) => hf.tensors.get(tensor),
        read: (tensor: string) => hf.read(tensor),
      };
      await writeMegatronRankFiles({
        directory: join(root, 'ckpt'),
        iteration,
        model,
        parallel,
        tensors,
        dtype: 'BF16',
      });
      await hf.close();
      const [theirs, ours] = [await openMegatronCheckpoint(source), await openMegatronCheckpoint(join(root, 'ckpt'))];
      const found = new Map(ours.parameters().map((parameter) => [parameter.megatronName, parameter]));
      expect([...found.keys()].sort()).toEqual(
        theirs
          .parameters()
          .map(({ megatronName }) => megatronName)
          .sort(),
      );
      for (const { megatronName, localName, dtype, shards, pipelineStage } of theirs.parameters()) {
        const own = found.get(megatronName);
        expect(own).toMatchObject({ localName, dtype, pipelineStage });
        if (/embedding|output_layer/.test(megatronName)) continue; // another padding
        for (const [rank, shard] of shards.entries()) {
          const mine = own?.shards[rank];
          expect(mine?.shape).toEqual(shard.shape);
          if (!mine) continue;
          const bytes = readRows(mine, dtype, 0, mine.shape[0] ?? 0, ours.readInto);
          expect(Buffer.compare(bytes, readRows(shard, dtype, 0, shard.shape[0] ?? 0, theirs.readInto))).toBe(0);
        }
      }
      await theirs.close();
      await ours.close();
    });
  });
});

describe('padding', () => {
  it.each([
    // Megatron's own figures for 151,936 tokens and a multiple of 128.
    [151_936, 1, 151_936],
    [151_936, 2, 152_064],
    [151_936, 8, 152_576],
    [32_000, 16, 32_768],
  ])('of %i tokens over %i ranks gives %i rows', (tokens, ranks, rows) => {
    expect(paddedVocabSize(tokens, ranks)).toBe(rows);
  });

  it('repeats the row of the last token, on every rank that has only padding too', async () => {
    await withDirectory(async (directory) => {
      const model = { ...TINY, vocabSize: 130 };
      const tensors = randomTensors(model, 'BF16');
      await writeMegatronRankFiles({
        directory,
        iteration: 1,
        model,
        parallel: { tensorParallelSize: 2, pipelineParallelSize: 1 },
        tensors,
        dtype: 'BF16',
      });
      const checkpoint = await openMegatronCheckpoint(directory);
      expect(checkpoint).toMatchObject({ paddedVocabSize: 256, modelConfig: { vocabSize: 130 } });
      const table = checkpoint.parameters().find(({ megatronName }) => megatronName === 'output_layer.weight');
      const rows = (table?.shards ?? []).map((shard) =>
        Buffer.from(readRows(shard, 'BF16', 0, 128, checkpoint.readInto)),
      );
      const whole = Buffer.concat(rows);
      const source = await tensors.read('lm_head.weight');
      expect(whole.subarray(0, 130 * 16)).toEqual(Buffer.from(source));
      for (let row = 130; row < 256; row++)
        expect(whole.subarray(row * 16, row * 16 + 16)).toEqual(Buffer.from(source.subarray(129 * 16)));
      await checkpoint.close();
    });
  });
});

describe('what a rank file holds', () => {
  const parallel = { tensorParallelSize: 1, pipelineParallelSize: 2 };

  it('the copy of a tied table on the last stage, states that are None, and the arguments of the caller', async () => {
    await withDirectory(async (directory) => {
      const model = { ...TINY, isTied: true };
      const args = { seq_length: 32, vocab_size: 9 };
      const paths = await writeMegatronRankFiles({
        directory,
        iteration: 4,
        model,
        parallel,
        tensors: randomTensors(model, 'F32'),
        dtype: 'BF16',
        args,
      });
      expect(paths.map((path) => path.slice(directory.length))).toEqual([
        '/iter_0000004/mp_rank_00_000/model_optim_rng.pt',
        '/iter_0000004/mp_rank_00_001/model_optim_rng.pt',
      ]);
      const checkpoint = await openMegatronCheckpoint(directory);
      expect(checkpoint.args?.get('seq_length')).toBe(32);
      expect(checkpoint.args?.get('params_dtype')).toMatchObject({ kind: 'dtype', dtype: 'BF16' });
      expect(checkpoint.modelConfig).toMatchObject({ vocabSize: 9, isTied: true });
      expect(checkpoint.parameters().map(({ localName, pipelineStage }) => `${pipelineStage} ${localName}`)).toContain(
        '1 output_layer.weight',
      );
      await checkpoint.close();
      const pickle = (await readFile(paths[1] ?? '')).toString('latin1');
      expect(pickle).toContain('decoder.layers.0.self_attention.core_attention._extra_state');
      expect(pickle).not.toContain('decoder.layers.1.');
    });
  });

  it('only the ranks that are asked for; the tracker comes by itself', async () => {
    await withDirectory(async (directory) => {
      const tensors = randomTensors(TINY, 'BF16');
      const base = { directory, iteration: 4, model: TINY, parallel, tensors, dtype: 'BF16' as const };
      await writeMegatronRankFiles({ ...base, ranks: [{ tensorRank: 0, pipelineStage: 1 }] });
      expect(existsSync(join(directory, 'iter_0000004', 'mp_rank_00_000'))).toBe(false);
      expect(existsSync(join(directory, 'latest_checkpointed_iteration.txt'))).toBe(false);
      await commitCheckpoint(directory, 4);
      expect(await readFile(join(directory, 'latest_checkpointed_iteration.txt'), 'utf8')).toBe('4');
    });
  });
});

describe('refused before anything is written', () => {
  it.each([
    [
      'groups that do not divide',
      { queryGroups: 2, heads: 4 },
      { tensorParallelSize: 4 },
      '2 query groups do not divide among 4 tensor ranks',
    ],
    [
      'layers that do not divide',
      { layers: 3 },
      { pipelineParallelSize: 2 },
      '3 layers do not divide among 2 pipeline stages',
    ],
    ['heads that do not fill groups', { heads: 5 }, {}, '5 heads do not divide among 2 query groups'],
  ])('%s', async (_, sizes, grid, message) => {
    await withDirectory(async (root) => {
      const model = { ...TINY, ...sizes };
      const parallel = { tensorParallelSize: 1, pipelineParallelSize: 1, ...grid };
      const writing = writeMegatronRankFiles({
        directory: join(root, 'ckpt'),
        iteration: 1,
        model,
        parallel,
        tensors: randomTensors(TINY, 'F32'),
        dtype: 'F32',
      });
      await expect(writing).rejects.toThrow(
        expect.objectContaining({ code: 'CPT_CONFIG_MODEL', message: expect.stringContaining(message) }),
      );
      expect(existsSync(join(root, 'ckpt'))).toBe(false);
    });
  });

  it('tensors of another model leave no rank file', async () => {
    await withDirectory(async (directory) => {
      const model = { ...TINY, hiddenSize: 10 };
      const grid = { tensorParallelSize: 1, pipelineParallelSize: 1 };
      const writing = writeMegatronRankFiles({
        directory,
        iteration: 1,
        model,
        parallel: grid,
        tensors: randomTensors(TINY, 'F32'),
        dtype: 'F32',
      });
      await expect(writing).rejects.toThrow(
        '"model.embed_tokens.weight" is [11, 8]; the model configuration needs [11, 10]',
      );
      expect(existsSync(join(directory, 'iter_0000001'))).toBe(false);
    });
  });
});
