import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { withDirectory } from '../../test/tiny-checkpoint.ts';
import { openPendingDirectory, openPendingFile } from './node.ts';

const disk = vi.hoisted(() => ({ code: '' }));
vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>();
  const writeSync = (...args: Parameters<typeof fs.writeSync>) => {
    if (disk.code) throw Object.assign(new Error('write'), { code: disk.code });
    return fs.writeSync(...args);
  };
  return { ...fs, writeSync };
});

describe('openPendingFile', () => {
  it('is whole under its name, or not there', async () => {
    await withDirectory(async (root) => {
      const [kept, dropped] = [join(root, 'a', 'kept'), join(root, 'a', 'dropped')];
      const [first, second] = [await openPendingFile(kept), await openPendingFile(dropped)];
      for (const file of [first, second]) file.write(Uint8Array.of(104, 105));
      expect(await readdir(join(root, 'a'))).not.toContain('kept');
      await first.commit();
      await first.discard();
      await second.discard();
      expect(await readdir(join(root, 'a'))).toEqual(['kept']);
      expect(await readFile(kept, 'utf8')).toBe('hi');
    });
  });

  it('names the file when the disk is full', async () => {
    await withDirectory(async (root) => {
      const path = join(root, 'a');
      const file = await openPendingFile(path);
      disk.code = 'ENOSPC';
      try {
        expect(() => file.write(Uint8Array.of(1))).toThrow(
          expect.objectContaining({
            code: 'CPT_DISK_FULL',
            message: `${path}: the disk is full (ENOSPC on writing); make room and run again`,
          }),
        );
      } finally {
        disk.code = '';
        await file.discard();
      }
      expect(await readdir(root)).toEqual([]);
    });
  });
});

describe('openPendingDirectory', () => {
  it('takes the place of what stood there, and only when it is committed', async () => {
    await withDirectory(async (root) => {
      const final = join(root, 'release');
      await mkdir(final);
      await writeFile(join(final, 'old'), '');
      const dropped = await openPendingDirectory(final);
      await dropped.discard();
      expect(await readdir(final)).toEqual(['old']);
      const kept = await openPendingDirectory(final);
      await writeFile(join(kept.path, 'new'), '');
      expect(await readdir(final)).toEqual(['old']);
      await kept.commit();
      await kept.discard();
      expect(await readdir(root)).toEqual(['release']);
      expect(await readdir(final)).toEqual(['new']);
    });
  });

  it('takes a parent that it made away again', async () => {
    await withDirectory(async (root) => {
      const pending = await openPendingDirectory(join(root, 'ckpt', 'release'));
      expect(await readdir(root)).toEqual(['ckpt']);
      await pending.discard();
      expect(await readdir(root)).toEqual([]);
    });
  });
});
