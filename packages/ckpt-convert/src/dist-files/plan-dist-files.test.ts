import { bytesSource, type Dtype } from '@pai-cpt/core';
import { asMap, getEntry, openTorchFile, parseDistMetadata } from '@pai-cpt/torch-checkpoint';
import { describe, expect, it } from 'vitest';
import { TINY } from '../../test/tiny-checkpoint.ts';
import { FAMILIES } from '../families/index.ts';
import { parametersOfHf } from '../global-parameters.ts';
import { hfShape } from '../mapping.ts';
import type { ModelConfig } from '../model-config.ts';
import type { RankGrid } from '../rank-grid.ts';
import { expectedRows } from '../resolve.ts';
import { planDistFiles } from './plan-dist-files.ts';

/** spec/megatron-checkpoint.md §7: 4 heads, 2 groups of head dim 2, ffn 6, 5 tokens padded to 8. */
const MODEL: ModelConfig = { ...TINY, ffnHiddenSize: 6, vocabSize: 5 };

async function plan(grid: RankGrid, model = MODEL, dtypeOf: (name: string) => Dtype = () => 'BF16') {
  const shapes = new Map(
    expectedRows(FAMILIES[model.family], model).flatMap(({ mapping, layer }) =>
      mapping.parameters.map(
        (parameter) => [parameter.hfName.replace('*', String(layer)), hfShape(parameter, model)] as const,
      ),
    ),
  );
  const parameters = parametersOfHf(model, (name) => ({
    dtype: dtypeOf(name),
    shape: shapes.get(name) ?? [],
    file: name,
    byteOffset: 0,
  }));
  const options = { model, grid, spec: 'te', padFill: 'repeat', paddedVocabSize: 8, dtype: undefined } as const;
  const { files, contents } = await planDistFiles(options, parameters, [['iteration', 7]]);
  const content = (name: string) => contents.find((file) => file.name === name)?.content as Uint8Array;
  return { files, contents, content, ...parseDistMetadata(content('.metadata'), '.metadata') };
}

/** `offsets + sizes in file` of every chunk. */
function chunksOf(found: Awaited<ReturnType<typeof plan>>, name: string): string[] {
  const { chunks = [] } = found.tensors.get(name) ?? {};
  return chunks
    .map(({ offsets, sizes, relativePath }) => `${offsets} + ${sizes} in ${relativePath.slice(2, -9)}`)
    .sort();
}

