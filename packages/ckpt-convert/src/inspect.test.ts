import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FIXTURES, randomTensors, TINY, withDirectory } from '../test/tiny-checkpoint.ts';
import { inspectCheckpoint } from './inspect.ts';
import { writeMegatronRankFiles } from './write-torch.ts';

describe('inspectCheckpoint', () => {
  it('gives shapes over all ranks: rows, columns, both halves, and replicas once', async () => {
    const { parameters } = await inspectCheckpoint(join(FIXTURES, 'qwen2-tp4-pp1', 'megatron'));
    const shapes = Object.fromEntries(
      parameters.map(({ name, shape }) => [name.replace('decoder.layers.1.', ''), shape]),
    );
    expect(shapes).toMatchObject({
      'embedding.word_embeddings.weight': [32, 16],
      'self_attention.linear_qkv.weight': [32, 16],
      'self_attention.linear_qkv.bias': [32],
      'self_attention.linear_proj.weight': [16, 16],
      'mlp.linear_fc1.layer_norm_weight': [16],
      'mlp.linear_fc1.weight': [32, 16],
      'mlp.linear_fc2.weight': [16, 16],
    });
  });

  it('names both families where only a config.json can tell', async () => {
    expect((await inspectCheckpoint(join(FIXTURES, 'mistral', 'megatron'))).family).toBe('llama or mistral');
  });

  it('lists what stands in the way of a conversion instead of throwing it', async () => {
    await withDirectory(async (directory) => {
      const args = { ffn_hidden_size: 99, tokenizer_type: 'NullTokenizer', vocab_size: 10 };
      await writeMegatronRankFiles({
        directory,
        iteration: 1,
        model: TINY,
        parallel: { tensorParallelSize: 1, pipelineParallelSize: 1 },
        tensors: randomTensors(TINY, 'BF16'),
        dtype: 'BF16',
        args,
      });
      const { problems } = await inspectCheckpoint(directory, { reference: { model_type: 'llama', vocab_size: 11 } });
      expect(problems).toEqual([
        'latest_checkpointed_iteration.txt is missing; iter_0000001 is the newest directory and was taken',
        'ffn size: the tensors have 8, args say 99; the tensors were followed',
        expect.stringContaining('2 names do not fit llama with 2 layers'),
      ]);
    });
  });
});
