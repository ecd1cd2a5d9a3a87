import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Dtype } from '@pai-cpt/core';
import { openSafetensorsDirectory } from '@pai-cpt/safetensors';
import { namespace } from '@pai-cpt/torch-checkpoint';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FIXTURES, randomTensors, TINY, withDirectory, writeRankFile } from '../test/tiny-checkpoint.ts';
import { openMegatronCheckpoint } from './checkpoint.ts';
import { convertCheckpoint } from './convert.ts';
import type { ModelConfig } from './model-config.ts';
import { readRows } from './read-rows.ts';
import { reshardCheckpoint } from './reshard.ts';
import { commitCheckpoint, writeMegatronRankFiles } from './write-torch.ts';

const grids = fc
  .record({
    tensorParallelSize: fc.constantFrom(1, 2, 4, 8),
    pipelineParallelSize: fc.constantFrom(1, 2, 4),
    virtualStages: fc.constantFrom(1, 2),
  })
  .map((grid) => (grid.pipelineParallelSize === 1 ? { ...grid, virtualStages: 1 } : grid));

describe('a grid → another grid → Hugging Face', () => {
  it('gives what the first grid was made of, for any two up to TP 8 × PP 4 × VPP 2', async () => {
    const sizes = fc.record({
      headsPerGroup: fc.integer({ min: 1, max: 2 }),
      headDim: fc.constantFrom(2, 3),
      vocabSize: fc.integer({ min: 1, max: 40 }),
      isTied: fc.boolean(),
      family: fc.constantFrom('qwen2' as const, 'qwen3' as const),
      spec: fc.constantFrom('te' as const, 'local' as const),
      dtype: fc.constantFrom<Dtype>('BF16', 'F32'),
    });
    await fc.assert(
      fc.asyncProperty(
        grids,
        grids,
        sizes,
        fc.nat(),
        async (from, to, { headsPerGroup, spec, dtype, ...rest }, seed) => {
          await withDirectory(async (root) => {
            const [source, output, back] = [join(root, 'a'), join(root, 'b'), join(root, 'hf')];
            const model: ModelConfig = {
              ...TINY,
              ...rest,
              hasQkvBias: rest.family === 'qwen2',
              layers: 8,
              queryGroups: 8,
              heads: 8 * headsPerGroup,
              hiddenSize: 4,
              ffnHiddenSize: 16,
            };
            const tensors = randomTensors(model, dtype, seed);
            await writeMegatronRankFiles({
              directory: source,
              iteration: 30,
              model,
              parallel: from,
              tensors,
              dtype,
              spec,
            });
            await commitCheckpoint(source, 30);
            const result = await reshardCheckpoint({ source, output, parallel: to, vocabMultiple: 4 });
            expect(result).toMatchObject({
              iteration: 30,
              model,
              parallel: to,
              resumed: false,
            });
            const again = await convertCheckpoint({ source: output, output: back });
            expect(again).toMatchObject({ model, iteration: 30, parallel: to });
            const hf = await openSafetensorsDirectory(back);
            expect([...hf.tensors.keys()].sort()).toEqual(tensors.names.toSorted());
            for (const name of tensors.names) {
              expect(Buffer.compare(await hf.read(name), await tensors.read(name)), name).toBe(0);
            }
            await hf.close();
          });
        },
      ),
      { numRuns: 8 },
    );
  });
});

describe('checkpoints that torch wrote', () => {
  it.each([
    'qwen2-tp4-pp2',
    'qwen2-tp2-pp2-tied',
    'qwen2-views',
    'qwen2-uneven-both-ends',
    'qwen2-local-spec',
    'qwen2-mqa',
    'qwen2-more-ranks-than-groups',
    'qwen3-head-dim',
    'qwen2-virtual-uneven',
    'qwen2-virtual-stages-tied',
    'qwen2-accounted-split',
    'legacy-names',
    'legacy-query-key-value',
    'legacy-version-0',
    'dist-stacked',
    'dist-irregular',
  ])('%s: the same folder comes out directly and by way of TP 1', async (name) => {
    await withDirectory(async (root) => {
      const source = join(FIXTURES, name, 'megatron');
      const { vocab_size: vocabSize } = JSON.parse(
        await readFile(join(FIXTURES, name, 'expected.json'), 'utf8'),
      ).config;
      const parallel = { tensorParallelSize: 1, pipelineParallelSize: 1 };
      await reshardCheckpoint({ source, output: join(root, 'one'), parallel, vocabSize });
      const direct = await convertCheckpoint({ source, output: join(root, 'direct'), vocabSize });
      const around = await convertCheckpoint({ source: join(root, 'one'), output: join(root, 'around') });
      expect(around.files).toEqual(direct.files);
    });
  });
});

