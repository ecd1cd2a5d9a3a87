import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { faultyDisk } from '../../test/faulty-disk.ts';
import { withDirectory } from '../../test/tiny-checkpoint.ts';
import { nodeDisk } from './node.ts';
import { workFiles } from './work-files.ts';

it('writes, appends and renames', async () => {
  await withDirectory(async (root) => {
    const files = workFiles(root, nodeDisk);
    const [a, b] = [files.path('a'), files.path('b')];
    files.write(a, 'one');
    files.append(a, ' two');
    files.rename(a, b);
    files.syncDirectory(root);
    expect(await readFile(join(root, 'b'), 'utf8')).toBe('one two');
    files.write(b, 'short');
    expect(await readFile(join(root, 'b'), 'utf8')).toBe('short');
  });
});

it('is synced before it is closed', async () => {
  await withDirectory(async (root) => {
    const disk = faultyDisk();
    const file = workFiles(root, disk).create(join(root, 'a'));
    file.write(Uint8Array.of(1));
    await file.finish();
    expect(disk.calls).toEqual(['open', 'write', 'sync', 'close']);
  });
});

it('closes what failures left open, and nothing twice, whatever close says', async () => {
  await withDirectory(async (root) => {
    const closed: number[] = [];
    const disk = {
      ...faultyDisk(),
      close(fd: number) {
        closed.push(fd);
        nodeDisk.close(fd);
        throw new Error('close');
      },
    };
    const files = workFiles(root, disk);
    files.create(files.path('a'));
    files.create(files.path('b'));
    expect(() => files.write(files.path('c'), 'x')).toThrow('close');
    files.closeAll();
    files.closeAll();
    expect(new Set(closed).size).toBe(3);
    expect(closed).toHaveLength(3);
  });
});
