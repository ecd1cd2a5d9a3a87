import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { withDirectory } from '../test/tiny-checkpoint.ts';
import { canonicalPath, listDirectory, openFilePool, readTextFile, startMeter, writeFileStream } from './node.ts';

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
