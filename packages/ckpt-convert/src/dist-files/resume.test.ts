import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { TINY, withDirectory } from '../../test/tiny-checkpoint.ts';
import { writeTinyHf } from '../../test/tiny-hf.ts';
import { convertToMegatron } from '../to-megatron.ts';

it('a distributed checkpoint that was interrupted in its second stage is gone on with, and becomes what it would have been', async () => {
  await withDirectory(async (root) => {
    const source = join(root, 'hf');
    await writeTinyHf(source, TINY);
    const parallel = { tensorParallelSize: 2, pipelineParallelSize: 2 };
    const options = { source, parallel, format: 'torch_dist' as const };
    const [output, other] = [join(root, 'a'), join(root, 'b')];
    const abort = new AbortController();
    const reason = new DOMException('enough', 'AbortError');
    const onProgress = ({ file }: { file: string }) => {
      if (file.endsWith('__2_0.distcp')) abort.abort(reason);
    };
    const running = convertToMegatron({ ...options, output, onProgress, signal: abort.signal });
    await expect(running).rejects.toBe(reason);
    expect(await readdir(output)).toEqual(['.ckpt-convert']); // nothing that a loader would take
    const resumed = await convertToMegatron({ ...options, output, resume: true });
    const whole = await convertToMegatron({ ...options, output: other });
    expect(resumed.resumed).toBe(true);
    expect(resumed.files).toEqual(whole.files);
    for (const name of ['.metadata', 'common.pt', 'metadata.json']) {
      const [a, b] = await Promise.all([output, other].map((each) => readFile(join(each, 'release', name))));
      expect(a?.equals(b as Buffer), name).toBe(true);
    }
    expect(await readFile(join(output, 'latest_checkpointed_iteration.txt'), 'utf8')).toBe('release');
  });
});
