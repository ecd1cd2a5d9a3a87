import { existsSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Dtype, tensorBytes } from '@pai-cpt/core';
import { fileSource } from '@pai-cpt/core/node';
import { openSafetensorsDirectory } from '@pai-cpt/safetensors';
import { asMap, getEntry, isKind, openTorchFile, type PickleValue } from '@pai-cpt/torch-checkpoint';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { randomTensors, TINY, withDirectory } from '../test/tiny-checkpoint.ts';
import { writeTinyHf } from '../test/tiny-hf.ts';
import { openMegatronCheckpoint } from './checkpoint.ts';
import { convertCheckpoint } from './convert.ts';
import { diffCheckpoints } from './diff.ts';
import { FAMILIES, type FamilyName } from './families/index.ts';
import type { ModelConfig } from './model-config.ts';
import { readRows } from './read-rows.ts';
import { convertToMegatron } from './to-megatron.ts';

const pair = (tensorParallelSize: number, pipelineParallelSize: number) => ({
  tensorParallelSize,
  pipelineParallelSize,
});

/** A model that divides among 8 tensor ranks, and a legal grid for it. */
const conversions = fc
  .record({
    tensorParallelSize: fc.constantFrom(1, 2, 4, 8),
    pipelineParallelSize: fc.integer({ min: 1, max: 4 }),
    first: fc.option(fc.integer({ min: 1, max: 2 }), { nil: undefined }),
    last: fc.option(fc.integer({ min: 1, max: 2 }), { nil: undefined }),
    virtual: fc.constantFrom(1, 1, 2, 3),
    isTied: fc.boolean(),
    family: fc.constantFrom<FamilyName>('qwen2', 'qwen3', 'llama', 'mistral'),
    headsPerGroup: fc.integer({ min: 1, max: 2 }),
    headDim: fc.constantFrom(2, 3),
    vocabSize: fc.integer({ min: 1, max: 40 }),
    spec: fc.constantFrom('te' as const, 'local' as const),
    padFill: fc.constantFrom('repeat' as const, 'zero' as const),
    dtype: fc.constantFrom<Dtype>('BF16', 'F32', 'F16'),
  })
  .map(({ first, last, virtual, ...rest }) => {
    const stages = rest.pipelineParallelSize;
    const virtualStages = stages > 1 ? virtual : 1;
    const ends = stages > 1 && (first !== undefined || last !== undefined);
    const middle = stages - (first === undefined ? 0 : 1) - (last === undefined ? 0 : 1);
    const layers = virtualStages * (ends ? (first ?? 0) + (last ?? 0) + middle : stages);
    const model: ModelConfig = {
      ...TINY,
      layers,
      family: rest.family,
      hasQkvBias: FAMILIES[rest.family].hasQkvBias,
      queryGroups: 8,
      heads: 8 * rest.headsPerGroup,
      headDim: rest.headDim,
      hiddenSize: 4,
      ffnHiddenSize: 16,
      vocabSize: rest.vocabSize,
      isTied: rest.isTied,
    };
    const uneven = {
      ...(ends && first !== undefined && { firstStageLayers: first * virtualStages }),
      ...(ends && last !== undefined && { lastStageLayers: last * virtualStages }),
    };
    return { ...rest, model, parallel: { ...pair(rest.tensorParallelSize, stages), virtualStages, ...uneven } };
  });

describe('Hugging Face folder → rank files → Hugging Face folder', () => {
  it('is the identity for all families, grids up to TP 8 × PP 4 × VPP 3, uneven ends, specs and dtypes', async () => {
    await fc.assert(
      fc.asyncProperty(conversions, fc.nat(), async ({ model, parallel, spec, padFill, dtype }, seed) => {
        await withDirectory(async (root) => {
          const [source, output, back] = [join(root, 'hf'), join(root, 'ckpt'), join(root, 'back')];
          const tensors = await writeTinyHf(source, model, { dtype, seed });
          const options = { source, output, parallel, spec, padFill, vocabMultiple: 4 };
          const result = await convertToMegatron(options);
          expect(result.files).toHaveLength(parallel.tensorParallelSize * parallel.pipelineParallelSize);
          expect(result.model).toEqual(model);
          const again = await convertCheckpoint({ source: output, output: back, reference: output });
          expect(again.notes.filter((note) => !note.includes('padding rows cut'))).toEqual([]);
          const hf = await openSafetensorsDirectory(back);
          expect([...hf.tensors.keys()].sort()).toEqual(tensors.names.toSorted());
          for (const name of tensors.names) {
            expect(hf.tensors.get(name)).toMatchObject({ dtype, shape: tensors.shapeOf(name)?.shape });
            expect(Buffer.compare(await hf.read(name), await tensors.read(name)), name).toBe(0);
          }
          await hf.close();
        });
      }),
      { numRuns: 10 },
    );
  });
});

