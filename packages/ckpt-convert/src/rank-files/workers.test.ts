import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FIXTURES, TINY, withDirectory } from '../../test/tiny-checkpoint.ts';
import { writeTinyHf } from '../../test/tiny-hf.ts';
import { reshardCheckpoint } from '../reshard.ts';
import { convertToMegatron } from '../to-megatron.ts';

/** Every file below a folder. */
async function filesOf(folder: string): Promise<Map<string, Buffer>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return new Map(
    await Promise.all(paths.map(async (path) => [path.slice(folder.length), await readFile(path)] as const)),
  );
}

const GRID = { tensorParallelSize: 2, pipelineParallelSize: 2 };

describe('several threads write what one writes', () => {
  it.each(['torch', 'torch_dist'] as const)('to-megatron, format %s, a cast on the way', async (format) => {
    await withDirectory(async (root) => {
      const source = join(root, 'hf');
      await writeTinyHf(source, TINY);
      const options = { source, parallel: GRID, format, dtype: 'F32', allowCast: true } as const;
      const one = await convertToMegatron({ ...options, output: join(root, 'one') });
      const done: number[] = [];
      const onProgress = ({ doneBytes }: { doneBytes: number }) => void done.push(doneBytes);
      const three = await convertToMegatron({ ...options, output: join(root, 'three'), workers: 3, onProgress });
      expect(three.files).toEqual(one.files);
      expect(done.at(-1)).toBe(one.bytes);
      expect(await filesOf(join(root, 'three'))).toEqual(await filesOf(join(root, 'one')));
    });
  });

  it('reshard, stopped after its first file and continued with another number of threads', async () => {
    await withDirectory(async (root) => {
      const options = {
        source: join(FIXTURES, 'qwen2-tp2-pp2/megatron'),
        parallel: { tensorParallelSize: 1, pipelineParallelSize: 4 },
      };
      const [one, stopped] = [join(root, 'one'), join(root, 'stopped')];
      const { files, bytes } = await reshardCheckpoint({ ...options, output: one });
      expect(files).toHaveLength(4);
      const controller = new AbortController();
      let isStopped = false;
      const first = reshardCheckpoint({
        ...options,
        output: stopped,
        workers: 2,
        signal: controller.signal,
        onProgress: ({ doneBytes }) => {
          if (isStopped || doneBytes === 0 || doneBytes === bytes) return;
          isStopped = true;
          controller.abort(new Error('enough'));
        },
      });
      await expect(first).rejects.toThrow('enough');
      const resumed = await reshardCheckpoint({ ...options, output: stopped, workers: 3, resume: true });
      expect(resumed.files).toEqual(files);
      expect(await filesOf(stopped)).toEqual(await filesOf(one));
    });
  });
});
