import { join } from 'node:path';
import { afterAll, expect, test, vi } from 'vitest';
import { CORPUS_FILES, filesIn, refusal, TOKENIZER, temporaryFolder } from '../../test/fixtures.ts';
import type { GrowingFile } from './output/node.ts';

const disk = vi.hoisted(() => ({ free: 1e12, fails: false }));
vi.mock('./node.ts', async (original) => ({ ...(await original<object>()), freeBytes: async () => disk.free }));
vi.mock('./output/node.ts', async (original) => {
  const real = await original<{ openGrowing: (path: string, kept: number) => Promise<GrowingFile> }>();
  const openGrowing = async (path: string, kept: number): Promise<GrowingFile> => {
    const file = await real.openGrowing(path, kept);
    const append = async (bytes: Uint8Array) => {
      if (disk.fails && path.endsWith('.bin'))
        throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
      await file.append(bytes);
    };
    return { ...file, append };
  };
  return { ...real, openGrowing };
});

// Modules are shared by the files of a run: the real ones may be loaded, and no other file may get these.
vi.resetModules();
const { buildDataset } = await import('../build.ts');
afterAll(() => {
  vi.doUnmock('./node.ts');
  vi.doUnmock('./output/node.ts');
  vi.resetModules();
});

const build = (folder: string) =>
  buildDataset({ inputs: CORPUS_FILES, tokenizer: TOKENIZER, output: join(folder, 'set') });

test('§7 disk space: refused before reading when even the least has no room, warned about when the usual has none', async () => {
  const folder = temporaryFolder();
  disk.free = 1000;
  const error = await refusal(build(folder));
  expect(error.code).toBe('CPT_INPUT_DISK_SPACE');
  // 582,414 bytes of input: a tenth of them text, 8 bytes a token, 2 bytes an id.
  expect(error.message).toContain('1000 bytes are free, the dataset needs 14561 at the very least');
  expect(filesIn(folder)).toEqual([]);
  disk.free = 100_000;
  expect((await build(folder)).warnings[0]).toContain('100000 bytes are free, such inputs usually need 332807');
  disk.free = 1e12;
});

test('§7 ENOSPC while writing: one line, and the room is given back', async () => {
  const folder = temporaryFolder();
  disk.fails = true;
  const error = await refusal(build(folder));
  expect(error.code).toBe('CPT_INPUT_DISK_SPACE');
  expect(error.message).toContain('no room is left on the disk');
  expect(filesIn(folder)).toEqual([]);
  disk.fails = false;
});
