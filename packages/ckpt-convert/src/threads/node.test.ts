import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FIXTURES, withDirectory } from '../../test/tiny-checkpoint.ts';
import { convertCheckpoint } from '../convert.ts';
import type { ConvertOptions } from '../convert-options.ts';
import { readUnfinished } from '../output/output-directory.ts';
import type { ThreadSetup } from './messages.ts';
import { executeInThreads } from './node.ts';

const source = join(FIXTURES, 'qwen2-uneven-first', 'megatron');
const maxShardBytes = 700;

async function contentOf(directory: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const name of (await readdir(directory)).sort()) {
    found[name] = createHash('sha256')
      .update(await readFile(join(directory, name)))
      .digest('hex');
  }
  return found;
}

describe('a conversion by several threads', () => {
  it.each([
    ['rank files', 'qwen2-uneven-first', 2],
    ['rank files with query_key_value in an old order', 'legacy-version-0', 3],
    ['torch_dist', 'dist-stacked', 2],
  ])('of %s writes what one thread writes', async (_, name, workers) => {
    await withDirectory(async (root) => {
      const options = { source: join(FIXTURES, name, 'megatron'), maxShardBytes };
      const expected = await convertCheckpoint({ ...options, output: join(root, 'one') });
      const progress: number[] = [];
      const found = await convertCheckpoint({
        ...options,
        output: join(root, 'many'),
        workers,
        onProgress: ({ doneBytes }) => void progress.push(doneBytes),
      });
      expect(expected.files.length).toBeGreaterThan(workers);
      expect(found.files).toEqual(expected.files);
      expect(await contentOf(join(root, 'many'))).toEqual(await contentOf(join(root, 'one')));
      expect(progress.at(-1)).toBe(found.bytes);
      expect(progress).toEqual(progress.toSorted((a, b) => a - b));
    });
  });

  it('in parts writes what one thread writes, and each file in one part only', async () => {
    await withDirectory(async (root) => {
      const expected = await convertCheckpoint({ source, output: join(root, 'one'), maxShardBytes });
      const output = join(root, 'many');
      const part = (index: number) =>
        convertCheckpoint({ source, output, maxShardBytes, workers: 2, part: { index, of: 2 } });
      const [second, first] = [await part(2), await part(1)];
      expect([second.part?.whole, first.part?.whole]).toEqual([false, true]);
      expect(Math.min(first.files.length, second.files.length)).toBeGreaterThan(1); // work for two threads
      expect([...first.files, ...second.files]).toEqual(expected.files);
      expect(await contentOf(output)).toEqual(await contentOf(join(root, 'one')));
    });
  });

  it('stops at once when it is aborted, and goes on with what is finished', async () => {
    await withDirectory(async (root) => {
      const output = join(root, 'hf');
      const options: ConvertOptions = { source, output, maxShardBytes, workers: 2 };
      const expected = await convertCheckpoint({ source, output: join(root, 'one'), maxShardBytes });
      const abort = new AbortController();
      const reason = new DOMException('interrupted by SIGINT', 'AbortError');
      const seen = new Set<string>();
      const onProgress = ({ file }: { file: string }) => {
        seen.add(file);
        if (seen.size === 3) abort.abort(reason);
      };
      await expect(convertCheckpoint({ ...options, signal: abort.signal, onProgress })).rejects.toBe(reason);
      const finished = readUnfinished(output)?.finished.size ?? 0;
      expect(finished).toBeGreaterThanOrEqual(1);
      expect(finished).toBeLessThan(expected.files.length);
      const { files, resumed } = await convertCheckpoint({ ...options, resume: true });
      expect([resumed, files]).toEqual([true, expected.files]);
      expect(await contentOf(output)).toEqual(await contentOf(join(root, 'one')));
    });
  });
});

describe('executeInThreads', () => {
  const shards = [1, 2].map((number) => ({ name: `model-0000${number}`, tensors: [], byteLength: 1 }));
  const setup = (from = join(source, 'iter_0000007')): ThreadSetup => ({
    task: { command: 'to-hf', source: from, ...{ open: {}, choice: {}, cast: {}, maxShardBytes } },
    ...{ plan: 'another', folder: source, digest: 'sha256' },
  });

  it('refuses a source that gives another plan than the one that was made', async () => {
    await expect(executeInThreads(shards, setup(), 2, {})).rejects.toThrow(
      expect.objectContaining({ code: 'CPT_INPUT_RESUME_MISMATCH' }),
    );
  });

  it('keeps the code of an error that a thread met', async () => {
    await withDirectory(async (root) => {
      await mkdir(join(root, 'empty'));
      await expect(executeInThreads(shards, setup(join(root, 'empty')), 1, {})).rejects.toThrow(
        expect.objectContaining({ code: expect.stringMatching(/^CPT_/), message: expect.stringContaining('empty') }),
      );
    });
  });
});
