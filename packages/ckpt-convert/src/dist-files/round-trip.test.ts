import { join } from 'node:path';
import type { Dtype } from '@pai-cpt/core';
import { openSafetensorsDirectory } from '@pai-cpt/safetensors';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { randomTensors, TINY, withDirectory } from '../../test/tiny-checkpoint.ts';
import { writeTinyHf } from '../../test/tiny-hf.ts';
import { convertCheckpoint } from '../convert.ts';
import { FAMILIES, type FamilyName } from '../families/index.ts';
import type { HfTensors } from '../index.ts';
import type { ModelConfig } from '../model-config.ts';
import { reshardCheckpoint } from '../reshard.ts';
import { convertToMegatron } from '../to-megatron.ts';
import { commitCheckpoint, writeMegatronRankFiles } from '../write-torch.ts';

/** Sizes that divide among 8 tensor ranks and 4 stages of 2 chunks. */
const models = fc
  .record({
    family: fc.constantFrom<FamilyName>('qwen2', 'qwen3', 'llama', 'mistral'),
    isTied: fc.boolean(),
    headsPerGroup: fc.integer({ min: 1, max: 2 }),
    headDim: fc.constantFrom(2, 3),
    vocabSize: fc.integer({ min: 1, max: 40 }),
  })
  .map(({ headsPerGroup, ...rest }): ModelConfig => {
    const { hasQkvBias } = FAMILIES[rest.family];
    const sizes = { layers: 8, queryGroups: 8, heads: 8 * headsPerGroup, hiddenSize: 4, ffnHiddenSize: 16 };
    return { ...TINY, ...rest, ...sizes, hasQkvBias };
  });

const grids = fc
  .record({
    tensorParallelSize: fc.constantFrom(1, 2, 4, 8),
    pipelineParallelSize: fc.constantFrom(1, 2, 4),
    virtualStages: fc.constantFrom(1, 2),
  })
  .map((grid) => (grid.pipelineParallelSize === 1 ? { ...grid, virtualStages: 1 } : grid));

async function expectFolder(directory: string, tensors: HfTensors & { names: string[] }): Promise<void> {
  const hf = await openSafetensorsDirectory(directory);
  expect([...hf.tensors.keys()].sort()).toEqual(tensors.names.toSorted());
  for (const name of tensors.names) {
    expect(Buffer.compare(await hf.read(name), await tensors.read(name)), name).toBe(0);
  }
  await hf.close();
}

describe('torch_dist', () => {
  it('Hugging Face → torch_dist → Hugging Face is the identity, whatever grid, padding and dtype', async () => {
    const options = fc.record({
      dtype: fc.constantFrom<Dtype>('BF16', 'F32', 'F16'),
      padFill: fc.constantFrom('repeat' as const, 'zero' as const),
      spec: fc.constantFrom('te' as const, 'local' as const),
    });
    await fc.assert(
      fc.asyncProperty(models, grids, options, fc.nat(), async (model, parallel, { dtype, ...rest }, seed) => {
        await withDirectory(async (root) => {
          const [source, output, back] = [join(root, 'hf'), join(root, 'ckpt'), join(root, 'back')];
          const tensors = await writeTinyHf(source, model, { dtype, seed });
          const format = 'torch_dist' as const;
          const written = await convertToMegatron({ source, output, parallel, format, vocabMultiple: 4, ...rest });
          expect(written.files).toHaveLength(parallel.tensorParallelSize * parallel.pipelineParallelSize);
          const again = await convertCheckpoint({ source: output, output: back, reference: output });
          expect(again.notes.filter((note) => !note.includes('padding rows cut'))).toEqual([]);
          await expectFolder(back, tensors);
        });
      }),
      { numRuns: 6 },
    );
  });

  it('rank files → torch_dist → rank files gives the files that resharding once gives, for any grid in between', async () => {
    await fc.assert(
      fc.asyncProperty(models, grids, grids, grids, fc.nat(), async (model, from, between, to, seed) => {
        await withDirectory(async (root) => {
          const [source, dist] = [join(root, 'a'), join(root, 'b')];
          const [twice, once] = [join(root, 'c'), join(root, 'd')];
          const tensors = randomTensors(model, 'BF16', seed);
          await writeMegatronRankFiles({
            directory: source,
            iteration: 30,
            model,
            parallel: from,
            tensors,
            dtype: 'BF16',
          });
          await commitCheckpoint(source, 30);
          const reshard = { source, format: 'torch_dist', vocabMultiple: 4 } as const;
          await reshardCheckpoint({ ...reshard, output: dist, parallel: between });
          const second = await reshardCheckpoint({ source: dist, output: twice, parallel: to });
          const first = await reshardCheckpoint({ source, output: once, parallel: to, vocabMultiple: 4 });
          expect(second.files).toEqual(first.files);
        });
      }),
      { numRuns: 6 },
    );
  });
});
