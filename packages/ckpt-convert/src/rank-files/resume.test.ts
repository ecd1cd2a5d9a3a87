import { existsSync, utimesSync } from 'node:fs';
import { appendFile, cp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CptError } from '@pai-cpt/core';
import { describe, expect, it } from 'vitest';
import { type FaultyDisk, faultyDisk } from '../../test/faulty-disk.ts';
import { leaveDeadLock, treeOf } from '../../test/folders.ts';
import { TINY, withDirectory } from '../../test/tiny-checkpoint.ts';
import { writeTinyHf } from '../../test/tiny-hf.ts';
import { readUnfinished, WORK_FOLDER } from '../output/output-directory.ts';
import { reshardCheckpoint, reshardOnDisk } from '../reshard.ts';
import { convertToMegatron, convertToMegatronOnDisk } from '../to-megatron.ts';
import type { GridOptions, RankFilesResult } from './write-checkpoint.ts';

const TRACKER = 'latest_checkpointed_iteration.txt';
type Changes = Partial<GridOptions> & { iteration?: number };

interface Case {
  readonly name: string;
  /** How many calls to the disk are made to fail, each in a run of its own. */
  readonly calls: number;
  /** Files of one stage, which are written side by side. */
  readonly sideBySide: number;
  write(root: string, output: string, disk: FaultyDisk, changes?: Changes): Promise<RankFilesResult>;
}

const model = { ...TINY, vocabSize: 256 }; // no padding
const grid = (tensorParallelSize: number, pipelineParallelSize: number) => ({
  parallel: { tensorParallelSize, pipelineParallelSize },
});
const cases: Case[] = [
  {
    name: 'to-megatron',
    calls: 36,
    sideBySide: 2,
    write: (root, output, disk, changes) =>
      convertToMegatronOnDisk({ source: join(root, 'hf'), output, ...grid(2, 2), ...changes }, disk),
  },
  {
    name: 'to-megatron --format torch_dist',
    calls: 18,
    sideBySide: 1,
    write: (root, output, disk, changes) =>
      convertToMegatronOnDisk(
        { source: join(root, 'hf'), output, ...grid(1, 2), format: 'torch_dist', ...changes },
        disk,
      ),
  },
  {
    name: 'reshard',
    calls: 18,
    sideBySide: 2,
    write: (root, output, disk, changes) =>
      reshardOnDisk({ source: join(root, 'ckpt'), output, ...grid(2, 2), ...changes }, disk),
  },
];

/** A folder, a checkpoint made of it, and what an uninterrupted run of the case gives. */
async function withSources(
  test: Case,
  body: (root: string, expected: { tree: Record<string, string>; disk: FaultyDisk } & RankFilesResult) => Promise<void>,
): Promise<void> {
  await withDirectory(async (root) => {
    await writeTinyHf(join(root, 'hf'), model);
    const checkpoint = { source: join(root, 'hf'), output: join(root, 'ckpt'), ...grid(1, 2), iteration: 5 };
    await convertToMegatron(checkpoint);
    const disk = faultyDisk();
    const result = await test.write(root, join(root, 'expected'), disk);
    await body(root, { ...result, tree: await treeOf(join(root, 'expected')), disk });
  });
}

const rankFilesOpened = (disk: FaultyDisk) =>
  disk.opened.filter((path) => /\.(pt|distcp)$/.test(path) && !path.endsWith('common.pt'));

/** Calls but reads, to the number of `most`: from the last on, where all is renamed, and the others from all over. */
function chosenCalls({ calls }: FaultyDisk, most: number): number[] {
  const numbers = calls.flatMap((call, at) => (call === 'read' ? [] : [at + 1]));
  const early = numbers.slice(0, -most / 2);
  const step = early.length / (most / 2);
  return [
    ...early.filter((_, at) => Math.floor(at / step) !== Math.floor((at - 1) / step)),
    ...numbers.slice(-most / 2),
  ];
}

/** The tracker names a checkpoint that is all there, or there is none. */
async function requireWholeOrNone(output: string, tree: Record<string, string>, where: string): Promise<void> {
  if (!existsSync(join(output, TRACKER))) return;
  const found = Object.entries(await treeOf(output)).filter(([name]) => !name.startsWith(WORK_FOLDER));
  expect(Object.fromEntries(found), where).toEqual(tree);
}

