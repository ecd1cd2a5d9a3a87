import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { faultyDisk } from '../../test/faulty-disk.ts';
import { withDirectory } from '../../test/tiny-checkpoint.ts';
import { openPendingFiles } from './node.ts';

it('a file is whole under its name, or not there', async () => {
  await withDirectory(async (root) => {
    const files = openPendingFiles();
    const [kept, dropped] = [
      await files.create(join(root, 'a', 'kept')),
      await files.create(join(root, 'a', 'dropped')),
    ];
    for (const file of [kept, dropped]) file.write(Uint8Array.of(104, 105));
    expect(await readdir(join(root, 'a'))).not.toContain('kept');
    await kept.finish();
    await files.discard();
    await files.discard();
    expect(await readdir(join(root, 'a'))).toEqual(['kept']);
    expect(await readFile(join(root, 'a', 'kept'), 'utf8')).toBe('hi');
  });
});

it('names the file when the disk is full', async () => {
  await withDirectory(async (root) => {
    const path = join(root, 'a');
    const files = openPendingFiles(faultyDisk({ failing: 1 }));
    const file = await files.create(path);
    try {
      expect(() => file.write(Uint8Array.of(1))).toThrow(
        expect.objectContaining({
          code: 'CPT_DISK_FULL',
          message: `${path}: the disk is full (ENOSPC on writing); make room and run again`,
        }),
      );
    } finally {
      await files.discard();
    }
    expect(await readdir(root)).toEqual([]);
  });
});
