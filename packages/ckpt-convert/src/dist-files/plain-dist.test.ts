import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { namespace, parseDistMetadata, serializeDistMetadata, type WritableValue } from '@pai-cpt/torch-checkpoint';
import { describe, expect, it } from 'vitest';
import { TINY, withDirectory, writeRankFile } from '../../test/tiny-checkpoint.ts';
import { writeTinyHf } from '../../test/tiny-hf.ts';
import { convertCheckpoint } from '../convert.ts';
import { diffCheckpoints } from '../diff.ts';
import { inspectCheckpoint } from '../inspect.ts';
import { convertToMegatron } from '../to-megatron.ts';

/** A checkpoint as `dcp.save({ model, args, iteration })` leaves it: prefixed names, an object for each value that is no tensor. */
async function writePlain(root: string, objects: Record<string, WritableValue>): Promise<string> {
  const source = join(root, 'hf');
  await writeTinyHf(source, TINY);
  const parallel = { tensorParallelSize: 2, pipelineParallelSize: 1 };
  await convertToMegatron({ source, output: join(root, 'ckpt'), parallel, format: 'torch_dist', vocabMultiple: 4 });
  const directory = join(root, 'ckpt', 'release');
  const path = join(directory, '.metadata');
  const { tensors } = parseDistMetadata(new Uint8Array(await readFile(path)), path);
  const renamed = new Map([...tensors].map(([name, tensor]) => [`model.module.${name}`, tensor]));
  const items = new Map<string, { relativePath: string; byteOffset: number; byteLength: number }>();
  for (const [name, value] of Object.entries(objects)) {
    const relativePath = `__${name}_0.distcp`;
    await writeRankFile(join(directory, relativePath), value);
    const { byteLength } = await readFile(join(directory, relativePath));
    items.set(name, { relativePath, byteOffset: 0, byteLength });
  }
  await writeFile(path, serializeDistMetadata({ tensors: renamed, objects: items }));
  await rm(join(directory, 'metadata.json'));
  await rm(join(directory, 'common.pt'));
  return directory;
}

describe('a checkpoint of torch.distributed.checkpoint without metadata.json', () => {
  it('is read by its .metadata, with args and iteration from objects of these names', async () => {
    await withDirectory(async (root) => {
      const heads = { num_attention_heads: 4, group_query_attention: true, num_query_groups: 2, kv_channels: 2 };
      const sizes = { num_layers: 2, hidden_size: 8, vocab_size: 11, norm_epsilon: 1e-6, rotary_base: 1_000_000 };
      const args = namespace({ ...heads, ...sizes, untie_embeddings_and_output_weights: true });
      const directory = await writePlain(root, { args, iteration: 30 });
      const { format, iteration, problems } = await inspectCheckpoint(directory);
      expect({ format, iteration }).toEqual({ format: 'torch_dist', iteration: 30 });
      expect(problems.join()).toContain('metadata.json is missing');
      await convertCheckpoint({ source: directory, output: join(root, 'back'), reference: join(root, 'hf') });
      const { equal, compared } = await diffCheckpoints({ a: join(root, 'hf'), b: join(root, 'back') });
      expect({ equal, compared }).toEqual({ equal: true, compared: 27 });
    });
  });

  it('is refused of several tensor ranks, whose gate and up may lie mixed', async () => {
    await withDirectory(async (root) => {
      const directory = await writePlain(root, { args: namespace({ tensor_model_parallel_size: 2 }) });
      await expect(inspectCheckpoint(directory)).rejects.toThrow(
        expect.objectContaining({
          code: 'CPT_UNSUPPORTED_CHECKPOINT',
          message: expect.stringContaining('linear_fc1.weight" of 2 tensor ranks, and no metadata.json'),
        }),
      );
    });
  });

  it('is taken for one of Megatron that lost the file, where there is a common.pt', async () => {
    await withDirectory(async (root) => {
      const [source, output] = [join(root, 'hf'), join(root, 'ckpt')];
      await writeTinyHf(source, TINY);
      const parallel = { tensorParallelSize: 2, pipelineParallelSize: 1 };
      await convertToMegatron({ source, output, parallel, format: 'torch_dist', vocabMultiple: 4 });
      await rm(join(output, 'release', 'metadata.json'));
      const { equal } = await diffCheckpoints({ a: source, b: output });
      expect(equal).toBe(true);
    });
  });

  it('is refused where its args are something else', async () => {
    await withDirectory(async (root) => {
      const directory = await writePlain(root, { args: [1, 2] });
      await expect(inspectCheckpoint(directory)).rejects.toThrow('"args"');
    });
  });
});