describe.each(cases)('$name', (test) => {
  it('rows 33 and 34: stopped by a kill or a fault of the disk at any call, goes on to the same files', async () => {
    await withSources(test, async (root, { tree, files, disk }) => {
      const output = join(root, 'out');
      for (const [at, failing] of chosenCalls(disk, test.calls).entries()) {
        const isKilled = at % 2 === 0;
        const where = `${isKilled ? 'kill' : 'fault'} at call ${failing} of ${disk.calls.length}, ${disk.calls[failing - 1]}`;
        const faulty = faultyDisk({ failing, isKilled });
        const error = await test.write(root, output, faulty).catch((caught: unknown) => caught);
        expect(CptError.isInstance(error), `${where}: ${error}`).toBe(true);
        if (!isKilled) {
          const isFull = ['open', 'write', 'makeDirectory'].includes(disk.calls[failing - 1] ?? '');
          expect((error as CptError).code, where).toBe(isFull ? 'CPT_DISK_FULL' : 'CPT_DISK_FAILED');
          expect((error as CptError).message, where).toContain(output);
        } else if (existsSync(output)) await leaveDeadLock(join(output, WORK_FOLDER));
        await requireWholeOrNone(output, tree, where);
        const again = faultyDisk();
        const result = await test.write(root, output, again, { resume: true });
        expect(await treeOf(output), where).toEqual(tree);
        expect(result.files, where).toEqual(files);
        const written = rankFilesOpened(faulty).length + rankFilesOpened(again).length;
        expect(written, where).toBeLessThanOrEqual(files.length + test.sideBySide);
        await rm(output, { recursive: true });
      }
    });
  });

  it('does not mind short writes, nor being run again when all is done', async () => {
    await withSources(test, async (root, { tree, files }) => {
      const output = join(root, 'out');
      await test.write(root, output, faultyDisk({ isShort: true }));
      expect(await treeOf(output)).toEqual(tree);
      const again = faultyDisk();
      expect(await test.write(root, output, again, { resume: true })).toMatchObject({ resumed: true, files });
      expect(again.calls.filter((call) => call !== 'read')).toEqual([]);
      await appendFile(join(output, files[0]?.name ?? ''), 'x');
      const changed = test.write(root, output, again, { resume: true });
      await expect(changed).rejects.toMatchObject({ code: 'CPT_INPUT_OUTPUT_EXISTS' });
    });
  });

  it('is shared by parts, the last of which names it in the tracker', async () => {
    await withSources(test, async (root, { tree, files }) => {
      const output = join(root, 'out');
      const part = (index: number) => test.write(root, output, faultyDisk(), { part: { index, of: 2 } });
      const second = await part(2);
      expect(second.part).toMatchObject({ whole: false, outstanding: [1] });
      expect(await readdir(output)).toEqual([WORK_FOLDER]);
      const first = await part(1);
      expect(first.part?.whole).toBe(true);
      expect([...first.files, ...second.files]).toEqual(files);
      expect(await treeOf(output)).toEqual(tree);
      expect((await part(2)).part?.whole).toBe(true);
    });
  });

  it('row 35: does not go on with a source that changed, or for another grid', async () => {
    await withSources(test, async (root, { files }) => {
      const output = join(root, 'out');
      await interrupt(test, root, output, test.sideBySide);
      expect(readUnfinished(output)?.finished.size).toBe(files.length / 2);
      const mismatch = { code: 'CPT_INPUT_RESUME_MISMATCH' };
      const resumed = (changes: Changes) => test.write(root, output, faultyDisk(), { resume: true, ...changes });
      await expect(resumed({ padFill: 'zero' })).rejects.toMatchObject(mismatch);
      await expect(resumed(grid(2, 1))).rejects.toThrow(/pp was 2, now 1/);
      for (const folder of [join(root, 'hf'), join(root, 'ckpt')]) {
        for (const name of Object.keys(await treeOf(folder))) await utimes(join(folder, name), 5, 5);
      }
      await expect(resumed({})).rejects.toThrow(/\.(safetensors|pt) was modified/);
    });
  });
});

