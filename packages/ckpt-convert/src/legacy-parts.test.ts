import { join } from 'node:path';
import { openSafetensorsDirectory } from '@pai-cpt/safetensors';
import { namespace, tensorDeclaration, type WritableValue } from '@pai-cpt/torch-checkpoint';
import { describe, expect, it } from 'vitest';
import { TINY, withDirectory, writeRankFile } from '../test/tiny-checkpoint.ts';
import { writeTinyHf } from '../test/tiny-hf.ts';
import { convertCheckpoint } from './convert.ts';
import { argsOf } from './megatron-args.ts';
import { verifyCheckpoint } from './verify.ts';

const RANKS = 2;
const model = { ...TINY, family: 'llama' as const, hasQkvBias: false, queryGroups: 4, vocabSize: 16 };
const grid = { tensorParallelSize: RANKS, pipelineParallelSize: 1 };
const args = argsOf({
  ...{ model, grid, spec: 'te', paddedVocabSize: 16, vocabMultiple: 8, dtype: 'F32', iteration: 5 },
});

/** Names in the order of their numbers: every byte of the n-th tensor of a file is n, from 1. */
const LAYER = [
  'input_layernorm.weight',
  'self_attention.query_key_value.weight',
  'self_attention.dense.weight',
  'post_attention_layernorm.weight',
  'mlp.dense_h_to_4h_2.weight',
  'mlp.dense_h_to_4h_1.weight',
  'mlp.dense_4h_to_h.weight',
] as const;
const SHAPES: Record<string, number[]> = {
  'self_attention.query_key_value.weight': [24 / RANKS, 8],
  'self_attention.dense.weight': [8, 8 / RANKS],
  'mlp.dense_h_to_4h_1.weight': [8 / RANKS, 8],
  'mlp.dense_h_to_4h_2.weight': [8 / RANKS, 8],
  'mlp.dense_4h_to_h.weight': [8, 8 / RANKS],
};

/** A checkpoint with the names and the nesting of Pai's Llama of 2023; its converter leaves a copy of the embedding beside the head. */
async function writePaiLlama(root: string, more: Record<string, number[]> = {}): Promise<void> {
  const f32 = (shape: readonly number[]) => tensorDeclaration('F32', shape);
  const nested = (entries: [string, WritableValue][]) => new Map(entries);
  const table = () => nested([['weight', f32([16 / RANKS, 8])]]);
  const layers = [0, 1].flatMap((layer) =>
    [...LAYER, ...Object.keys(more)].map((name): [string, WritableValue] => [
      `layers.${layer}.${name}`,
      f32(SHAPES[name] ?? more[name] ?? [8]),
    ]),
  );
  const languageModel = nested([
    ['embedding', nested([['word_embeddings', table()]])],
    ['encoder', nested([...layers, ['final_layernorm.weight', f32([8])]])],
    ['output_layer', table()],
  ]);
  for (let rank = 0; rank < RANKS; rank++) {
    const state = nested([
      [
        'model',
        nested([
          ['language_model', languageModel],
          ['word_embeddings_for_head', table()],
        ]),
      ],
      ['checkpoint_version', { kind: 'float', value: 3 }],
      ['args', namespace(args)],
    ]);
    await writeRankFile(join(root, 'release', `mp_rank_0${rank}`, 'model_rng.pt'), state);
  }
}

describe("Pai's Llama of before Megatron-Core", () => {
  it('has the gate in dense_h_to_4h_1, up in dense_h_to_4h_2, and its head in output_layer', async () => {
    await withDirectory(async (root) => {
      await writePaiLlama(join(root, 'ckpt'));
      await writeTinyHf(join(root, 'reference'), model);
      const paths = { source: join(root, 'ckpt'), output: join(root, 'hf'), reference: join(root, 'reference') };
      await convertCheckpoint(paths);
      const report = await verifyCheckpoint({ hf: paths.output, against: paths.source });
      expect(report.checks.filter(({ ok }) => !ok)).toEqual([]);
      const hf = await openSafetensorsDirectory(join(root, 'hf'));
      const bytesOf = async (name: string) => [...new Set(await hf.read(name))];
      // The embedding is the first tensor of a file, then 7 of each layer, the final norm, the head, and the spare table.
      for (const layer of [0, 1]) {
        const number = (name: (typeof LAYER)[number]) => 2 + 7 * layer + LAYER.indexOf(name);
        const prefix = `model.layers.${layer}.mlp`;
        expect(await bytesOf(`${prefix}.gate_proj.weight`)).toEqual([number('mlp.dense_h_to_4h_1.weight')]);
        expect(await bytesOf(`${prefix}.up_proj.weight`)).toEqual([number('mlp.dense_h_to_4h_2.weight')]);
      }
      expect(await bytesOf('model.embed_tokens.weight')).toEqual([1]);
      expect(await bytesOf('lm_head.weight')).toEqual([17]);
      await hf.close();
    });
  });

  it('is refused with biases, where the gate is the second one', async () => {
    await withDirectory(async (root) => {
      await writePaiLlama(join(root, 'ckpt'), { 'self_attention.query_key_value.bias': [24 / RANKS] });
      const refused = convertCheckpoint({ source: join(root, 'ckpt'), output: join(root, 'hf') });
      await expect(refused).rejects.toThrow(
        expect.objectContaining({
          code: 'CPT_UNSUPPORTED_MODEL',
          message: expect.stringContaining('dense_h_to_4h_1 and _2'),
        }),
      );
    });
  });
});
