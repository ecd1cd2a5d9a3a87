import { copyFile, mkdir, readdir, readFile, rename, rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { namespace, orderedDict, tensorDeclaration, type WritableValue } from '@pai-cpt/torch-checkpoint';
import { describe, expect, it } from 'vitest';
import { FIXTURES, randomTensors, TINY, withDirectory, writeRankFile } from '../test/tiny-checkpoint.ts';
import { openMegatronCheckpoint } from './checkpoint.ts';
import { argsOf } from './megatron-args.ts';
import { writeMegatronRankFiles } from './write-torch.ts';

const ARGS = argsOf({
  model: TINY,
  grid: { tensorParallelSize: 1, pipelineParallelSize: 1 },
  spec: 'te',
  paddedVocabSize: 16,
  vocabMultiple: 16,
  dtype: 'F32',
  iteration: 5,
});

/** A whole tiny model in one rank file, with changes. */
async function openChanged(
  change: {
    args?: Record<string, WritableValue>;
    keys?: Record<string, WritableValue>;
    model?: Record<string, WritableValue | undefined>;
  },
  inspect = (_: Awaited<ReturnType<typeof openMegatronCheckpoint>>): unknown => undefined,
) {
  return withDirectory(async (root) => {
    const path = join(root, 'mp_rank_00', 'model_optim_rng.pt');
    const f32 = (...shape: number[]) => tensorDeclaration('F32', shape);
    const layer = (number: number): Record<string, WritableValue> => ({
      [`decoder.layers.${number}.self_attention.linear_qkv.layer_norm_weight`]: f32(8),
      [`decoder.layers.${number}.self_attention.linear_qkv.weight`]: f32(16, 8),
      [`decoder.layers.${number}.self_attention.linear_qkv.bias`]: f32(16),
      [`decoder.layers.${number}.self_attention.linear_proj.weight`]: f32(8, 8),
      [`decoder.layers.${number}.mlp.linear_fc1.layer_norm_weight`]: f32(8),
      [`decoder.layers.${number}.mlp.linear_fc1.weight`]: f32(16, 8),
      [`decoder.layers.${number}.mlp.linear_fc2.weight`]: f32(8, 8),
    });
    const model = {
      'embedding.word_embeddings.weight': f32(16, 8),
      ...layer(0),
      ...layer(1),
      'decoder.final_layernorm.weight': f32(8),
      'output_layer.weight': f32(16, 8),
      ...change.model,
    };
    const entries = Object.entries<WritableValue | undefined>(model).filter(
      (entry): entry is [string, WritableValue] => entry[1] !== undefined,
    );
    const keys: Record<string, WritableValue> = {
      args: namespace({ ...ARGS, ...change.args }),
      iteration: 5,
      model: orderedDict(entries),
      ...change.keys,
    };
    await writeRankFile(path, new Map(Object.entries(keys)));
    const checkpoint = await openMegatronCheckpoint(root);
    try {
      return await inspect(checkpoint);
    } finally {
      await checkpoint.close();
    }
  });
}

const failure = (code: string, message: string) =>
  expect.objectContaining({ code, message: expect.stringContaining(message) });

describe('a checkpoint that torch wrote', () => {
  it('has global layer numbers, one shard a tensor rank, and strides as saved', async () => {
    const checkpoint = await openMegatronCheckpoint(join(FIXTURES, 'qwen2-uneven-first', 'megatron'));
    expect(checkpoint).toMatchObject({ iteration: 7, layersPerStage: [1, 2], families: ['qwen2'], problems: [] });
    expect(checkpoint.parallel).toEqual({ tensorParallelSize: 2, pipelineParallelSize: 2, virtualStages: 1 });
    const found = checkpoint
      .parameters()
      .find(({ megatronName }) => megatronName === 'decoder.layers.2.mlp.linear_fc2.weight');
    expect(found).toMatchObject({
      localName: 'decoder.layers.1.mlp.linear_fc2.weight',
      pipelineStage: 1,
      dtype: 'BF16',
    });
    expect(found?.shards.map(({ tensorRank, shape }) => [tensorRank, shape])).toEqual([
      [0, [8, 6]],
      [1, [8, 6]],
    ]);
    await checkpoint.close();
  });

  it('is of the local layer spec under the same names', async () => {
    const checkpoint = await openMegatronCheckpoint(join(FIXTURES, 'qwen2-local-spec', 'megatron'));
    const names = checkpoint.parameters().map(({ megatronName }) => megatronName);
    expect(names).toContain('decoder.layers.1.self_attention.linear_qkv.layer_norm_weight');
    expect(names).toContain('decoder.layers.1.mlp.linear_fc1.layer_norm_weight');
    await checkpoint.close();
  });
});

describe('names', () => {
  it('lose the wrappers of data parallelism, and buffers are passed over', async () => {
    const model = {
      'output_layer.weight': undefined,
      'module.module.output_layer.weight': tensorDeclaration('F32', [16, 8]),
      'rotary_pos_emb.inv_freq': tensorDeclaration('F32', [1]),
      'decoder.layers.0.self_attention.linear_qkv._extra_state': null,
    };
    const names = await openChanged({ model }, (checkpoint) =>
      checkpoint.parameters().map(({ megatronName }) => megatronName),
    );
    expect(names).toContain('output_layer.weight');
    expect(names).toHaveLength(17);
  });
});

it('follows the files and not args about the split into stages, and says so', async () => {
  await withDirectory(async (directory) => {
    const args = { decoder_first_pipeline_num_layers: 2 };
    const parallel = { tensorParallelSize: 1, pipelineParallelSize: 2 };
    const tensors = randomTensors(TINY, 'F32');
    await writeMegatronRankFiles({ directory, iteration: 5, model: TINY, parallel, tensors, dtype: 'F32', args });
    const checkpoint = await openMegatronCheckpoint(join(directory, 'iter_0000005'));
    expect(checkpoint.layersPerStage).toEqual([1, 1]);
    expect(checkpoint.problems).toEqual([
      'layers per pipeline stage: the files hold 1 + 1, args say 2 + 0; the files were followed',
    ]);
    await checkpoint.close();
  });
});

describe('a feature that is not converted is refused by name', () => {
  it.each([
    ['mixture of experts', { args: { num_experts: 8 } }],
    ['mixture of experts', { model: { 'decoder.layers.0.mlp.router.weight': tensorDeclaration('F32', [2, 8]) } }],
    ['expert parallelism', { args: { expert_model_parallel_size: 2 } }],
    ['multi-latent attention', { args: { multi_latent_attention: true } }],
    [
      'multi-latent attention',
      { model: { 'decoder.layers.0.self_attention.linear_kv_down_proj.weight': tensorDeclaration('F32', [2]) } },
    ],
    ['multi-token prediction', { args: { mtp_num_layers: 1 } }],
    ['multi-token prediction', { model: { 'mtp.layers.0.eh_proj.weight': tensorDeclaration('F32', [2]) } }],
    ['apply_layernorm_1p', { args: { apply_layernorm_1p: true } }],
    ['rotary_interleaved', { args: { rotary_interleaved: true } }],
    ['rotary_percent below 1', { args: { rotary_percent: { kind: 'float', value: 0.5 } } }],
    ['attention_output_gate', { args: { attention_output_gate: true } }],
    ['FP8 parameters', { model: { 'output_layer.weight': tensorDeclaration('F8_E4M3', [16, 8]) } }],
    ['LayerNorm', { args: { normalization: 'LayerNorm' } }],
    ['an MLP without gate', { args: { swiglu: false } }],
    [
      'attention sinks (softmax_offset)',
      { model: { 'decoder.layers.0.self_attention.core_attention.softmax_offset': tensorDeclaration('F32', [4]) } },
    ],
    [
      'a vision model, or an unknown name of before Megatron-Core',
      { model: { 'language_model.decoder.final_layernorm.weight': tensorDeclaration('F32', [8]) } },
    ],
  ] as [string, Parameters<typeof openChanged>[0]][])('%s', async (feature, change) => {
    await expect(openChanged(change)).rejects.toThrow(
      expect.objectContaining({ code: 'CPT_UNSUPPORTED_MODEL', details: expect.objectContaining({ feature }) }),
    );
  });
});

describe('a rank file that lacks something is refused', () => {
  it.each([
    [
      'no model',
      { keys: { model: null } },
      'CPT_FORMAT_RANK_FILE',
      '"model" is None; the file has args, iteration, model',
    ],
    [
      'a model and a chunk of one',
      { keys: { model0: orderedDict([]) } },
      'CPT_FORMAT_RANK_FILE',
      'both "model" and "model0", …: args, iteration, model, model0',
    ],
    [
      'virtual stages by args alone',
      { args: { virtual_pipeline_model_parallel_size: 2 } },
      'CPT_FORMAT_RANK_FILE',
      'args.virtual_pipeline_model_parallel_size is 2, the file has args, iteration, model',
    ],
    [
      'a weight that is None',
      { model: { 'output_layer.weight': null } },
      'CPT_FORMAT_RANK_FILE',
      '"output_layer.weight" is None',
    ],
    [
      'no embedding',
      { model: { 'embedding.word_embeddings.weight': undefined } },
      'CPT_FORMAT_RANK_FILE',
      'no rank file has "embedding.word_embeddings.weight"',
    ],
    [
      'a layer cut off',
      { args: { num_layers: 3 } },
      'CPT_FORMAT_PIPELINE_LAYERS',
      'hold 2 layers, args.num_layers is 3',
    ],
    [
      'more ranks by args',
      { args: { tensor_model_parallel_size: 2 } },
      'CPT_FORMAT_RANK_GRID',
      'args.tensor_model_parallel_size is 2, the directory holds 1',
    ],
    [
      'more stages by args',
      { args: { pipeline_model_parallel_size: 2 } },
      'CPT_FORMAT_RANK_GRID',
      'args.pipeline_model_parallel_size is 2',
    ],
    [
      'a QKV bias and a query norm',
      { model: { 'decoder.layers.0.self_attention.q_layernorm.weight': tensorDeclaration('F32', [2]) } },
      'CPT_UNSUPPORTED_MODEL',
      'a QKV bias together with query norms',
    ],
  ] as [string, Parameters<typeof openChanged>[0], string, string][])('%s', async (_, change, code, message) => {
    await expect(openChanged(change)).rejects.toThrow(failure(code, message));
  });

  it('row 6: is cut short, at any place', async () => {
    await withDirectory(async (root) => {
      const from = join(FIXTURES, 'qwen2-tp1-pp1', 'megatron', 'release', 'mp_rank_00', 'model_optim_rng.pt');
      const path = join(root, 'mp_rank_00', 'model_optim_rng.pt');
      await mkdir(join(root, 'mp_rank_00'));
      const { byteLength } = await readFile(from);
      for (const length of [0, 1, 100, Math.floor(byteLength / 2), byteLength - 30, byteLength - 1]) {
        await copyFile(from, path);
        await truncate(path, length);
        await expect(openMegatronCheckpoint(root)).rejects.toThrow(
          expect.objectContaining({
            code: expect.stringMatching(/^CPT_(ZIP|FORMAT)_/),
            message: expect.stringContaining(path),
          }),
        );
      }
    });
  });
});

/** Two iterations of one run, on two tensor ranks. */
async function twoIterations(body: (root: string) => Promise<void>): Promise<void> {
  await withDirectory(async (root) => {
    for (const iteration of [5, 6]) {
      const tensors = randomTensors(TINY, 'F32', iteration);
      await writeMegatronRankFiles({
        directory: root,
        iteration,
        model: TINY,
        parallel: { tensorParallelSize: 2, pipelineParallelSize: 1 },
        tensors,
        dtype: 'F32',
      });
    }
    await body(root);
  });
}

describe('rank files that do not belong together are refused', () => {
  it('silent error 10: one of another iteration', async () => {
    await twoIterations(async (root) => {
      await rename(join(root, 'iter_0000006', 'mp_rank_01'), join(root, 'swap'));
      await rm(join(root, 'iter_0000006'), { recursive: true });
      await rm(join(root, 'iter_0000005', 'mp_rank_01'), { recursive: true });
      await rename(join(root, 'swap'), join(root, 'iter_0000005', 'mp_rank_01'));
      await expect(openMegatronCheckpoint(root)).rejects.toThrow(
        failure('CPT_FORMAT_RANKS_DIFFER', 'mp_rank_01/model_optim_rng.pt: iteration is 6'),
      );
    });
  });

  it('one with other names', async () => {
    await withDirectory(async (root) => {
      const parallel = { tensorParallelSize: 2, pipelineParallelSize: 1 };
      const dense = { directory: root, iteration: 5, parallel, dtype: 'F32' as const };
      const plain = { ...TINY, family: 'llama' as const, hasQkvBias: false };
      await writeMegatronRankFiles({
        ...dense,
        model: TINY,
        tensors: randomTensors(TINY, 'F32'),
        ranks: [{ tensorRank: 0, pipelineStage: 0 }],
      });
      await writeMegatronRankFiles({
        ...dense,
        model: plain,
        tensors: randomTensors(plain, 'F32'),
        ranks: [{ tensorRank: 1, pipelineStage: 0 }],
      });
      await expect(openMegatronCheckpoint(root)).rejects.toThrow(
        failure('CPT_FORMAT_RANKS_DIFFER', 'it lacks "decoder.layers.0.self_attention.linear_qkv.bias"'),
      );
    });
  });

  it('one of another dtype', async () => {
    await withDirectory(async (root) => {
      for (const [tensorRank, dtype] of (['F32', 'BF16'] as const).entries()) {
        await writeMegatronRankFiles({
          directory: root,
          iteration: 5,
          model: TINY,
          parallel: { tensorParallelSize: 2, pipelineParallelSize: 1 },
          tensors: randomTensors(TINY, 'F32'),
          dtype,
          ranks: [{ tensorRank, pipelineStage: 0 }],
        });
      }
      await expect(openMegatronCheckpoint(root)).rejects.toThrow(failure('CPT_FORMAT_RANKS_DIFFER', 'is BF16, in'));
    });
  });
});

it('leaves no file open when it refuses', async () => {
  const before = (await readdir('/proc/self/fd').catch(() => [])).length;
  await expect(openChanged({ args: { num_experts: 8 } })).rejects.toThrow();
  expect((await readdir('/proc/self/fd').catch(() => [])).length).toBe(before);
});