/** The chunks of a rank file: `model`, or `model0`, `model1`, …, each name with its bytes. */
async function readChunks(path: string): Promise<Record<string, Record<string, number[] | null>>> {
  const source = await fileSource(path);
  const file = await openTorchFile(source, path);
  const chunks: Record<string, Record<string, number[] | null>> = {};
  for (const [key, value] of asMap(file.root, path)) {
    if (typeof key !== 'string' || !key.startsWith('model')) continue;
    const read: Record<string, number[] | null> = {};
    for (const [name, tensor] of value as Map<string, PickleValue>) {
      const bytes = isKind(tensor, 'tensor')
        ? await file.tensorSource(tensor).read(0, tensorBytes(tensor.shape, tensor.dtype))
        : undefined;
      read[name] = bytes ? [...bytes] : null;
    }
    chunks[key] = read;
  }
  await source.close();
  return chunks;
}

describe('virtual stages', () => {
  it('puts layers 0 1 4 5 on the first of two stages, 2 3 6 7 on the second', async () => {
    await withDirectory(async (root) => {
      const [source, output] = [join(root, 'hf'), join(root, 'ckpt')];
      const model = { ...TINY, layers: 8, isTied: true };
      // Every byte of a layer is its number, so that a swapped chunk cannot hide.
      const random = randomTensors(model, 'BF16');
      const numbered = {
        ...random,
        read: async (name: string) => {
          const layer = /layers\.(\d+)\./.exec(name)?.[1];
          return layer === undefined ? random.read(name) : (await random.read(name)).fill(Number(layer));
        },
      };
      await writeTinyHf(source, model, { tensors: numbered });
      const result = await convertToMegatron({ source, output, parallel: { ...pair(2, 2), virtualStages: 2 } });
      expect(result.parallel).toEqual({ ...pair(2, 2), virtualStages: 2 });
      expect(result.loadFlags).toContain('--num-layers-per-virtual-pipeline-stage 2');
      for (const tensorRank of [0, 1]) {
        const files = [0, 1].map((stage) =>
          join(output, 'release', `mp_rank_0${tensorRank}_00${stage}`, 'model_optim_rng.pt'),
        );
        const [first, last] = (await Promise.all(files.map(readChunks))) as [object, object] as [
          Awaited<ReturnType<typeof readChunks>>,
          Awaited<ReturnType<typeof readChunks>>,
        ];
        expect([Object.keys(first), Object.keys(last)]).toEqual([
          ['model0', 'model1'],
          ['model0', 'model1'],
        ]);
        const norm = (chunk: Record<string, number[] | null> | undefined, local: number) =>
          chunk?.[`decoder.layers.${local}.mlp.linear_fc2.weight`]?.[0];
        const held = [first.model0, first.model1, last.model0, last.model1].map((chunk) => [
          norm(chunk, 0),
          norm(chunk, 1),
          norm(chunk, 2),
        ]);
        expect(held).toEqual([
          [0, 1, undefined],
          [4, 5, undefined],
          [2, 3, undefined],
          [6, 7, undefined],
        ]);
        const table = first.model0?.['embedding.word_embeddings.weight'];
        expect(table).toBeDefined();
        expect(last.model1?.['output_layer.weight']).toEqual(table);
        expect(last.model1).toHaveProperty(['decoder.final_layernorm.weight']);
        for (const chunk of [first.model1, last.model0]) {
          expect(Object.keys(chunk ?? {}).filter((name) => !name.startsWith('decoder.layers.'))).toEqual([]);
        }
      }
    });
  });
});

