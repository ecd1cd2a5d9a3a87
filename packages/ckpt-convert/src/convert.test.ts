import { createHash } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { cp, mkdir, readdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openSafetensorsDirectory } from '@pai-cpt/safetensors';
import { namespace, orderedDict, tensorDeclaration, type WritableValue } from '@pai-cpt/torch-checkpoint';
import { describe, expect, it } from 'vitest';
import { FIXTURES, randomTensors, TINY, withDirectory, writeRankFile } from '../test/tiny-checkpoint.ts';
import { convertCheckpoint } from './convert.ts';
import type { ConvertOptions } from './convert-options.ts';
import { writeMegatronRankFiles } from './write-torch.ts';

const fixture = (name: string) => join(FIXTURES, name, 'megatron');
const failure = (code: string, message: string) =>
  expect.objectContaining({ code, message: expect.stringContaining(message) });
const readJson = async (...path: string[]) => JSON.parse(await readFile(join(...path), 'utf8'));

/** Name → dtype, shape and sha256 of what a Hugging Face folder holds. */
async function digests(directory: string): Promise<Record<string, object>> {
  const hf = await openSafetensorsDirectory(directory);
  const found: Record<string, object> = {};
  for (const [name, { dtype, shape }] of hf.tensors) {
    found[name] = {
      dtype,
      shape,
      sha256: createHash('sha256')
        .update(await hf.read(name))
        .digest('hex'),
    };
  }
  await hf.close();
  return found;
}

