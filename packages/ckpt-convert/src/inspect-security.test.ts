import { existsSync } from 'node:fs';
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { argsOf, callOf, oldTorchFileOf, pickleOf, torchZipOf } from '../test/attack-files.ts';
import { FIXTURES, withDirectory } from '../test/tiny-checkpoint.ts';
import { runCommand } from './commands.ts';
import { inspectSecurity } from './inspect-security.ts';

const fixture = (name: string) => join(FIXTURES, name, 'megatron');

async function run(...args: string[]) {
  const stdout: string[] = [];
  const code = await runCommand(args, { write: (text) => void stdout.push(text), log: () => {} });
  return { code, stdout: stdout.join('') };
}

const namesOf = (report: Awaited<ReturnType<typeof inspectSecurity>>, builds: string) => {
  const globals = report.files.flatMap(({ pickles }) => pickles.flatMap((pickle) => pickle.globals));
  return [...new Set(globals.filter((global) => global.builds === builds).map(({ name }) => name))].sort();
};

describe('a checkpoint without an attack', () => {
  it.each([
    ['qwen2-tp2-pp2', 4],
    ['legacy-version-0', 2],
  ])('%s: every global of every rank file', async (name, files) => {
    const report = await inspectSecurity(fixture(name));
    expect(report).toMatchObject({ ok: true, refused: [] });
    expect(report.files).toHaveLength(files);
    expect(namesOf(report, 'tensor data')).toContain('torch._utils._rebuild_tensor_v2');
    expect(namesOf(report, 'inert record')).toContain('argparse.Namespace');
  });

  it('of torch_dist: .metadata, common.pt, and the items inside the .distcp files', async () => {
    const report = await inspectSecurity(fixture('dist-stacked'));
    expect(report).toMatchObject({ ok: true, refused: [] });
    const files = new Map(report.files.map((file) => [file.file, file.pickles]));
    expect([...files.keys()].filter((name) => name.endsWith('.distcp'))).toHaveLength(8);
    expect(files.get('common.pt')?.[0]?.globals.map(({ name }) => name)).toContain('argparse.Namespace');
    const metadata = files.get('.metadata')?.[0]?.globals.map(({ name }) => name);
    expect(metadata).toContain('torch.distributed.checkpoint.metadata.Metadata');
    // Each chunk of a tensor is a torch file of its own, and rebuilds one tensor.
    const items = [...files].filter(([name]) => name.endsWith('.distcp')).flatMap(([, pickles]) => pickles);
    const rebuilt = items.flatMap(({ globals }) => globals).filter(({ name }) => name.endsWith('_rebuild_tensor_v2'));
    expect(rebuilt.reduce((sum, { count }) => sum + count, 0)).toBeGreaterThan(50);
  });
});

describe('an attack is listed, and not run', () => {
  const attack = argsOf(callOf('posix', 'system'));
  const files: [string, string, Buffer, string?][] = [
    ['a rank file', 'release/mp_rank_01_001/model_optim_rng.pt', torchZipOf(attack)],
    ['a rank file of before torch 1.6', 'release/mp_rank_00_000/model_optim_rng.pt', oldTorchFileOf(attack)],
    [
      'the state of the optimizer, which a conversion never opens',
      'release/mp_rank_00_000/distrib_optim.pt',
      torchZipOf(attack),
    ],
    ['common.pt', 'iter_0000005/common.pt', torchZipOf(attack), 'dist-stacked'],
    ['.metadata', 'iter_0000005/.metadata', attack, 'dist-stacked'],
  ];
  it.each(files)('in %s', async (_, path, bytes, name = 'qwen2-tp2-pp2') => {
    await withDirectory(async (root) => {
      const checkpoint = join(root, 'ckpt');
      await cp(fixture(name), checkpoint, { recursive: true });
      await writeFile(join(checkpoint, path), bytes);
      const { code, stdout } = await run('inspect', checkpoint, '--security', '--json');
      expect(code).toBe(1);
      const report = JSON.parse(stdout);
      expect(report).toMatchObject({ ok: false, refused: ['posix.system'] });
      const file = report.files.find((each: { file: string }) => path.endsWith(each.file));
      expect(file.pickles[0].globals).toContainEqual(
        expect.objectContaining({ name: 'posix.system', count: 1, builds: 'refused' }),
      );
      expect(existsSync('canary')).toBe(false);
    });
  });

  it('in a directory that is no checkpoint in order, and in one file', async () => {
    await withDirectory(async (root) => {
      const path = join(root, 'weights.pt');
      await writeFile(path, torchZipOf(pickleOf(callOf('builtins', 'eval'))));
      expect((await inspectSecurity(root)).refused).toEqual(['builtins.eval']);
      const words = await run('inspect', path, '--security');
      expect(words.code).toBe(1);
      expect(words.stdout).toContain('builtins.eval');
      expect(words.stdout).toContain('do not load this with Python');
    });
  });
});

describe('what cannot be read', () => {
  it('is a finding, and what came before it is listed', async () => {
    await withDirectory(async (root) => {
      await mkdir(join(root, 'mp_rank_00'));
      const hidden = Buffer.concat([pickleOf('N'), pickleOf(callOf('os', 'system'))]);
      await writeFile(join(root, 'mp_rank_00/model_optim_rng.pt'), torchZipOf(hidden));
      await writeFile(join(root, 'mp_rank_00/optim.pt'), 'no zip at all, and no pickle');
      const report = await inspectSecurity(root);
      expect(report.ok).toBe(false);
      expect(report.files[0]?.pickles[0]?.problem).toContain('follow the end of the pickle');
      expect(report.files[1]?.problem).toContain('CPT_ZIP_');
    });
  });

  it('is an error where nothing has a pickle', async () => {
    await withDirectory(async (root) => {
      await writeFile(join(root, 'model.safetensors'), 'x');
      await expect(inspectSecurity(root)).rejects.toMatchObject({ code: 'CPT_INPUT_CHECKPOINT_MISSING' });
      await expect(inspectSecurity(join(root, 'nowhere'))).rejects.toMatchObject({
        code: 'CPT_INPUT_CHECKPOINT_MISSING',
      });
    });
  });
});
