import { existsSync } from 'node:fs';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FIXTURES, withDirectory } from '../test/tiny-checkpoint.ts';
import { runCommand } from './commands.ts';
import { convertCheckpoint } from './convert.ts';
import { VERIFICATION_FILE } from './verification-record.ts';
import { verifyAlone } from './verify-alone.ts';

const SOURCE = join(FIXTURES, 'qwen2-tp2-pp1', 'megatron');

async function run(...args: string[]) {
  const [stdout, stderr]: [string[], string[]] = [[], []];
  const output = { write: (text: string) => void stdout.push(text), log: (line: string) => void stderr.push(line) };
  const code = await runCommand(args, output);
  return { code, stdout: stdout.join(''), stderr: stderr.join('') };
}

/** A Hugging Face folder and a copy of the checkpoint it was made from. */
function withSides(use: (sides: { hf: string; megatron: string; root: string }) => Promise<void>): Promise<void> {
  return withDirectory(async (root) => {
    const [hf, megatron] = [join(root, 'hf'), join(root, 'megatron')];
    await convertCheckpoint({ source: SOURCE, output: hf });
    await cp(SOURCE, megatron, { recursive: true });
    await use({ hf, megatron, root });
  });
}

describe('one side by itself', () => {
  it('is sound in either format', async () => {
    await withSides(async ({ hf, megatron }) => {
      expect(await verifyAlone(hf)).toMatchObject({ ok: true, checks: [{ name: 'names', ok: true }] });
      const { ok, checks } = await verifyAlone(megatron);
      expect([ok, checks.map(({ name }) => name)]).toEqual([true, ['checksums', 'names', 'ranks']]);
    });
  });

  it('a flipped bit of a rank file, which torch loads without a word', async () => {
    await withSides(async ({ megatron }) => {
      const path = join(megatron, 'release/mp_rank_01/model_optim_rng.pt');
      const bytes = await readFile(path);
      bytes[bytes.indexOf('e040e040', bytes.length / 2, 'hex')] = 0xe1; // a padding row of the output table
      await writeFile(path, bytes);
      const { code, stdout } = await run('verify', megatron, '--json');
      const report = JSON.parse(stdout);
      expect([code, report.ok]).toEqual([1, false]);
      expect(report.checks.filter(({ ok }: { ok: boolean }) => !ok)).toEqual([
        { name: 'checksums', ok: false, detail: expect.stringContaining('CPT_ZIP_CRC') },
      ]);
    });
  });

  it('a config.json of another model', async () => {
    await withSides(async ({ hf }) => {
      const config = JSON.parse(await readFile(join(hf, 'config.json'), 'utf8'));
      await writeFile(join(hf, 'config.json'), JSON.stringify({ ...config, num_hidden_layers: 1 }));
      const { code, stdout } = await run('verify', hf);
      expect(code).toBe(1);
      expect(stdout).toContain('12 tensors are in no row of qwen2 with 1 layers');
      expect(stdout).toMatch(/not sound\s*$/);
    });
  });

  it('without args, by the config.json of its root', async () => {
    await withDirectory(async (root) => {
      await cp(join(FIXTURES, 'qwen2-no-args/megatron'), root, { recursive: true });
      await expect(verifyAlone(root)).rejects.toMatchObject({ code: 'CPT_CONFIG_MODEL' });
      await cp(join(FIXTURES, 'qwen2-no-args/reference/config.json'), join(root, 'config.json'));
      expect((await verifyAlone(root)).ok).toBe(true);
    });
  });
});

describe('two sides', () => {
  it('come in either order; only a result is marked as verified', async () => {
    await withSides(async ({ hf, megatron }) => {
      const swapped = await run('verify', megatron, '--against', hf);
      expect([swapped.code, swapped.stdout.trim().split('\n').at(-1)]).toEqual([0, 'equal']);
      expect(existsSync(join(hf, VERIFICATION_FILE))).toBe(false);
      await run('verify', hf, '--against', megatron);
      expect(existsSync(join(hf, VERIFICATION_FILE))).toBe(true);
    });
  });

  it('of a kind are refused, with the command that compares them', async () => {
    await withSides(async ({ hf, megatron }) => {
      for (const side of [hf, megatron]) {
        await expect(run('verify', side, '--against', side)).rejects.toMatchObject({
          code: 'CPT_INPUT_INVALID',
          message: expect.stringContaining('ckpt-convert diff'),
        });
      }
      await expect(run('verify', megatron, '--run', '--data', 'x')).rejects.toMatchObject({
        code: 'CPT_INPUT_INVALID',
      });
    });
  });
});

it('inspect and reshard take what describes a model without args from --reference', async () => {
  const [source, reference] = ['megatron', 'reference'].map((name) => join(FIXTURES, 'qwen2-no-args', name));
  const { stdout } = await run('inspect', source as string, '--reference', reference as string, '--json');
  expect(JSON.parse(stdout)).toMatchObject({ family: 'qwen2', tensorParallelSize: 2, pipelineParallelSize: 2 });
  await withDirectory(async (root) => {
    const output = join(root, 'out');
    await run('reshard', source as string, output, '--reference', reference as string);
    const resharded = JSON.parse((await run('inspect', output, '--json')).stdout);
    expect(resharded).toMatchObject({ tensorParallelSize: 1, pipelineParallelSize: 1 });
    const hf = join(root, 'hf');
    await run('to-hf', source as string, hf, '--reference', reference as string);
    expect((await run('diff', output, hf)).code).toBe(0);
  });
});