describe('every checkpoint that torch wrote gives the tensors it was made from, to the bit', () => {
  const folders = readdirSync(FIXTURES, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  it.each(folders.map(({ name }) => name))('%s', async (name) => {
    await withDirectory(async (output) => {
      const expected = await readJson(FIXTURES, name, 'expected.json');
      const reference = join(FIXTURES, name, 'reference');
      const hasReference = existsSync(reference);
      const result = await convertCheckpoint({ source: fixture(name), output, ...(hasReference && { reference }) });
      expect(await digests(output)).toEqual(expected.tensors);
      expect(result.tensors).toBe(Object.keys(expected.tensors).length);
      const config = await readJson(output, 'config.json');
      expect(config).toMatchObject(expected.config);
      expect((await readdir(output)).sort()).toEqual(['config.json', 'model.safetensors']);
    });
  });
});

describe('the result', () => {
  it('names every file with its size and digest, as they are on the disk', async () => {
    await withDirectory(async (output) => {
      const { files, bytes, model, iteration } = await convertCheckpoint({
        source: fixture('qwen2-uneven-first'),
        output,
        maxShardBytes: 1500,
      });
      expect(files.length).toBeGreaterThan(2);
      for (const file of files) {
        const content = await readFile(join(output, file.name));
        expect(file).toMatchObject({
          bytes: content.byteLength,
          sha256: createHash('sha256').update(content).digest('hex'),
        });
      }
      const index = await readJson(output, 'model.safetensors.index.json');
      expect(index.metadata.total_size).toBe(bytes);
      expect(new Set(Object.values(index.weight_map))).toEqual(new Set(files.map(({ name }) => name)));
      expect({ iteration, layers: model.layers }).toEqual({ iteration: 7, layers: 3 });
      expect(await digests(output)).toEqual((await readJson(FIXTURES, 'qwen2-uneven-first', 'expected.json')).tensors);
    });
  });

  it('of a dry run is the plan, and nothing is written', async () => {
    await withDirectory(async (root) => {
      const result = await convertCheckpoint({
        source: fixture('qwen2-tp2-pp1'),
        output: join(root, 'hf'),
        dryRun: true,
      });
      expect(result.files).toEqual([]);
      expect(result.plan.tensorCount).toBe(27);
      expect(existsSync(join(root, 'hf'))).toBe(false);
    });
  });
});

describe('vocabulary', () => {
  it('silent error 6: keeps the last token and no padding row, which are all 7.0', async () => {
    await withDirectory(async (output) => {
      const { notes } = await convertCheckpoint({ source: fixture('qwen2-tp4-pp2'), output });
      const hf = await openSafetensorsDirectory(output);
      for (const name of ['model.embed_tokens.weight', 'lm_head.weight']) {
        const bytes = Buffer.from(await hf.read(name));
        expect(hf.tensors.get(name)?.shape).toEqual([17, 16]);
        expect(bytes.includes(Buffer.from('e040e040', 'hex'))).toBe(false);
      }
      await hf.close();
      expect(notes).toContain('embedding.word_embeddings.weight: 15 padding rows cut (all equal), 17 kept');
    });
  });

  it('can be cut further, or kept whole, on demand', async () => {
    await withDirectory(async (root) => {
      for (const vocabSize of [5, 32]) {
        const output = join(root, String(vocabSize));
        await convertCheckpoint({ source: fixture('qwen2-tp2-pp1'), output, vocabSize: Math.min(vocabSize, 24) });
        const { tensors } = await openSafetensorsDirectory(output).then(async (hf) => hf.close().then(() => hf));
        expect(tensors.get('lm_head.weight')?.shape[0]).toBe(Math.min(vocabSize, 24));
        expect((await readJson(output, 'config.json')).vocab_size).toBe(Math.min(vocabSize, 24));
      }
    });
  });
});

/** Two ranks of one model; the tensors of rank 1 can be of another seed. */
async function twoRanks(
  directory: string,
  changes: { seed?: number; isTied?: boolean; stages?: number } = {},
): Promise<void> {
  const model = { ...TINY, isTied: changes.isTied ?? false };
  const stages = changes.stages ?? 1;
  for (const [number, seed] of [1, changes.seed ?? 1].entries()) {
    await writeMegatronRankFiles({
      directory,
      iteration: 3,
      model,
      parallel: { tensorParallelSize: stages === 1 ? 2 : 1, pipelineParallelSize: stages },
      ranks: [stages === 1 ? { tensorRank: number, pipelineStage: 0 } : { tensorRank: 0, pipelineStage: number }],
      tensors: randomTensors(model, 'BF16', seed),
      dtype: 'BF16',
    });
  }
}

async function refused(prepare: (root: string) => Promise<Partial<ConvertOptions> | undefined>): Promise<void> {
  await withDirectory(async (root) => {
    const source = join(root, 'ckpt');
    const output = join(root, 'hf');
    await mkdir(source);
    const changes = await prepare(source);
    try {
      await convertCheckpoint({ source, output, ...changes });
    } finally {
      expect(existsSync(output)).toBe(false);
    }
  });
}

describe('silent errors are not silent, and leave nothing behind', () => {
  it('row 27: norms that differ between tensor ranks', async () => {
    await expect(refused(async (root) => void (await twoRanks(root, { seed: 2 })))).rejects.toThrow(
      failure(
        'CPT_FORMAT_RANKS_DIFFER',
        'mp_rank_01/model_optim_rng.pt: "decoder.layers.0.self_attention.linear_qkv.layer_norm_weight" differs from the one of tensor rank 0',
      ),
    );
  });

  it('a tied copy that is another table', async () => {
    await expect(
      refused(async (root) => void (await twoRanks(root, { seed: 2, isTied: true, stages: 2 }))),
    ).rejects.toThrow(
      failure(
        'CPT_FORMAT_TIED_COPY',
        'mp_rank_00_001/model_optim_rng.pt: "output_layer.weight" differs from the embedding',
      ),
    );
  });

  it('row 28: a missing rank file', async () => {
    await expect(
      refused(async (root) => {
        await cp(fixture('qwen2-tp2-pp2'), root, { recursive: true });
        await rm(join(root, 'release', 'mp_rank_01_000'), { recursive: true });
        return undefined;
      }),
    ).rejects.toThrow(failure('CPT_FORMAT_RANK_GRID', 'missing: mp_rank_01_000'));
  });

  it('a truncated rank file', async () => {
    await expect(
      refused(async (root) => {
        await cp(fixture('qwen2-tp2-pp1'), root, { recursive: true });
        await truncate(join(root, 'release', 'mp_rank_01', 'model_optim_rng.pt'), 9000);
        return undefined;
      }),
    ).rejects.toThrow('mp_rank_01/model_optim_rng.pt');
  });

  it('a tokenizer with an id past the last row', async () => {
    await expect(
      refused(async (root) => {
        await twoRanks(root);
        const tokenizer = join(root, 'tokenizer.json');
        await writeFile(
          tokenizer,
          JSON.stringify({ model: { vocab: { a: 0 } }, added_tokens: [{ id: 11, content: '<x>' }] }),
        );
        return { tokenizer };
      }),
    ).rejects.toThrow(failure('CPT_CONFIG_VOCAB_SIZE', 'token id 11, the model keeps 11 rows'));
  });

  it('a bias of a norm that is not zero', async () => {
    const model: Record<string, WritableValue> = { 'decoder.final_layernorm.bias': tensorDeclaration('F32', [8]) };
    await expect(refused((root) => oneRank(root, model))).rejects.toThrow(
      failure('CPT_FORMAT_RANK_FILE', '"decoder.final_layernorm.bias" is not zero'),
    );
  });

  it('a shape that is not the one of the model', async () => {
    const model = { 'decoder.final_layernorm.weight': tensorDeclaration('F32', [4]) };
    await expect(refused((root) => oneRank(root, model))).rejects.toThrow(
      failure('CPT_FORMAT_SHAPE_MISMATCH', '"decoder.final_layernorm.weight" is [4]; qwen2 with 4 heads'),
    );
  });

  it('a model whose family only a config.json can tell', async () => {
    await expect(refused(async () => ({ source: fixture('mistral') }))).rejects.toThrow(
      failure('CPT_CONFIG_FAMILY_AMBIGUOUS', 'llama and mistral'),
    );
  });

  it('a reference of another family', async () => {
    await expect(
      refused(async () => ({ source: fixture('qwen2-tp1-pp1'), reference: join(FIXTURES, 'mistral', 'reference') })),
    ).rejects.toThrow(failure('CPT_MAPPING_NAMES', 'linear_qkv.bias" is in no row of mistral'));
  });

  it('an abort in the middle', async () => {
    const abort = new AbortController();
    const reason = new DOMException('interrupted', 'AbortError');
    const onProgress = () => abort.abort(reason);
    await expect(
      refused(async () => ({ source: fixture('qwen2-tp1-pp1'), signal: abort.signal, onProgress })),
    ).rejects.toBe(reason);
  });
});

/** A checkpoint of one rank with additional tensors; each tensor is filled with one byte. */
async function oneRank(root: string, more: Record<string, WritableValue>): Promise<undefined> {
  const f32 = (...shape: number[]) => tensorDeclaration('F32', shape);
  const args = {
    num_layers: 1,
    hidden_size: 8,
    ffn_hidden_size: 8,
    num_attention_heads: 4,
    kv_channels: 2,
    vocab_size: 16,
  };
  const layer = 'decoder.layers.0';
  const model = {
    'embedding.word_embeddings.weight': f32(16, 8),
    [`${layer}.self_attention.linear_qkv.layer_norm_weight`]: f32(8),
    [`${layer}.self_attention.linear_qkv.weight`]: f32(24, 8),
    [`${layer}.self_attention.linear_qkv.bias`]: f32(24),
    [`${layer}.self_attention.linear_proj.weight`]: f32(8, 8),
    [`${layer}.mlp.linear_fc1.layer_norm_weight`]: f32(8),
    [`${layer}.mlp.linear_fc1.weight`]: f32(16, 8),
    [`${layer}.mlp.linear_fc2.weight`]: f32(8, 8),
    'decoder.final_layernorm.weight': f32(8),
    ...more,
  };
  const norms = { norm_epsilon: { kind: 'float', value: 1e-6 }, rotary_base: 10_000 } as const;
  const entries: [string, WritableValue][] = [
    ['args', namespace({ ...args, ...norms })],
    ['iteration', 1],
    ['model', orderedDict(Object.entries(model))],
  ];
  await writeRankFile(join(root, 'mp_rank_00', 'model_optim_rng.pt'), new Map(entries));
  return undefined;
}

describe('the output directory', () => {
  const source = fixture('qwen2-tp1-pp1');

  it('row 37: is not overwritten without being asked', async () => {
    await withDirectory(async (output) => {
      await writeFile(join(output, 'model-00007-of-00009.safetensors'), 'old');
      await expect(convertCheckpoint({ source, output })).rejects.toThrow(
        failure('CPT_INPUT_OUTPUT_EXISTS', 'holds model-00007-of-00009.safetensors'),
      );
      expect(await readdir(output)).toEqual(['model-00007-of-00009.safetensors']);
    });
  });

  it('loses the weights and the index of an earlier conversion when it is', async () => {
    await withDirectory(async (output) => {
      await convertCheckpoint({ source: fixture('qwen2-uneven-first'), output, maxShardBytes: 1500 });
      await writeFile(join(output, 'notes.txt'), 'mine');
      await convertCheckpoint({ source, output, force: true });
      expect((await readdir(output)).sort()).toEqual(['config.json', 'model.safetensors', 'notes.txt']);
      expect(await digests(output)).toEqual((await readJson(FIXTURES, 'qwen2-tp1-pp1', 'expected.json')).tensors);
    });
  });

  it('keeps what it held when a conversion with --force fails', async () => {
    await withDirectory(async (output) => {
      await convertCheckpoint({ source, output });
      const before = await digests(output);
      const abort = new AbortController();
      const failing = convertCheckpoint({
        source: fixture('qwen2-tp2-pp1'),
        output,
        force: true,
        signal: abort.signal,
        onProgress: () => abort.abort(),
      });
      await expect(failing).rejects.toThrow();
      expect(await digests(output)).toEqual(before);
      expect((await readdir(output)).sort()).toEqual(['config.json', 'model.safetensors']);
    });
  });

  it('row 37: is never the checkpoint, by any name', async () => {
    await withDirectory(async (root) => {
      const checkpoint = join(root, 'ckpt');
      await cp(source, checkpoint, { recursive: true });
      await symlink(checkpoint, join(root, 'link'));
      for (const output of [
        checkpoint,
        join(root, 'link'),
        join(checkpoint, 'release'),
        join(checkpoint, 'release', 'mp_rank_00'),
      ]) {
        await expect(convertCheckpoint({ source: checkpoint, output, force: true })).rejects.toThrow(
          failure('CPT_INPUT_INVALID', 'is the checkpoint itself'),
        );
      }
      await convertCheckpoint({ source: checkpoint, output: join(checkpoint, 'hf') });
    });
  });

  it('is not a file', async () => {
    await withDirectory(async (root) => {
      await writeFile(join(root, 'hf'), '');
      await expect(convertCheckpoint({ source, output: join(root, 'hf') })).rejects.toThrow(
        failure('CPT_INPUT_OUTPUT_EXISTS', 'is a file'),
      );
    });
  });
});

it('silent error 3: writes both tables of a model that a launcher untied, and says that they are two', async () => {
  await withDirectory(async (root) => {
    const source = fixture('qwen2-tp1-pp2');
    const tied = { ...(await readJson(FIXTURES, 'qwen2-tp1-pp2', 'expected.json')).config, tie_word_embeddings: true };
    await mkdir(join(root, 'reference'));
    await writeFile(join(root, 'reference', 'config.json'), JSON.stringify(tied));
    const { notes } = await convertCheckpoint({ source, output: join(root, 'hf'), reference: join(root, 'reference') });
    expect(await digests(join(root, 'hf'))).toEqual(
      (await readJson(FIXTURES, 'qwen2-tp1-pp2', 'expected.json')).tensors,
    );
    expect((await readJson(root, 'hf', 'config.json')).tie_word_embeddings).toBe(false);
    expect(notes).toContain('config.json: tie_word_embeddings true → false');
  });
});