describe('what lies in the output', () => {
  it('rank files, the tracker, config.json and the tokenizer; args of the grid', async () => {
    await withDirectory(async (root) => {
      const [source, output] = [join(root, 'hf'), join(root, 'ckpt')];
      await writeTinyHf(source, { ...TINY, layers: 3 });
      const parallel = { ...pair(2, 2), firstStageLayers: 1 };
      const { loadFlags, files } = await convertToMegatron({ source, output, parallel, iteration: 40, spec: 'local' });
      expect((await readdir(output)).sort()).toEqual([
        'config.json',
        'iter_0000040',
        'latest_checkpointed_iteration.txt',
        'merges.txt',
        'tokenizer.json',
      ]);
      expect(files.map(({ name }) => name)).toEqual(
        ['00_000', '01_000', '00_001', '01_001'].map((rank) => `iter_0000040/mp_rank_${rank}/model_optim_rng.pt`),
      );
      expect(await readFile(join(output, 'latest_checkpointed_iteration.txt'), 'utf8')).toBe('40');
      expect(loadFlags).toEqual([
        `--load ${output}`,
        '--no-load-optim',
        '--no-load-rng',
        '--ckpt-format torch',
        '--transformer-impl local',
        '--tensor-model-parallel-size 2',
        '--pipeline-model-parallel-size 2',
        '--decoder-first-pipeline-num-layers 1',
        '--make-vocab-size-divisible-by 128',
        '--untie-embeddings-and-output-weights',
      ]);
      const path = join(output, files[1]?.name ?? '');
      const rank = await fileSource(path);
      const entries = asMap((await openTorchFile(rank, path)).root, path);
      await rank.close();
      expect([...entries.keys()]).toEqual(['args', 'checkpoint_version', 'iteration', 'model']);
      expect(getEntry(entries, 'iteration')).toBe(40);
      const names = [...(getEntry(entries, 'model') as Map<string, unknown>).keys()];
      expect(names).toContain('decoder.layers.0.input_layernorm.weight');
      expect(names.filter((name) => name.endsWith('_extra_state'))).toEqual([]);
      const checkpoint = await openMegatronCheckpoint(output);
      expect(Object.fromEntries(checkpoint.args ?? [])).toMatchObject({
        tensor_model_parallel_size: 2,
        decoder_first_pipeline_num_layers: 1,
        decoder_last_pipeline_num_layers: null,
        transformer_impl: 'local',
        vocab_size: 11,
        padded_vocab_size: 256,
      });
      expect(checkpoint.layersPerStage).toEqual([1, 2]);
      await checkpoint.close();
    });
  });

  it('fewer rows with --vocab-size, zero padding, and a config.json that says so', async () => {
    await withDirectory(async (root) => {
      const [source, output] = [join(root, 'hf'), join(root, 'ckpt')];
      const tensors = await writeTinyHf(source, TINY);
      const options = { vocabSize: 9, vocabMultiple: 4, padFill: 'zero' as const };
      const result = await convertToMegatron({ source, output, parallel: pair(1, 1), ...options });
      expect(result).toMatchObject({ paddedVocabSize: 12, notes: ['config.json: vocab_size 11 → 9'] });
      const checkpoint = await openMegatronCheckpoint(output);
      const table = checkpoint.parameters().find(({ megatronName }) => megatronName.startsWith('embedding'));
      const shard = table?.shards[0];
      if (!shard) throw new Error('no embedding');
      const rows = readRows(shard, 'BF16', 0, 12, checkpoint.readInto);
      await checkpoint.close();
      expect(
        Buffer.compare(rows.subarray(0, 9 * 16), (await tensors.read('model.embed_tokens.weight')).subarray(0, 9 * 16)),
      ).toBe(0);
      expect(rows.subarray(9 * 16)).toEqual(new Uint8Array(3 * 16));
    });
  });
});

describe('--dtype', () => {
  it('widens without leave, and the folder that comes back differs in dtype alone', async () => {
    await withDirectory(async (root) => {
      const [source, output] = [join(root, 'hf'), join(root, 'ckpt')];
      await writeTinyHf(source, TINY, {
        extra: { 'model.norm.weight': { dtype: 'BF16', shape: [8], bytes: new Uint8Array(16).fill(63) } },
      });
      const { notes } = await convertToMegatron({ source, output, parallel: pair(2, 1), dtype: 'F32' });
      expect(notes).toEqual(['config.json: torch_dtype "bfloat16" → "float32"']);
      const { tensors, different } = await diffCheckpoints({ a: source, b: output });
      expect(different).toBe(tensors.length);
      const norm = tensors.find(({ name }) => name === 'model.norm.weight');
      expect(norm).toMatchObject({ status: 'dtype', differentElements: 0, maxAbsDifference: 0 });
    });
  });

  it('rounds to nearest even, only with --allow-cast', async () => {
    await withDirectory(async (root) => {
      const [source, output] = [join(root, 'hf'), join(root, 'ckpt')];
      // 1 + 2^-8 lies in the middle and goes to the even 1; 1 + 3·2^-8 in the middle goes up to 1 + 2^-6.
      const values = new Float32Array([1 + 2 ** -8, 1 + 3 * 2 ** -8, 1, 0, -2, 3, 4, 5]);
      const bytes = new Uint8Array(values.buffer);
      await writeTinyHf(source, TINY, {
        dtype: 'F32',
        extra: { 'model.norm.weight': { dtype: 'F32', shape: [8], bytes } },
      });
      const options = { source, output, parallel: pair(1, 1), dtype: 'BF16' as const };
      await expect(convertToMegatron(options)).rejects.toThrow(
        expect.objectContaining({ code: 'CPT_INPUT_LOSSY_CAST', message: expect.stringContaining('--allow-cast') }),
      );
      expect(existsSync(output)).toBe(false);
      await convertToMegatron({ ...options, allowCast: true });
      const checkpoint = await openMegatronCheckpoint(output);
      const norm = checkpoint.parameters().find(({ megatronName }) => megatronName.startsWith('decoder.final'));
      expect(norm?.dtype).toBe('BF16');
      const shard = norm?.shards[0];
      if (!shard) throw new Error('no norm');
      const halves = new Uint16Array(readRows(shard, 'BF16', 0, 8, checkpoint.readInto).buffer);
      await checkpoint.close();
      expect([...halves.subarray(0, 5)]).toEqual([0x3f80, 0x3f82, 0x3f80, 0, 0xc000]);
    });
  });
});

