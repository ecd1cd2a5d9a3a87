import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { withDirectory } from '../test/tiny-checkpoint.ts';
import {
  canonicalPath,
  listDirectory,
  openFilePool,
  openOutputDirectory,
  readTextFile,
  startMeter,
  writeFileStream,
} from './node.ts';

describe('openFilePool', () => {
  it('reads at a position and refuses to read past the end', async () => {
    await withDirectory(async (root) => {
      const path = join(root, 'file');
      await writeFile(path, 'abcdef');
      const pool = openFilePool();
      expect(await pool.open(path)).toBe(await pool.open(path));
      const target = new Uint8Array(3);
      pool.readInto(path, 2, target);
      expect(Buffer.from(target).toString()).toBe('cde');
      expect(() => pool.readInto(path, 4, target)).toThrow(
        expect.objectContaining({
          code: 'CPT_FORMAT_TRUNCATED',
          message: expect.stringContaining('the file ends at 6'),
        }),
      );
      await pool.close();
      expect(() => pool.readInto(path, 0, target)).toThrow('was not opened');
    });
  });
});

describe('openOutputDirectory', () => {
  const fill = async (directory: string) => {
    const output = await openOutputDirectory(directory);
    for (const name of ['b.safetensors', 'index.json']) await output.addFile(name, name);
    return output;
  };

  it('shows nothing under a final name before the commit', async () => {
    await withDirectory(async (root) => {
      const output = await fill(root);
      expect((await readdir(root)).every((name) => name.includes('.tmp-'))).toBe(true);
      await writeFile(join(root, 'old.safetensors'), '');
      await output.commit(['b.safetensors', 'index.json'], ['old.safetensors']);
      await output.discard();
      expect((await readdir(root)).sort()).toEqual(['b.safetensors', 'index.json']);
      expect(await readFile(join(root, 'index.json'), 'utf8')).toBe('index.json');
    });
  });

  it('shows neither weights nor index when a file before them cannot take its place', async () => {
    await withDirectory(async (root) => {
      const output = await fill(root);
      await mkdir(join(root, 'z.json', 'full'), { recursive: true });
      await output.addFile('z.json', '');
      await expect(output.commit(['b.safetensors', 'index.json'], [])).rejects.toThrow();
      await output.discard();
      expect(await readdir(root)).toEqual(['z.json']);
    });
  });

  it('takes a directory away that it made, and only its own files from one that was there', async () => {
    await withDirectory(async (root) => {
      await (await fill(join(root, 'made'))).discard();
      expect(existsSync(join(root, 'made'))).toBe(false);
      await mkdir(join(root, 'there'));
      await writeFile(join(root, 'there', 'mine'), '');
      const output = await fill(join(root, 'there'));
      const open = await output.createOutput('c.safetensors');
      open.write(new Uint8Array(10));
      await output.discard();
      expect(await readdir(join(root, 'there'))).toEqual(['mine']);
    });
  });
});

it('writeFileStream leaves no file when its producer fails', async () => {
  await withDirectory(async (root) => {
    const path = join(root, 'deep', 'file');
    const writing = writeFileStream(path, async (write) => {
      await write(Uint8Array.of(1));
      throw new Error('producer');
    });
    await expect(writing).rejects.toThrow('producer');
    expect(await readdir(join(root, 'deep'))).toEqual([]);
    await writeFileStream(path, (write) => write(Uint8Array.of(1, 2)));
    expect([...(await readFile(path))]).toEqual([1, 2]);
  });
});

it('paths that do not exist are undefined, and links count as what they point to', async () => {
  await withDirectory(async (root) => {
    await mkdir(join(root, 'a'));
    await symlink(join(root, 'a'), join(root, 'b'));
    expect(await listDirectory(root)).toEqual([
      { name: 'a', isDirectory: true },
      { name: 'b', isDirectory: true },
    ]);
    expect([await listDirectory(join(root, 'c')), await readTextFile(join(root, 'c'))]).toEqual([undefined, undefined]);
    expect(await canonicalPath(join(root, 'b', 'new', 'deep'))).toBe(
      await canonicalPath(join(root, 'a', 'new', 'deep')),
    );
  });
});

it('startMeter measures', () => {
  const { seconds, cpuSeconds, peakRssBytes } = startMeter()();
  expect(seconds).toBeGreaterThanOrEqual(0);
  expect(cpuSeconds).toBeGreaterThanOrEqual(0);
  expect(peakRssBytes).toBeGreaterThan(1e6);
});