/** Stops a run when `files` files are finished. */
async function interrupt(test: Case, root: string, output: string, files: number): Promise<unknown> {
  const abort = new AbortController();
  const disk = faultyDisk();
  const seen = new Set<string>();
  const onProgress = ({ file }: { file: string }) => {
    seen.add(file);
    if (seen.size > files) abort.abort(new DOMException('interrupted by SIGINT', 'AbortError'));
  };
  return test.write(root, output, disk, { signal: abort.signal, onProgress }).catch((error: unknown) => error);
}

const [toMegatron] = cases as [Case];

describe('an interrupted to-megatron', () => {
  it('goes on behind the last whole stage, and is not begun over without being asked', async () => {
    await withSources(toMegatron, async (root, { tree, files }) => {
      const output = join(root, 'out');
      expect(await interrupt(toMegatron, root, output, 2)).toMatchObject({ message: 'interrupted by SIGINT' });
      expect(await readdir(output)).toEqual([WORK_FOLDER]);
      await expect(toMegatron.write(root, output, faultyDisk())).rejects.toThrow(
        'holds an unfinished conversion, 2 of 4 files; go on with --resume',
      );
      const disk = faultyDisk();
      expect(await toMegatron.write(root, output, disk, { resume: true })).toMatchObject({ resumed: true, files });
      expect(rankFilesOpened(disk).map((path) => path.split('/').at(-2))).toEqual(['mp_rank_00_001', 'mp_rank_01_001']);
      expect(await treeOf(output)).toEqual(tree);
    });
  });

  it('with --force keeps the older iteration until the new one is whole, and puts nothing of it into the new one', async () => {
    await withSources(toMegatron, async (root, { tree, disk: whole }) => {
      const output = join(root, 'out');
      const renames = whole.calls.flatMap((call, at) => (call === 'rename' ? [at + 1] : []));
      const older = { source: join(root, 'hf'), output, ...grid(1, 1) };
      for (const failing of renames) {
        await convertToMegatron(older);
        await writeFile(join(output, 'notes.txt'), 'mine');
        const before = await treeOf(output);
        const killed = faultyDisk({ failing, isKilled: true });
        await expect(toMegatron.write(root, output, killed, { force: true })).rejects.toThrow();
        if (failing === renames[0]) {
          const now = Object.entries(await treeOf(output)).filter(([name]) => !name.startsWith(WORK_FOLDER));
          expect(Object.fromEntries(now)).toEqual(before);
        }
        await toMegatron.write(root, output, faultyDisk(), { force: failing === renames[0], resume: true });
        const { 'notes.txt': notes, ...found } = await treeOf(output);
        expect(found).toEqual(tree);
        expect(notes).toBe(before['notes.txt']);
        await rm(output, { recursive: true });
      }
    });
  });

  it('leaves other iterations of the root alone', async () => {
    await withSources(toMegatron, async (root) => {
      const output = join(root, 'ckpt');
      const before = await treeOf(join(output, 'iter_0000005'));
      await toMegatron.write(root, output, faultyDisk(), { force: true, iteration: 9 });
      expect(await treeOf(join(output, 'iter_0000005'))).toEqual(before);
      expect(await readdir(output)).toContain('iter_0000009');
    });
  });
});

it('reshard refuses a rank file that changed while it was read', async () => {
  await withSources(cases[2] as Case, async (root) => {
    await cp(join(root, 'ckpt'), join(root, 'copy'), { recursive: true });
    const rankFile = join(root, 'copy', 'iter_0000005', 'mp_rank_00_000', 'model_optim_rng.pt');
    const onProgress = () => utimesSync(rankFile, 5, 5);
    const options = { source: join(root, 'copy'), output: join(root, 'out'), ...grid(1, 1), onProgress };
    await expect(reshardCheckpoint(options)).rejects.toThrow(
      'the source changed while it was converted: mp_rank_00_000',
    );
    expect(existsSync(join(root, 'out', TRACKER))).toBe(false);
  });
});
