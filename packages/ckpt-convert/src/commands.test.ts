import { existsSync } from 'node:fs';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FIXTURES, withDirectory } from '../test/tiny-checkpoint.ts';
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

describe('to-hf', () => {
  it('ends with one JSON object on stdout; words go to stderr', async () => {
    await withDirectory(async (root) => {
      const { code, stdout, stderr } = await run(
        'to-hf',
        source,
        join(root, 'hf'),
        '--json',
        '--max-shard-size',
        '2kB',
      );
      expect(code).toBe(0);
      const lines = stdout.trim().split('\n');
      const result = JSON.parse(lines.at(-1) ?? '');
      expect(result).toMatchObject({ tensors: 39, resumed: false, iteration: 7, files: expect.any(Array) });
      expect(Object.keys(result)).toEqual(expect.arrayContaining(['bytes', 'seconds', 'cpuSeconds', 'peakRssBytes']));
      expect(result).not.toHaveProperty('plan');
      expect(result.files[0]).toEqual({
        name: expect.stringMatching(/^model-00001-of-/),
        bytes: expect.any(Number),
        sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
      });
      expect(stderr).toContain('padding rows cut');
      expect(await readdir(join(root, 'hf'))).toContain('model.safetensors.index.json');
    });
  });

  it('says what it did, for people', async () => {
    await withDirectory(async (root) => {
      const { stdout } = await run('to-hf', source, join(root, 'hf'));
      expect(stdout).toContain('39 tensors');
      expect(stdout).toContain('from iteration 7, TP 2 × PP 2');
    });
  });

  it('gives null for a digest that was not asked for', async () => {
    await withDirectory(async (root) => {
      const { stdout } = await run('to-hf', source, join(root, 'hf'), '--digest', 'none', '--json');
      const { files } = JSON.parse(stdout);
      expect(files).toEqual([{ name: 'model.safetensors', bytes: expect.any(Number), sha256: null }]);
    });
  });

  it('shows the plan and writes nothing with --dry-run', async () => {
    await withDirectory(async (root) => {
      const { stdout } = await run('to-hf', source, join(root, 'hf'), '--dry-run');
      expect(stdout).toContain(
        'model.layers.2.self_attn.q_proj.weight BF16 [8, 8] ← decoder.layers.2.self_attention.linear_qkv.weight, 2 shards',
      );
      const json = JSON.parse((await run('to-hf', source, join(root, 'hf'), '--dry-run', '--json')).stdout);
      expect(json.plan.tensorCount).toBe(39);
      expect(existsSync(join(root, 'hf'))).toBe(false);
    });
  });

  it('passes its options on', async () => {
    await withDirectory(async (root) => {
      await writeFile(join(root, 'config.json'), '{"model_type":"qwen2","sliding_window":99}');
      const flags = ['--reference', root, '--vocab-size', '12', '--iteration', '7', '--json'];
      const { stdout, stderr } = await run('to-hf', source, join(root, 'hf'), ...flags);
      expect(JSON.parse(stdout).model.vocabSize).toBe(12);
      expect(stderr).toContain('config.json: vocab_size absent → 12');
    });
  });

  it.each([
    [['--vocab-size', 'many'], '--vocab-size "many" cannot be used; give a whole number'],
    [['--max-shard-size', '0'], '--max-shard-size "0" cannot be used'],
    [['--workers', '0'], '--workers "0" cannot be used; give a number from 1 on'],
    [['--digest', 'md5'], '--digest "md5" cannot be used; give sha256 or none'],
    [['--iteration', '8'], 'no iter_0000008'],
  ])('refuses %j', async (flags, message) => {
    await withDirectory(async (root) => {
      await expect(run('to-hf', source, join(root, 'hf'), ...flags)).rejects.toThrow(message);
    });
  });

  it('stops at a signal and removes what it wrote', async () => {
    await withDirectory(async (root) => {
      const reason = new DOMException('interrupted by SIGINT', 'AbortError');
      const output = { write: () => {}, log: () => {} };
      const running = runCommand(['to-hf', source, join(root, 'hf')], output, AbortSignal.abort(reason));
      await expect(running).rejects.toBe(reason);
      expect(await readdir(root)).toEqual([]);
    });
  });
});

describe('inspect', () => {
  it('gives the facts as JSON', async () => {
    const { code, stdout } = await run('inspect', source, '--json');
    expect(code).toBe(0);
    const facts = JSON.parse(stdout);
    expect(facts).toMatchObject({
      format: 'torch',
      iteration: 7,
      family: 'qwen2',
      tensorParallelSize: 2,
      pipelineParallelSize: 2,
      virtualStages: 1,
      problems: [],
    });
    expect(facts.layersPerStage).toEqual([1, 2]);
    expect(facts.parameters).toContainEqual({
      name: 'decoder.layers.2.self_attention.linear_qkv.bias',
      shape: [16],
      dtype: 'BF16',
    });
  });

  it('lists parameters for people', async () => {
    const { stdout } = await run('inspect', source);
    expect(stdout).toContain('embedding.word_embeddings.weight BF16 [16, 8]');
    expect(stdout).toContain('TP 2 × PP 2, layers 1 + 2');
  });
});

describe('verify', () => {
  it('ends with 0 for an equal folder and 1 for another', async () => {
    await withDirectory(async (root) => {
      const hf = join(root, 'hf');
      await run('to-hf', source, hf);
      const equal = await run('verify', hf, '--against', source, '--json');
      expect([equal.code, JSON.parse(equal.stdout).ok]).toEqual([0, true]);
      const other = await run('verify', hf, '--against', join(FIXTURES, 'qwen2-mqa', 'megatron'));
      expect(other.code).toBe(1);
      expect(other.stdout).toContain('not equal');
      expect((await run('verify', hf, '--against', source)).stdout).toContain('39 tensors');
    });
  });
});

describe('wrong use', () => {
  it.each([
    [['frobnicate']],
    [['plan']],
    [['plan', 'inspect', 'x']],
    [['verify']],
    [['to-hf', 'x']],
    [['inspect', 'x', '--nope']],
  ])('%j ends with 2', async (args) => {
    const { code, stderr } = await run(...args);
    expect(code).toBe(2);
    expect(stderr).toContain('error:');
  });

  it('help ends with 0', async () => {
    const { code, stdout } = await run('--help');
    expect(code).toBe(0);
    expect(stdout).toContain('to-hf');
  });
});
