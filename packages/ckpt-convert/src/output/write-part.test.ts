import { rmSync, writeFileSync } from 'node:fs';
import { cp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { faultyDisk } from '../../test/faulty-disk.ts';
import { leaveDeadLock, treeOf } from '../../test/folders.ts';
import { FIXTURES, withDirectory } from '../../test/tiny-checkpoint.ts';
import { convertCheckpoint, convertOnDisk } from '../convert.ts';
import type { ConvertOptions } from '../convert-options.ts';
import { describeProcess, nodeDisk } from './node.ts';
import { openWorkingOutput, WORK_FOLDER } from './output-directory.ts';

const source = join(FIXTURES, 'qwen2-uneven-first', 'megatron');
const maxShardBytes = 700; // six files

const expectedTree = async (root: string) => {
  const { files } = await convertCheckpoint({ source, output: join(root, 'expected'), maxShardBytes });
  return { tree: await treeOf(join(root, 'expected')), files };
};

const writing = (root: string, index: number, of: number, changes: Partial<ConvertOptions> = {}, disk = faultyDisk()) =>
  convertOnDisk({ source, output: join(root, 'hf'), maxShardBytes, part: { index, of }, ...changes }, disk);

const opened = (disk: { opened: string[] }) =>
  disk.opened.filter((path) => path.endsWith('.safetensors')).map((path) => basename(path));

describe('a conversion in parts', () => {
  it('is whole when the last one ends, whichever that is, and each writes its own files once', async () => {
    await withDirectory(async (root) => {
      const { tree, files } = await expectedTree(root);
      const disks = [1, 2, 3].map(() => faultyDisk());
      const second = await writing(root, 2, 3, {}, disks[1]);
      expect(second.part).toEqual({ index: 2, of: 3, whole: false, outstanding: [1, 3] });
      expect(await readdir(join(root, 'hf'))).toEqual([WORK_FOLDER]);
      const third = await writing(root, 3, 3, {}, disks[2]);
      expect(third.part).toEqual({ index: 3, of: 3, whole: false, outstanding: [1] });
      const first = await writing(root, 1, 3, {}, disks[0]);
      expect(first.part).toEqual({ index: 1, of: 3, whole: true, outstanding: [] });
      expect(await treeOf(join(root, 'hf'))).toEqual(tree);
      expect([...first.files, ...second.files, ...third.files]).toEqual(files);
      expect(disks.flatMap(opened)).toEqual(files.map(({ name }) => name));
      expect(Math.min(...[first, second, third].map((part) => part.files.length))).toBeGreaterThan(0);
    });
  });

  it('is whole when all end at the same moment, or are more than files', async () => {
    await withDirectory(async (root) => {
      const { tree } = await expectedTree(root);
      for (const of of [2, 4, 9]) {
        const all = await Promise.allSettled(Array.from({ length: of }, (_, at) => writing(root, at + 1, of)));
        expect(all.filter(({ status }) => status === 'rejected')).toEqual([]);
        const parts = all.flatMap((settled) => (settled.status === 'fulfilled' ? settled.value.part : undefined));
        expect(parts.some((part) => part?.whole)).toBe(true);
        expect(await treeOf(join(root, 'hf'))).toEqual(tree);
        await rm(join(root, 'hf'), { recursive: true });
      }
    });
  });

  it('writes no part twice: run again it finds its files, before and after the whole is done', async () => {
    await withDirectory(async (root) => {
      const { tree } = await expectedTree(root);
      const { files } = await writing(root, 1, 2);
      const again = faultyDisk();
      expect(await writing(root, 1, 2, {}, again)).toMatchObject({
        ...{ files, resumed: true },
        part: { whole: false, outstanding: [2] },
      });
      await writing(root, 2, 2);
      for (const changes of [{}, { force: true }, { resume: true }]) {
        const late = await writing(root, 1, 2, changes, again);
        expect(late).toMatchObject({ files, resumed: true, part: { whole: true, outstanding: [] } });
      }
      await leaveDeadLock(join(root, 'hf', WORK_FOLDER));
      await writing(root, 2, 2, {}, again);
      expect(opened(again)).toEqual([]);
      expect(await treeOf(join(root, 'hf'))).toEqual(tree);
    });
  });

  it('row 33: a part that is killed at any call to the disk, the commit among them, is run again to the same whole', async () => {
    await withDirectory(async (root) => {
      const { tree, files } = await expectedTree(root);
      await writing(root, 1, 2);
      await cp(join(root, 'hf'), join(root, 'begun'), { recursive: true });
      const whole = faultyDisk();
      await writing(root, 2, 2, {}, whole);
      const changes = whole.calls.flatMap((call, at) => (call === 'read' ? [] : [at + 1]));
      // Every one of the end of the commit, and some of all that comes before.
      const chosen = changes.filter((_, at) => at % 12 === 0 || at > changes.length - 30);
      for (const failing of chosen) {
        await rm(join(root, 'hf'), { recursive: true });
        await cp(join(root, 'begun'), join(root, 'hf'), { recursive: true });
        const killed = faultyDisk({ failing, isKilled: true });
        const where = `call ${failing} of ${whole.calls.length}, ${whole.calls[failing - 1]}`;
        await expect(writing(root, 2, 2, {}, killed), where).rejects.toThrow();
        const work = join(root, 'hf', WORK_FOLDER);
        await leaveDeadLock((await readdir(work)).includes('part-2-of-2') ? join(work, 'part-2-of-2') : work);
        const again = faultyDisk();
        // Whichever part is run next ends it; the other one then has nothing left to do.
        const order = failing % 2 === 0 ? [1, 2] : [2, 1];
        const results = [];
        for (const index of order) results.push(await writing(root, index, 2, {}, again));
        expect(results.at(-1)?.part, where).toMatchObject({ whole: true });
        expect(results.flatMap((part) => part.files).length, where).toBe(files.length);
        expect(await treeOf(join(root, 'hf')), where).toEqual(tree);
        const mine = files.length - opened(again).length;
        expect(opened(killed).length - mine, where).toBeLessThanOrEqual(1);
      }
    });
  });

  it('waits for a part that is just coming or going, and then commits', async () => {
    await withDirectory(async (root) => {
      const { tree } = await expectedTree(root);
      await writing(root, 1, 2);
      const disk = faultyDisk();
      const lock = join(root, 'hf', WORK_FOLDER, 'lock-1');
      const record = JSON.stringify({ ...describeProcess(), token: 'another part' });
      const holding = {
        ...disk,
        rename(from: string, to: string) {
          disk.rename(from, to);
          if (!to.endsWith('.ended')) return;
          writeFileSync(lock, record); // held from before the marks are counted
          setTimeout(() => rmSync(lock), 30);
        },
      };
      expect((await writing(root, 2, 2, {}, holding)).part).toMatchObject({ whole: true });
      expect(await treeOf(join(root, 'hf'))).toEqual(tree);
    });
  });

  it('is locked part by part', async () => {
    await withDirectory(async (root) => {
      await writing(root, 1, 3);
      const own = await openWorkingOutput(join(root, 'hf'), nodeDisk, 'part-2-of-3');
      await expect(writing(root, 2, 3)).rejects.toMatchObject({ code: 'CPT_INPUT_OUTPUT_LOCKED' });
      const forced = convertCheckpoint({ source, output: join(root, 'hf'), force: true });
      await expect(forced).rejects.toMatchObject({ code: 'CPT_INPUT_OUTPUT_LOCKED' });
      expect((await writing(root, 3, 3)).part?.outstanding).toEqual([2]);
      await own.close();
      expect((await writing(root, 2, 3)).part?.whole).toBe(true);
    });
  });
});

describe('a part is refused', () => {
  it('of another number of parts, other options or a changed source; and a plain run, of a folder in parts', async () => {
    await withDirectory(async (root) => {
      await cp(source, join(root, 'ckpt'), { recursive: true });
      const mine = { source: join(root, 'ckpt') };
      await writing(root, 1, 2, mine);
      const mismatch = { code: 'CPT_INPUT_RESUME_MISMATCH' };
      await expect(writing(root, 2, 3, mine)).rejects.toMatchObject({
        ...mismatch,
        message: expect.stringContaining('parts was 2, now 3'),
      });
      await expect(writing(root, 2, 2, { ...mine, vocabSize: 12 })).rejects.toMatchObject(mismatch);
      const output = join(root, 'hf');
      for (const resume of [true, false]) {
        await expect(convertCheckpoint({ ...mine, output, maxShardBytes, resume })).rejects.toThrow(
          /an unfinished conversion in 2 parts, \d of 6 files; go on with --part I\/2 or start over with --force/,
        );
      }
      await utimes(join(root, 'ckpt/iter_0000007/mp_rank_00_000/model_optim_rng.pt'), 5, 5);
      await expect(writing(root, 2, 2, mine)).rejects.toMatchObject(mismatch);
    });
  });

  it('beside files of somebody else, which --force replaces; and with it an unfinished conversion of something else', async () => {
    await withDirectory(async (root) => {
      const { tree } = await expectedTree(root);
      const output = join(root, 'hf');
      await convertCheckpoint({ source, output, maxShardBytes: 3000 });
      await expect(writing(root, 1, 2)).rejects.toMatchObject({ code: 'CPT_INPUT_OUTPUT_EXISTS' });
      await writing(root, 1, 2, { force: true, vocabSize: 12 });
      await writing(root, 2, 2, { force: true });
      expect((await writing(root, 1, 2, { force: true })).part?.whole).toBe(true);
      expect(await treeOf(output)).toEqual(tree);
      await writeFile(join(output, 'model.safetensors'), 'other');
      await expect(writing(root, 1, 2)).rejects.toThrow('model.safetensors: is not a file of it');
    });
  });
});
