import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openSafetensorsDirectory, openSafetensorsFile } from './node.ts';

const FIXTURES = fileURLToPath(new URL('../../../fixtures/safetensors/', import.meta.url));
const INDEX = 'model.safetensors.index.json';
const [FIRST, SECOND] = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];
let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'safetensors-'));
  await cp(join(FIXTURES, 'python-sharded'), directory, { recursive: true });
});
afterEach(() => rm(directory, { recursive: true }));

const editIndex = async (from: string, to: string) => {
  const text = await readFile(join(directory, INDEX), 'utf8');
  await writeFile(join(directory, INDEX), text.replace(from, to));
};

describe('openSafetensorsDirectory', () => {
  it('reads the shards that huggingface_hub wrote', async () => {
    const expected = JSON.parse(await readFile(join(FIXTURES, 'expected.json'), 'utf8'))['python-sharded'];
    const model = await openSafetensorsDirectory(directory);
    expect([...model.tensors.keys()].sort()).toEqual(Object.keys(expected));
    for (const [name, info] of model.tensors) {
      expect(info).toMatchObject({ dtype: expected[name].dtype, shape: expected[name].shape });
      expect(Buffer.from(await model.read(name)).toString('hex')).toBe(expected[name].hex);
      expect(model.tensorSource(name).byteLength).toBe(32);
    }
    expect(model.tensors.get('model.layers.2.weight')?.file).toBe(SECOND);
    await model.close();
    await expect(model.read('model.layers.2.weight')).rejects.toThrow();
  });

  it('reads a single file without an index, and prefers the index where both are', async () => {
    const single = join(directory, 'single');
    await mkdir(single);
    await cp(join(FIXTURES, 'python-mixed.safetensors'), join(single, 'model.safetensors'));
    const model = await openSafetensorsDirectory(single);
    expect(model.tensors.size).toBe(11);
    await model.close();
    await cp(join(FIXTURES, 'python-mixed.safetensors'), join(directory, 'model.safetensors'));
    const indexed = await openSafetensorsDirectory(directory);
    expect(indexed.tensors.size).toBe(3);
    await indexed.close();
  });

  it('row 25: refuses a missing shard', async () => {
    await rm(join(directory, SECOND as string));
    await expect(openSafetensorsDirectory(directory)).rejects.toMatchObject({ code: 'CPT_FORMAT_SHARD_MISSING' });
  });

  it('row 25: refuses a shard that is the text of an LFS pointer, and names it', async () => {
    await writeFile(join(directory, FIRST as string), 'version https://git-lfs.github.com/spec/v1\noid sha256:0\n');
    await expect(openSafetensorsDirectory(directory)).rejects.toMatchObject({ code: 'CPT_FORMAT_LFS_POINTER' });
  });

  it('row 25: refuses a path out of the directory, and a tensor listed twice', async () => {
    await editIndex(SECOND as string, `../${SECOND}`);
    await expect(openSafetensorsDirectory(directory)).rejects.toMatchObject({ code: 'CPT_FORMAT_SHARD_PATH' });
    await editIndex(`../${SECOND}`, SECOND as string);
    await editIndex('model.layers.1.weight', 'model.layers.0.weight');
    await expect(openSafetensorsDirectory(directory)).rejects.toMatchObject({ code: 'CPT_FORMAT_DUPLICATE_KEY' });
  });

  it('refuses an index that a stale shard contradicts', async () => {
    await editIndex('model.layers.1.weight', 'model.layers.9.weight');
    await expect(openSafetensorsDirectory(directory)).rejects.toThrow(
      `"model.layers.1.weight" lies in ${FIRST}, the index says nothing; "model.layers.9.weight" is not in ${FIRST}`,
    );
    await editIndex('model.layers.9.weight', 'model.layers.1.weight');
    await cp(join(directory, FIRST as string), join(directory, SECOND as string));
    await expect(openSafetensorsDirectory(directory)).rejects.toMatchObject({ code: 'CPT_FORMAT_INDEX_MISMATCH' });
  });

  it('refuses a directory without a model', async () => {
    await rm(join(directory, INDEX));
    await expect(openSafetensorsDirectory(directory)).rejects.toMatchObject({ code: 'CPT_INPUT_FILE_MISSING' });
  });
});

describe('openSafetensorsFile', () => {
  it('refuses a damaged file and leaves nothing open', async () => {
    const path = join(directory, FIRST as string);
    await writeFile(path, (await readFile(path)).subarray(0, 100));
    await expect(openSafetensorsFile(path)).rejects.toMatchObject({ code: 'CPT_FORMAT_TRUNCATED' });
  });
});
