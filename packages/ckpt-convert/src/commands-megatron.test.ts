import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FIXTURES, TINY, withDirectory } from '../test/tiny-checkpoint.ts';
import { writeTinyHf } from '../test/tiny-hf.ts';
import { runCommand } from './commands.ts';

const source = join(FIXTURES, 'qwen2-uneven-first', 'megatron');

async function run(...args: string[]) {
  const [stdout, stderr]: [string[], string[]] = [[], []];
  const output = {
    write: (text: string) => void stdout.push(text),
    log: (line: string) => void stderr.push(`${line}\n`),
  };
  const code = await runCommand(args, output);
  return { code, stdout: stdout.join(''), stderr: stderr.join('') };
}

const RESULT_KEYS = ['tensors', 'bytes', 'files', 'seconds', 'cpuSeconds', 'peakRssBytes', 'resumed'];

it.each(['to-megatron', 'reshard'])('%s refuses to write with no thread', async (command) => {
  await withDirectory(async (root) => {
    await expect(run(command, source, join(root, 'out'), '--workers', '0')).rejects.toMatchObject({
      code: 'CPT_INPUT_INVALID',
      message: '--workers "0" cannot be used; give a number from 1 on',
    });
    expect(await readdir(root)).toEqual([]);
  });
});

describe('to-megatron', () => {
  it('ends with one JSON object and takes every option', async () => {
    await withDirectory(async (root) => {
      const [hf, output] = [join(root, 'hf'), join(root, 'ckpt')];
      await writeTinyHf(hf, { ...TINY, layers: 6 });
      const grid = ['--tp', '2', '--pp', '2', '--vpp', '2', '--first', '2', '--spec', 'local', '--iteration', '9'];
      const rows = ['--vocab-size', '10', '--make-vocab-size-divisible-by', '3', '--pad-fill', 'zero'];
      const cast = ['--format', 'torch', '--dtype', 'f32', '--allow-cast', '--workers', '2', '--json'];
      const { code, stdout, stderr } = await run('to-megatron', hf, output, ...grid, ...rows, ...cast);
      expect(code).toBe(0);
      const result = JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
      expect(Object.keys(result)).toEqual(expect.arrayContaining(RESULT_KEYS));
      expect(result).toMatchObject({
        iteration: 9,
        paddedVocabSize: 12,
        resumed: false,
        parallel: { tensorParallelSize: 2, pipelineParallelSize: 2, virtualStages: 2 },
        tensors: 45,
      });
      expect(result.files[0]).toEqual({
        name: 'iter_0000009/mp_rank_00_000/model_optim_rng.pt',
        bytes: expect.any(Number),
        sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
      });
      expect(result.loadFlags).toContain('--num-virtual-stages-per-pipeline-rank 2');
      expect(stderr).toContain('torch_dtype "bfloat16" → "float32"');
    });
  });

  it('writes a distributed checkpoint', async () => {
    await withDirectory(async (root) => {
      const [hf, output] = [join(root, 'hf'), join(root, 'ckpt')];
      await writeTinyHf(hf, TINY);
      const { stdout } = await run('to-megatron', hf, output, '--tp', '2', '--pp', '1', '--format', 'torch_dist');
      expect(stdout).toContain('--ckpt-format torch_dist');
      const files = ['.metadata', '__0_0.distcp', '__1_0.distcp', 'common.pt', 'metadata.json'];
      expect((await readdir(join(output, 'release'))).sort()).toEqual(files);
      const { code } = await run('diff', hf, output);
      expect(code).toBe(0);
    });
  });

  it('says for people what was written and how it is loaded', async () => {
    await withDirectory(async (root) => {
      const [hf, output] = [join(root, 'hf'), join(root, 'ckpt')];
      await writeTinyHf(hf, TINY);
      const { stdout } = await run('to-megatron', hf, output, '--tp', '2', '--pp', '1');
      expect(stdout).toContain('release, 17 parameters');
      expect(stdout).toContain('load with: --load');
      expect(await readdir(output)).toContain('release');
    });
  });

  it.each([
    [['--spec', 'nemo'], '--spec "nemo" cannot be used; give te or local'],
    [['--format', 'zarr'], '--format "zarr" cannot be used; give torch or torch_dist'],
    [['--dtype', 'f8'], '--dtype "f8" cannot be used'],
    [['--iteration', 'last'], '--iteration "last" cannot be used'],
    [['--make-vocab-size-divisible-by', '0'], 'give a number from 1 on'],
  ])('refuses %j', async (flags, message) => {
    await withDirectory(async (root) => {
      const running = run('to-megatron', root, join(root, 'x'), '--tp', '1', '--pp', '1', ...flags);
      await expect(running).rejects.toThrow(message);
    });
  });
});

describe('reshard and diff', () => {
  it('another grid is equal, another model is not', async () => {
    await withDirectory(async (root) => {
      const output = join(root, 'ckpt');
      const { code, stdout, stderr } = await run('reshard', source, output, '--tp', '1', '--pp', '3', '--json');
      expect(code).toBe(0);
      const result = JSON.parse(stdout);
      expect(Object.keys(result)).toEqual(expect.arrayContaining(RESULT_KEYS));
      expect(result).toMatchObject({ iteration: 7, parallel: { tensorParallelSize: 1, pipelineParallelSize: 3 } });
      expect(stderr).toContain('optimizer and random states are not resharded');
      const equal = await run('diff', source, output, '--json');
      expect([equal.code, JSON.parse(equal.stdout)]).toEqual([
        0,
        { equal: true, compared: 39, different: 0, missing: 0, tensors: [] },
      ]);
      const other = await run('diff', join(FIXTURES, 'qwen2-mqa', 'megatron'), output);
      expect(other.code).toBe(1);
      expect(other.stdout).toContain('not equal');
      expect(other.stdout).toMatch(/model\.embed_tokens\.weight: .*elements differ, by at most/);
    });
  });

  it('keeps no iteration with --as-release', async () => {
    await withDirectory(async (root) => {
      const output = join(root, 'ckpt');
      await run('reshard', source, output, '--tp', '1', '--pp', '1', '--iteration', '7', '--as-release', '--force');
      expect(await readdir(output)).toContain('release');
    });
  });
});
