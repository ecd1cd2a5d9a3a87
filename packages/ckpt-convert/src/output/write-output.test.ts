import { existsSync, utimesSync } from 'node:fs';
import { appendFile, cp, mkdir, readdir, readFile, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { CptError } from '@pai-cpt/core';
import { describe, expect, it } from 'vitest';
import { faultyDisk } from '../../test/faulty-disk.ts';
import { leaveDeadLock, treeOf } from '../../test/folders.ts';
import { FIXTURES, randomTensors, TINY, withDirectory } from '../../test/tiny-checkpoint.ts';
import { convertCheckpoint, convertOnDisk } from '../convert.ts';
import type { ConvertOptions } from '../convert-options.ts';
import { verifyCheckpoint } from '../verify.ts';
import { writeMegatronRankFiles } from '../write-torch.ts';
import { readUnfinished, WORK_FOLDER } from './output-directory.ts';

const source = join(FIXTURES, 'qwen2-uneven-first', 'megatron');
const maxShardBytes = 700;
const INDEX = 'model.safetensors.index.json';

/** Name → sha256 of the files that a reader looks at. */
async function filesOf(directory: string): Promise<Record<string, string>> {
  const found = Object.entries(await treeOf(directory));
  return Object.fromEntries(found.filter(([name]) => !name.startsWith(WORK_FOLDER)));
}

async function expectedContent(root: string, changes: Partial<ConvertOptions> = {}) {
  const output = join(root, 'expected');
  const disk = faultyDisk();
  const { files } = await convertOnDisk({ source, output, maxShardBytes, ...changes }, disk);
  return { content: await treeOf(output), files, disk };
}

const shardsOpened = (paths: readonly string[]) =>
  paths.filter((path) => path.endsWith('.safetensors')).map((path) => basename(path));

/** Stops a conversion when `files` output shards are finished. */
async function interrupt(options: ConvertOptions, files: number): Promise<unknown> {
  const abort = new AbortController();
  const reason = new DOMException('interrupted by SIGINT', 'AbortError');
  const seen = new Set<string>();
  const onProgress = ({ file }: { file: string }) => {
    seen.add(file);
    if (seen.size > files) abort.abort(reason);
  };
  return convertCheckpoint({ maxShardBytes, ...options, signal: abort.signal, onProgress }).catch((error) => error);
}

/** One rank file of one layer, without padding rows to read: few calls. */
async function writeSource(root: string): Promise<string> {
  const model = { ...TINY, layers: 1, vocabSize: 128 };
  const parallel = { tensorParallelSize: 1, pipelineParallelSize: 1 };
  const directory = join(root, 'ckpt');
  const tensors = randomTensors(model, 'BF16');
  await writeMegatronRankFiles({ directory, iteration: 1, model, parallel, tensors, dtype: 'BF16' });
  return directory;
}

describe('a call to the disk that fails', () => {
  it('row 34: leaves a clean error, no finished folder, and what --resume needs, whichever call it is', async () => {
    await withDirectory(async (root) => {
      const source = await writeSource(root);
      const { content, files, disk } = await expectedContent(root, { source });
      const total = disk.calls.length;
      const seen = { full: 0, failed: 0, resumed: 0 };
      for (let failing = 1; failing <= total; failing++) {
        const output = join(root, `out-${failing}`);
        const faulty = faultyDisk({ failing });
        const where = `call ${failing} of ${total}, ${disk.calls[failing - 1]}`;
        const error = await convertOnDisk({ source, output, maxShardBytes }, faulty).catch((caught) => caught);
        expect(CptError.isInstance(error), `${where}: ${error}`).toBe(true);
        expect(error.code, where).toBe(
          ['open', 'write'].includes(disk.calls[failing - 1] ?? '') ? 'CPT_DISK_FULL' : 'CPT_DISK_FAILED',
        );
        const isRead = disk.calls[failing - 1] === 'read';
        expect(error.message, where).toContain(isRead ? source : output);
        expect(error.message, where).toContain(isRead ? 'model_optim_rng.pt: reading bytes' : '--resume');
        seen[error.code === 'CPT_DISK_FULL' ? 'full' : 'failed']++;
        // The name that makes a folder whole comes after all others: it may be there only when the rest is.
        const isWhole = existsSync(join(output, INDEX));
        expect(isWhole, where).toBe(failing > disk.calls.lastIndexOf('rename') + 1);
        if (isWhole) expect(await filesOf(output), where).toEqual(content);
        const again = faultyDisk();
        const result = await convertOnDisk({ source, output, maxShardBytes, resume: true }, again);
        expect(await treeOf(output), where).toEqual(content);
        expect(result.files, where).toEqual(files);
        const written = [...shardsOpened(faulty.opened), ...shardsOpened(again.opened)];
        expect(written.length, where).toBeLessThanOrEqual(files.length + 1);
        if (result.resumed) seen.resumed++;
        await rm(output, { recursive: true });
      }
      expect(seen.full).toBeGreaterThan(30);
      expect(seen.failed).toBeGreaterThan(30);
      expect(seen.resumed).toBeGreaterThan(50);
    });
  });

  it('is named as a quota that is used up where it is one', async () => {
    await withDirectory(async (root) => {
      const { calls } = (await expectedContent(root)).disk;
      const disk = faultyDisk({ failing: calls.lastIndexOf('write') + 1, codeOfWrite: 'EDQUOT' });
      const failing = convertOnDisk({ source, output: join(root, 'hf'), maxShardBytes }, disk);
      await expect(failing).rejects.toThrow('the quota is used up (EDQUOT on writing); make room');
    });
  });

  it('does not matter when it only writes less than asked', async () => {
    await withDirectory(async (root) => {
      const { content } = await expectedContent(root);
      await convertOnDisk({ source, output: join(root, 'hf'), maxShardBytes }, faultyDisk({ isShort: true }));
      expect(await treeOf(join(root, 'hf'))).toEqual(content);
    });
  });

  it('ends with an error when it takes nothing at all, instead of never', async () => {
    await withDirectory(async (root) => {
      const disk = { ...faultyDisk(), write: () => 0 };
      await expect(convertOnDisk({ source, output: join(root, 'hf') }, disk)).rejects.toThrow(
        expect.objectContaining({ code: 'CPT_DISK_FAILED', message: expect.stringContaining('takes no more') }),
      );
      expect(existsSync(join(root, 'hf'))).toBe(false);
    });
  });
});

describe('an interrupted conversion', () => {
  it('goes on where it stopped, and the folder is as if it had never been', async () => {
    await withDirectory(async (root) => {
      const output = join(root, 'hf');
      const { content, files } = await expectedContent(root);
      expect(await interrupt({ source, output }, 2)).toMatchObject({
        name: 'AbortError',
        message: 'interrupted by SIGINT',
      });
      expect(await readdir(output)).toEqual([WORK_FOLDER]);
      expect(await readdir(join(output, WORK_FOLDER))).toEqual(['journal', files[0]?.name, files[1]?.name]);
      const disk = faultyDisk();
      const result = await convertOnDisk({ source, output, maxShardBytes, resume: true }, disk);
      expect(result.resumed).toBe(true);
      expect(shardsOpened(disk.opened)).toEqual(files.slice(2).map(({ name }) => name));
      expect(result.files).toEqual(files);
      expect(await treeOf(output)).toEqual(content);
    });
  });

  it('is not begun over, nor continued, without being asked', async () => {
    await withDirectory(async (root) => {
      const output = join(root, 'hf');
      const { content, files } = await expectedContent(root);
      await interrupt({ source, output }, 2);
      await expect(convertCheckpoint({ source, output, maxShardBytes })).rejects.toThrow(
        `holds an unfinished conversion, 2 of ${files.length} files; go on with --resume or start over with --force`,
      );
      const result = await convertCheckpoint({ source, output, maxShardBytes, force: true });
      expect(result.resumed).toBe(false);
      expect(await treeOf(output)).toEqual(content);
    });
  });

  it('row 38: counts as not done for who verifies it', async () => {
    await withDirectory(async (root) => {
      const output = join(root, 'hf');
      await interrupt({ source, output }, 2);
      await expect(verifyCheckpoint({ hf: output, against: source })).rejects.toThrow(
        'its conversion is not finished: 2 of',
      );
    });
  });

  it('writes a shard again that is shorter than it was', async () => {
    await withDirectory(async (root) => {
      const output = join(root, 'hf');
      const { content, files } = await expectedContent(root);
      await interrupt({ source, output }, 2);
      await truncate(join(output, WORK_FOLDER, files[1]?.name ?? ''), 100);
      await convertCheckpoint({ source, output, maxShardBytes, resume: true });
      expect(await treeOf(output)).toEqual(content);
    });
  });

  it('lives with a journal whose last line a kill cut', async () => {
    await withDirectory(async (root) => {
      const output = join(root, 'hf');
      const { content } = await expectedContent(root);
      await interrupt({ source, output }, 2);
      await appendFile(join(output, WORK_FOLDER, 'journal'), '{"shard":{"name":"model-0');
      await interrupt({ source, output, resume: true }, 1);
      expect(readUnfinished(output)?.finished.size).toBe(3);
      await convertCheckpoint({ source, output, maxShardBytes, resume: true });
      expect(await treeOf(output)).toEqual(content);
    });
  });

  it('with --force keeps the older model whole until the new one is', async () => {
    await withDirectory(async (root) => {
      const output = join(root, 'hf');
      await convertCheckpoint({ source, output, maxShardBytes });
      const before = await treeOf(output);
      const changes = { vocabSize: 12 };
      const { content } = await expectedContent(root, changes);
      await interrupt({ source, output, force: true, ...changes }, 2);
      const { [WORK_FOLDER]: _, ...kept } = Object.fromEntries(
        (await readdir(output)).map((name) => [name, before[name]]),
      );
      expect(kept).toEqual(before);
      expect((await verifyCheckpoint({ hf: output, against: source })).ok).toBe(true);
      await convertCheckpoint({ source, output, maxShardBytes, resume: true, ...changes });
      expect(await treeOf(output)).toEqual(content);
    });
  });

  it('is what --resume begins where there is none', async () => {
    await withDirectory(async (root) => {
      const { resumed } = await convertCheckpoint({ source, output: join(root, 'hf'), resume: true });
      expect(resumed).toBe(false);
      await writeFile(join(root, 'hf', 'model.safetensors'), 'mine');
      await expect(convertCheckpoint({ source, output: join(root, 'hf'), resume: true })).rejects.toThrow(
        'holds something else',
      );
    });
  });
});

describe('a conversion that was killed', () => {
  const leaveLock = (output: string) => leaveDeadLock(join(output, WORK_FOLDER));

  it('row 33: at any call to the disk goes on to the same folder, and leaves nothing else in it', async () => {
    await withDirectory(async (root) => {
      const source = await writeSource(root);
      const maxShardBytes = 3000;
      const { content, files, disk } = await expectedContent(root, { source, maxShardBytes });
      const total = disk.calls.length;
      const changes = disk.calls.flatMap((call, at) => (call === 'read' ? [] : [at + 1]));
      for (const failing of changes) {
        const output = join(root, `out-${failing}`);
        const where = `call ${failing} of ${total}, ${disk.calls[failing - 1]}`;
        const killed = faultyDisk({ failing, isKilled: true });
        await expect(convertOnDisk({ source, output, maxShardBytes }, killed), where).rejects.toThrow();
        await leaveLock(output);
        const again = faultyDisk();
        const result = await convertOnDisk({ source, output, maxShardBytes, resume: true }, again);
        expect(await treeOf(output), where).toEqual(content);
        expect(result.files, where).toEqual(files);
        const written = shardsOpened(killed.opened).length + shardsOpened(again.opened).length;
        expect(written, where).toBeLessThanOrEqual(files.length + 1);
        await rm(output, { recursive: true });
      }
    });
  });

  it('behind its last rename is finished for --resume, and in the way of a plain run that tidies up all the same', async () => {
    await withDirectory(async (root) => {
      const { content, files, disk } = await expectedContent(root);
      const renamed = disk.calls.lastIndexOf('rename') + 1;
      for (let failing = renamed + 1; failing <= disk.calls.length; failing++) {
        const output = join(root, 'hf');
        const killed = faultyDisk({ failing, isKilled: true });
        await expect(convertOnDisk({ source, output, maxShardBytes }, killed)).rejects.toThrow();
        await leaveLock(output);
        await cp(output, join(root, 'plain'), { recursive: true });
        const plain = convertCheckpoint({ source, output: join(root, 'plain'), maxShardBytes });
        const isNoted = failing > disk.calls.indexOf('open', renamed) + 2; // opened, written
        await expect(plain).rejects.toThrow(isNoted ? 'plain: holds config.json' : 'go on with --resume');
        if (isNoted) expect(await treeOf(join(root, 'plain'))).toEqual(content);
        const again = faultyDisk();
        const result = await convertOnDisk({ source, output, maxShardBytes, resume: true }, again);
        expect(result).toMatchObject({ resumed: true, files });
        expect(shardsOpened(again.opened)).toEqual([]);
        expect(await treeOf(output)).toEqual(content);
        await rm(output, { recursive: true });
        await rm(join(root, 'plain'), { recursive: true });
      }
    });
  });

  it('with nothing but its lock left is cleared away, whatever is asked', async () => {
    await withDirectory(async (root) => {
      const output = join(root, 'hf');
      await leaveLock(output);
      const { files } = await convertCheckpoint({ source, output });
      await leaveLock(output);
      await expect(convertCheckpoint({ source, output })).rejects.toThrow('holds config.json, model.safetensors');
      expect(await readdir(output)).toEqual(['config.json', 'model.safetensors']);
      await leaveLock(output);
      expect(await convertCheckpoint({ source, output, resume: true })).toMatchObject({ resumed: true, files });
      expect(await readdir(output)).toEqual(['config.json', 'model.safetensors']);
    });
  });
});

describe('--resume is refused', () => {
  const refused = (root: string, changes: Partial<ConvertOptions> = {}) =>
    convertCheckpoint({
      source: join(root, 'ckpt'),
      output: join(root, 'hf'),
      maxShardBytes,
      resume: true,
      ...changes,
    });
  const mismatch = (message: string) =>
    expect.objectContaining({ code: 'CPT_INPUT_RESUME_MISMATCH', message: expect.stringContaining(message) });

  async function begun(body: (root: string, rankFile: string) => Promise<void>): Promise<void> {
    await withDirectory(async (root) => {
      await cp(source, join(root, 'ckpt'), { recursive: true, preserveTimestamps: true });
      await interrupt({ source: join(root, 'ckpt'), output: join(root, 'hf') }, 2);
      const before = await treeOf(join(root, 'hf', WORK_FOLDER));
      await body(root, join(root, 'ckpt', 'iter_0000007', 'mp_rank_01_001', 'model_optim_rng.pt'));
      expect(await treeOf(join(root, 'hf', WORK_FOLDER))).toEqual(before);
    });
  }

  it('row 35: for a rank file with another time', async () => {
    await begun(async (root, rankFile) => {
      await utimes(rankFile, 1, 1);
      await expect(refused(root)).rejects.toThrow(mismatch('mp_rank_01_001/model_optim_rng.pt was modified'));
    });
  });

  it('for a rank file with other content of the same size and time', async () => {
    await begun(async (root, rankFile) => {
      const { atime, mtime } = await stat(rankFile);
      const bytes = await readFile(rankFile);
      // One checksum and one data byte: what a training run that writes the same shapes changes.
      const entry = bytes.indexOf('PK\x01\x02');
      bytes[entry + 16] = (bytes[entry + 16] ?? 0) ^ 1;
      const local = bytes.readUInt32LE(entry + 42);
      bytes[local + 14] = (bytes[local + 14] ?? 0) ^ 1;
      await writeFile(rankFile, bytes);
      await utimes(rankFile, atime, mtime);
      await expect(refused(root)).rejects.toThrow();
    });
  });

  it('for another size of the output shards, and another vocabulary', async () => {
    await begun(async (root) => {
      await expect(refused(root, { maxShardBytes: 3000 })).rejects.toThrow(mismatch('maxShardBytes was 700, now 3000'));
      await expect(refused(root, { vocabSize: 12 })).rejects.toThrow(mismatch('vocabSize was'));
    });
  });

  it('for a journal that is not ours', async () => {
    await begun(async (root) => {
      const journal = join(root, 'hf', WORK_FOLDER, 'journal');
      const text = await readFile(journal, 'utf8');
      await writeFile(journal, `{"hello":1}\n${text}`);
      await expect(refused(root)).rejects.toThrow(mismatch('journal line 1: is not what this version writes'));
      await writeFile(journal, text);
    });
  });
});

it('refuses to finish when the source changed meanwhile', async () => {
  await withDirectory(async (root) => {
    await cp(source, join(root, 'ckpt'), { recursive: true });
    const rankFile = join(root, 'ckpt', 'iter_0000007', 'mp_rank_00_000', 'model_optim_rng.pt');
    const disk = faultyDisk();
    const touching = {
      ...disk,
      rename: (from: string, to: string) => disk.rename(from, to),
      open(path: string, flags: 'w' | 'a') {
        if (path.includes('model-00002')) utimesSync(rankFile, 5, 5);
        return disk.open(path, flags);
      },
    };
    const output = join(root, 'hf');
    const converting = convertOnDisk({ source: join(root, 'ckpt'), output, maxShardBytes }, touching);
    await expect(converting).rejects.toThrow('the source changed while it was converted: mp_rank_00_000');
    expect(existsSync(join(output, INDEX))).toBe(false);
  });
});

it('goes on after a commit that was cut: files under final names are not written again', async () => {
  await withDirectory(async (root) => {
    const { content, disk, files } = await expectedContent(root);
    const renames = disk.calls.flatMap((call, at) => (call === 'rename' ? [at + 1] : []));
    const output = join(root, 'hf');
    await mkdir(output);
    await expect(
      convertOnDisk({ source, output, maxShardBytes }, faultyDisk({ failing: renames.at(-1) ?? 0 })),
    ).rejects.toThrow(INDEX);
    expect(await readdir(output)).toEqual([WORK_FOLDER, 'config.json', ...files.map(({ name }) => name)]);
    await expect(convertCheckpoint({ source, output, maxShardBytes })).rejects.toThrow(
      'holds an unfinished conversion',
    );
    const again = faultyDisk();
    const { resumed } = await convertOnDisk({ source, output, maxShardBytes, resume: true }, again);
    expect([resumed, shardsOpened(again.opened)]).toEqual([true, []]);
    expect(await treeOf(output)).toEqual(content);
  });
});
