import { cp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FIXTURES, withDirectory } from '../test/tiny-checkpoint.ts';
import { openMegatronCheckpoint } from './checkpoint.ts';
import { convertCheckpoint } from './convert.ts';
import { verifyCheckpoint } from './verify.ts';

const fixture = (name: string) => join(FIXTURES, name, 'megatron');
const failure = (code: string, message: string) =>
  expect.objectContaining({ code, message: expect.stringContaining(message) });

describe('a checkpoint that megatron-core wrote', () => {
  it('is one rank of global tensors, layer by layer, whatever ranks wrote it', async () => {
    const checkpoint = await openMegatronCheckpoint(fixture('dist-stacked'));
    expect(checkpoint).toMatchObject({ format: 'torch_dist', iteration: 5, layersPerStage: [4], problems: [] });
    expect(checkpoint.parallel).toEqual({ tensorParallelSize: 1, pipelineParallelSize: 1, virtualStages: 1 });
    expect(checkpoint.args?.get('tensor_model_parallel_size')).toBe(2);
    const parameters = checkpoint.parameters();
    expect(parameters).toHaveLength(4 * 7 + 3); // no extra state, no optimizer
    const fc1 = parameters.find(({ megatronName }) => megatronName === 'decoder.layers.3.mlp.linear_fc1.weight');
    expect(fc1?.shards.map(({ shape }) => shape)).toEqual([[16, 8]]);
    await checkpoint.close();
  });

  it('has its args in an object where there is no common.pt, and halves that are joined', async () => {
    const checkpoint = await openMegatronCheckpoint(fixture('dist-per-layer'));
    expect(checkpoint).toMatchObject({ iteration: 12, layersPerStage: [2], modelConfig: { isTied: true } });
    expect(checkpoint.args?.get('num_layers')).toBe(2);
    const names = checkpoint.parameters().map(({ megatronName }) => megatronName);
    expect(names).toContain('decoder.layers.1.mlp.linear_fc1.weight');
    expect(names).not.toContain('output_layer.weight');
    await checkpoint.close();
  });

  it.each(['dist-stacked', 'dist-per-layer', 'dist-irregular'])('%s verifies against its output', async (name) => {
    await withDirectory(async (output) => {
      await convertCheckpoint({ source: fixture(name), output });
      const { ok, checks } = await verifyCheckpoint({ hf: output, against: fixture(name) });
      expect(checks.filter((check) => !check.ok)).toEqual([]);
      expect(ok).toBe(true);
      expect(checks[0]?.detail).toMatch(/^[348] rank files agree with their own checksums/);
    });
  });

  it('fails its checksums where a bit is flipped', async () => {
    const flipped = damaged('dist-irregular', async (directory) => {
      const path = join(directory, '__0_1.distcp');
      const bytes = await readFile(path);
      const header = bytes.lastIndexOf('PK\x03\x04', bytes.indexOf('data/0'), 'latin1');
      const at = header + 30 + bytes.readUInt16LE(header + 26) + bytes.readUInt16LE(header + 28);
      bytes[at] = (bytes[at] as number) ^ 1;
      await writeFile(path, bytes);
      const checkpoint = await openMegatronCheckpoint(directory);
      await checkpoint.verifyChecksums().finally(() => checkpoint.close());
    });
    await expect(flipped).rejects.toThrow(failure('CPT_ZIP_CRC', '__0_1.distcp "'));
  });
});

/** Opens a copy of a fixture's iteration after `change`. */
async function damaged(name: string, change: (directory: string) => Promise<unknown>): Promise<void> {
  await withDirectory(async (root) => {
    await cp(fixture(name), root, { recursive: true });
    const iteration = { 'dist-stacked': 5, 'dist-per-layer': 12, 'dist-irregular': 1000 }[name] ?? 0;
    const directory = join(root, `iter_${String(iteration).padStart(7, '0')}`);
    await change(directory);
    const checkpoint = await openMegatronCheckpoint(directory);
    await checkpoint.close();
  });
}

/** Replaces text of one length in `.metadata`. */
const rename = (from: string, to: string) => async (directory: string) => {
  const path = join(directory, '.metadata');
  const text = (await readFile(path)).toString('latin1');
  expect(text).toContain(from);
  expect(to).toHaveLength(from.length);
  await writeFile(path, text.replaceAll(from, to), 'latin1');
};

describe('a damaged checkpoint is refused by name', () => {
  it.each([
    ['a missing file', (at) => rm(join(at, '__1_0.distcp')), 'CPT_INPUT_FILE_MISSING', '__1_0.distcp'],
    ['a cut file', (at) => truncate(join(at, '__1_0.distcp'), 3000), 'CPT_FORMAT_TRUNCATED', '__1_0.distcp'],
    [
      'a file of another rank',
      (at) => cp(join(at, '__3_0.distcp'), join(at, '__1_0.distcp')),
      'CPT_',
      '__1_0.distcp "',
    ],
    ['a missing .metadata', (at) => rm(join(at, '.metadata')), 'CPT_INPUT_FILE_MISSING', '.metadata'],
    [
      'the old zarr backend',
      (at) => writeFile(join(at, 'metadata.json'), '{"sharded_backend": "zarr"}'),
      'CPT_UNSUPPORTED_CHECKPOINT',
      'sharded_backend is "zarr"',
    ],
    [
      'a mixture of experts',
      rename('decoder.layers.mlp.linear_fc2.weight', 'decoder.layers.mlp.experts.fc2weight'),
      'CPT_UNSUPPORTED_MODEL',
      'mixture of experts',
    ],
  ] as [string, (directory: string) => Promise<unknown>, string, string][])('%s', async (_, change, code, message) => {
    const error = await damaged('dist-stacked', change).catch((reason) => reason);
    expect(error).toMatchObject({
      code: expect.stringMatching(new RegExp(`^${code}`)),
      message: expect.stringContaining(message),
    });
  });

  it.each([
    ['gap', 'elements; a file is missing'],
    ['overlap', 'the chunks at '],
  ])('silent error 9: %s between chunks', async (kind, message) => {
    const change = async (directory: string) => {
      const { [kind]: metadata } = JSON.parse(await readFile(join(FIXTURES, 'dist-damaged.json'), 'utf8'));
      await writeFile(join(directory, '.metadata'), Buffer.from(metadata, 'base64'));
    };
    const error = await damaged('dist-irregular', change).catch((reason) => reason);
    expect(error).toMatchObject({ code: 'CPT_FORMAT_DIST_CHUNKS', message: expect.stringContaining(message) });
    expect(error.message).toContain('"decoder.layers.mlp.linear_fc2.weight" [3, 8, 8]');
  });

  it('a half without the other', async () => {
    const change = rename('linear_fc1.weight_v', 'linear_fc1.weight_x');
    await expect(damaged('dist-per-layer', change)).rejects.toThrow(
      failure('CPT_FORMAT_DIST_CHUNKS', '"decoder.layers.0.mlp.linear_fc1.weight_w" [8, 8] has no other half'),
    );
  });

  it('an item of another dtype than .metadata says', async () => {
    await expect(damaged('dist-irregular', rename('float32', 'float64'))).rejects.toThrow(
      failure('CPT_FORMAT_DIST_CHUNKS', 'the item is F32 ['),
    );
  });
});