describe('refused, and nothing is left', () => {
  it.each([
    ['a grid that does not divide', {}, { parallel: pair(4, 1) }, 'CPT_CONFIG_MODEL'],
    ['more rows than there are', {}, { vocabSize: 12 }, 'CPT_CONFIG_VOCAB_SIZE'],
    ['another family', { config: { model_type: 'gpt2' } }, {}, 'CPT_UNSUPPORTED_MODEL'],
    ['a config.json of another vocabulary', { config: { vocab_size: 12 } }, {}, 'CPT_CONFIG_MODEL'],
    ['more layers than tensors', { config: { num_hidden_layers: 3 } }, {}, 'CPT_MAPPING_NAMES'],
    ['fewer layers than tensors', { config: { num_hidden_layers: 1 } }, {}, 'CPT_MAPPING_NAMES'],
    ['two tables of a tied model', { config: { tie_word_embeddings: true } }, {}, 'CPT_CONFIG_MODEL'],
    ['a field that is missing', { config: { hidden_size: null } }, {}, 'CPT_CONFIG_MODEL'],
    [
      'parts of two dtypes',
      {
        extra: {
          'model.layers.0.self_attn.k_proj.bias': { dtype: 'F32' as const, shape: [4], bytes: new Uint8Array(16) },
        },
      },
      {},
      'CPT_CONFIG_MODEL',
    ],
  ])('%s', async (_, folder, options, code) => {
    await withDirectory(async (root) => {
      const [source, output] = [join(root, 'hf'), join(root, 'ckpt')];
      await writeTinyHf(source, TINY, folder);
      const converting = convertToMegatron({ source, output, parallel: pair(1, 1), ...options });
      await expect(converting).rejects.toThrow(expect.objectContaining({ code }));
      expect(existsSync(output)).toBe(false);
    });
  });

  it('an output that holds something, until it is forced; the older iteration is then gone', async () => {
    await withDirectory(async (root) => {
      const [source, output] = [join(root, 'hf'), join(root, 'ckpt')];
      await writeTinyHf(source, TINY);
      const options = { source, output, parallel: pair(2, 1) };
      await convertToMegatron(options);
      await writeFile(join(output, 'release', 'stale'), '');
      await expect(convertToMegatron(options)).rejects.toThrow(
        expect.objectContaining({ code: 'CPT_INPUT_OUTPUT_EXISTS' }),
      );
      await convertToMegatron({ ...options, parallel: pair(1, 1), force: true });
      expect(await readdir(join(output, 'release'))).toEqual(['mp_rank_00']);
      expect((await readdir(output)).filter((name) => name.startsWith('.'))).toEqual([]);
    });
  });

  it('at a signal between two tiles', async () => {
    await withDirectory(async (root) => {
      const [source, output] = [join(root, 'hf'), join(root, 'ckpt')];
      await writeTinyHf(source, TINY);
      const abort = new AbortController();
      const reason = new DOMException('enough', 'AbortError');
      const onProgress = () => abort.abort(reason);
      const running = convertToMegatron({ source, output, parallel: pair(1, 2), onProgress, signal: abort.signal });
      await expect(running).rejects.toBe(reason);
      expect(await readdir(root)).toEqual(['hf']);
    });
  });
});

it('a tied model may store its head too, if it is the embedding', async () => {
  await withDirectory(async (root) => {
    const [source, output] = [join(root, 'hf'), join(root, 'ckpt')];
    const model = { ...TINY, isTied: true };
    const bytes = await randomTensors(model, 'BF16').read('model.embed_tokens.weight');
    await writeTinyHf(source, model, { extra: { 'lm_head.weight': { dtype: 'BF16', shape: [11, 8], bytes } } });
    const { notes, model: found } = await convertToMegatron({ source, output, parallel: pair(1, 1) });
    expect(found.isTied).toBe(true);
    expect(notes).toEqual([expect.stringContaining('equals the embedding')]);
  });
});
