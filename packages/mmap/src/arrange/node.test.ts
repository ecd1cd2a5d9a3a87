import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { filesIn, openDescriptors, temporaryFolder } from '../../test/fixtures.ts';
import { createScratchFile, isSameFile } from './node.ts';

test('a scratch file gives back what was put down, and goes', async () => {
  const folder = temporaryFolder();
  const scratch = await createScratchFile(join(folder, 'scratch'));
  await scratch.write(Uint8Array.of(5, 6), 4);
  await scratch.write(Uint8Array.of(1, 2, 3, 4), 0);
  expect([...(await scratch.read(3, 3))]).toEqual([4, 5, 6]);
  expect((await scratch.read(2, 0)).byteLength).toBe(0);
  await expect(scratch.read(4, 3)).rejects.toThrow('ends at 6');
  await scratch.remove();
  expect(filesIn(folder)).toEqual([]);
  expect(openDescriptors(folder)).toEqual([]);
});

test('a scratch file never takes the place of a file', async () => {
  const path = join(temporaryFolder(), 'mine');
  writeFileSync(path, 'x');
  await expect(createScratchFile(path)).rejects.toMatchObject({ code: 'EEXIST' });
});

test('two missing files are not the same', async () => {
  expect(await isSameFile(join(temporaryFolder(), 'a'), join(temporaryFolder(), 'a'))).toBe(false);
});