describe('a distributed checkpoint of TP 2 × PP 2', () => {
  it('has each layer and each tensor rank as a chunk, gate and up apart', async () => {
    const found = await plan({ tensorParallelSize: 2, pipelineParallelSize: 2 });
    expect(found.files.map(({ name }) => name)).toEqual([
      '__0_0.distcp',
      '__1_0.distcp',
      '__2_0.distcp',
      '__3_0.distcp',
    ]);
    const layers = 'decoder.layers';
    // gate of rank 0, gate of rank 1, up of rank 0, up of rank 1
    expect(chunksOf(found, `${layers}.mlp.linear_fc1.weight`)).toEqual([
      '0,0,0 + 1,3,8 in 0',
      '0,3,0 + 1,3,8 in 1',
      '0,6,0 + 1,3,8 in 0',
      '0,9,0 + 1,3,8 in 1',
      '1,0,0 + 1,3,8 in 2',
      '1,3,0 + 1,3,8 in 3',
      '1,6,0 + 1,3,8 in 2',
      '1,9,0 + 1,3,8 in 3',
    ]);
    expect(chunksOf(found, `${layers}.self_attention.linear_qkv.weight`)).toEqual([
      '0,0,0 + 1,8,8 in 0',
      '0,8,0 + 1,8,8 in 1',
      '1,0,0 + 1,8,8 in 2',
      '1,8,0 + 1,8,8 in 3',
    ]);
    expect(chunksOf(found, `${layers}.self_attention.linear_qkv.bias`)).toEqual([
      '0,0 + 1,8 in 0',
      '0,8 + 1,8 in 1',
      '1,0 + 1,8 in 2',
      '1,8 + 1,8 in 3',
    ]);
    expect(chunksOf(found, `${layers}.mlp.linear_fc2.weight`)).toEqual([
      '0,0,0 + 1,8,3 in 0',
      '0,0,3 + 1,8,3 in 1',
      '1,0,0 + 1,8,3 in 2',
      '1,0,3 + 1,8,3 in 3',
    ]);
    expect(chunksOf(found, `${layers}.mlp.linear_fc1.layer_norm_weight`)).toEqual(['0,0 + 1,8 in 0', '1,0 + 1,8 in 2']);
    expect(chunksOf(found, 'embedding.word_embeddings.weight')).toEqual(['0,0 + 4,8 in 0', '4,0 + 4,8 in 1']);
    expect(chunksOf(found, 'output_layer.weight')).toEqual(['0,0 + 4,8 in 2', '4,0 + 4,8 in 3']);
    expect(chunksOf(found, 'decoder.final_layernorm.weight')).toEqual(['0 + 8 in 2']);
    expect(found.tensors.get(`${layers}.mlp.linear_fc1.weight`)).toMatchObject({ shape: [2, 12, 8], dtype: 'BF16' });
  });

  it('has an extra state for every module that asks for one, on the first tensor rank of its stage', async () => {
    const { objects } = await plan({ tensorParallelSize: 2, pipelineParallelSize: 2 });
    const modules = [
      'self_attention.linear_qkv',
      'self_attention.linear_proj',
      'self_attention.core_attention',
      'mlp.linear_fc1',
      'mlp.linear_fc2',
    ];
    const expected = [0, 1].flatMap((layer) =>
      modules.map((module) => `decoder.layers.${module}._extra_state/shard_${layer}_2 in __${2 * layer}_0.distcp`),
    );
    const found = [...objects].map(([name, { relativePath }]) => `${name} in ${relativePath}`);
    expect(found.sort()).toEqual(
      [...expected, 'decoder.final_layernorm._extra_state/shard_0_1 in __2_0.distcp'].sort(),
    );
  });

  it('stores the one table of a tied model once', async () => {
    const found = await plan({ tensorParallelSize: 2, pipelineParallelSize: 2 }, { ...MODEL, isTied: true });
    expect(found.tensors.has('output_layer.weight')).toBe(false);
    expect(chunksOf(found, 'embedding.word_embeddings.weight')).toEqual(['0,0 + 4,8 in 0', '4,0 + 4,8 in 1']);
  });

  it('numbers the layers of virtual stages globally: 0 1 4 5 on the first, 2 3 6 7 on the second', async () => {
    const grid = { tensorParallelSize: 1, pipelineParallelSize: 2, virtualStages: 2 };
    const found = await plan(grid, { ...MODEL, layers: 8 });
    const norms = chunksOf(found, 'decoder.layers.mlp.linear_fc1.layer_norm_weight');
    expect(norms).toEqual(
      [0, 1, 2, 3, 4, 5, 6, 7].map((layer) => `${layer},0 + 1,8 in ${[0, 0, 1, 1, 0, 0, 1, 1][layer]}`),
    );
  });

  it('says what it is, and comes with .metadata last', async () => {
    const { contents, content } = await plan({ tensorParallelSize: 1, pipelineParallelSize: 1 });
    expect(contents.map(({ name }) => name)).toEqual(['common.pt', 'metadata.json', '.metadata']);
    expect(content('metadata.json')).toBe(
      '{"sharded_backend":"torch_dist","sharded_backend_version":1,"common_backend":"torch","common_backend_version":1}',
    );
    const { root } = await openTorchFile(bytesSource(content('common.pt')), 'common.pt');
    const common = asMap(root, 'common.pt');
    expect(getEntry(common, 'iteration')).toBe(7);
    expect(getEntry(common, 'content_metadata')).toEqual(new Map([['singleton_local_shards', false]]));
  });
});

it('refuses layers of two dtypes, which one tensor cannot hold', async () => {
  const grid = { tensorParallelSize: 1, pipelineParallelSize: 1 };
  const planning = plan(grid, MODEL, (name) => (name === 'model.layers.1.input_layernorm.weight' ? 'F32' : 'BF16'));
  await expect(planning).rejects.toThrow(
    expect.objectContaining({
      code: 'CPT_CONFIG_MODEL',
      message: expect.stringContaining(
        '"decoder.layers.1.self_attention.linear_qkv.layer_norm_weight" is F32, the same parameter of other layers BF16',
      ),
    }),
  );
});