describe('what is kept', () => {
  const parallel = { tensorParallelSize: 2, pipelineParallelSize: 1 };
  const write = async (root: string) => {
    const args = {
      consumed_train_samples: 512,
      lr: { kind: 'float', value: 0.001 } as const,
      seq_length: 33,
      rank: 5,
      make_vocab_size_divisible_by: 4,
      tokenizer_type: 'NullTokenizer',
      vocab_size: 10,
      a_class: namespace({ x: 1 }),
    };
    const source = join(root, 'a');
    const model = { ...TINY, vocabSize: 11 };
    const tensors = randomTensors(model, 'BF16');
    await writeMegatronRankFiles({ directory: source, iteration: 30, model, parallel, tensors, dtype: 'BF16', args });
    await commitCheckpoint(source, 30);
    return { source, tensors };
  };

  it('the iteration and plain fields of args; not what belonged to the old grid, and that is said', async () => {
    await withDirectory(async (root) => {
      const { source } = await write(root);
      const output = join(root, 'b');
      const grid = { tensorParallelSize: 1, pipelineParallelSize: 2 };
      const { notes, paddedVocabSize } = await reshardCheckpoint({ source, output, parallel: grid });
      expect(paddedVocabSize).toBe(12);
      expect(notes).toEqual(
        expect.arrayContaining([
          expect.stringContaining('padding rows cut'),
          'args without a plain value are left out: a_class',
          expect.stringContaining('optimizer and random states are not resharded'),
        ]),
      );
      const checkpoint = await openMegatronCheckpoint(output);
      const args = Object.fromEntries(checkpoint.args ?? []);
      expect(args).toMatchObject({
        consumed_train_samples: 512,
        lr: 0.001,
        seq_length: 33,
        vocab_size: 11,
        make_vocab_size_divisible_by: 4,
        tensor_model_parallel_size: 1,
        pipeline_model_parallel_size: 2,
        padded_vocab_size: 12,
      });
      for (const gone of ['rank', 'a_class', 'tokenizer_type']) expect(args).not.toHaveProperty(gone);
      expect(checkpoint).toMatchObject({ iteration: 30, modelConfig: { vocabSize: 11 } });
      await checkpoint.close();
      expect(await readFile(join(output, 'latest_checkpointed_iteration.txt'), 'utf8')).toBe('30');
    });
  });

  it('not the iteration with --as-release; local names and zero padding if asked for', async () => {
    await withDirectory(async (root) => {
      const { source, tensors } = await write(root);
      const output = join(root, 'b');
      const options = { asRelease: true, spec: 'local' as const, padFill: 'zero' as const };
      const grid = { tensorParallelSize: 1, pipelineParallelSize: 1 };
      const result = await reshardCheckpoint({ source, output, parallel: grid, ...options });
      expect(result.iteration).toBe('release');
      expect((await readdir(output)).sort()).toEqual(['latest_checkpointed_iteration.txt', 'release']);
      const checkpoint = await openMegatronCheckpoint(output);
      expect(checkpoint.parameters().map(({ localName }) => localName)).toContain(
        'decoder.layers.1.pre_mlp_layernorm.weight',
      );
      const head = checkpoint.parameters().find(({ localName }) => localName === 'output_layer.weight')?.shards[0];
      if (!head) throw new Error('no head');
      const rows = readRows(head, 'BF16', 0, 12, checkpoint.readInto);
      await checkpoint.close();
      expect(rows.subarray(11 * 16)).toEqual(new Uint8Array(16));
      expect(Buffer.compare(rows.subarray(0, 11 * 16), await tensors.read('lm_head.weight'))).toBe(0);
    });
  });

  it('refuses its own input as output, and ranks that disagree', async () => {
    await withDirectory(async (root) => {
      const { source } = await write(root);
      const one = { tensorParallelSize: 1, pipelineParallelSize: 1 };
      const onto = reshardCheckpoint({ source, output: source, parallel: one, force: true });
      await expect(onto).rejects.toThrow(expect.objectContaining({ code: 'CPT_INPUT_INVALID' }));
      await writeRankFile(join(source, 'iter_0000030', 'mp_rank_01', 'model_optim_rng.pt'), new Map([['model', null]]));
      const output = join(root, 'b');
      await expect(reshardCheckpoint({ source, output, parallel: one })).rejects.toThrow('mp_rank_01');
      expect(existsSync(output)).toBe(false);
    });
  });
});
