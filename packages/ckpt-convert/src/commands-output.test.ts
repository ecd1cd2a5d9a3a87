import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import { treeOf } from '../test/folders.ts';
import { FIXTURES, randomTensors, TINY, withDirectory } from '../test/tiny-checkpoint.ts';
import { writeTinyHf } from '../test/tiny-hf.ts';
import { runCommand } from './commands.ts';
import { WORK_FOLDER } from './output/output-directory.ts';

const source = join(FIXTURES, 'qwen2-uneven-first', 'megatron');

async function run(...args: string[]) {
  let stdout = '';
  const log: string[] = [];
  const write = (text: string) => {
    stdout += text;
  };
  const code = await runCommand(args, { write, log: (line) => void log.push(line) });
  return { code, stdout: stripVTControlCharacters(stdout), stderr: stripVTControlCharacters(log.join('\n')) };
}

/** Each command that writes, as its arguments before and after the output. */
const commands: [string, (root: string) => { before: string[]; after: string[] }][] = [
  ['to-hf', () => ({ before: ['to-hf', source], after: ['--max-shard-size', '700'] })],
  ['to-megatron', (root) => ({ before: ['to-megatron', join(root, 'hf')], after: ['--tp', '2', '--pp', '2'] })],
  ['reshard', () => ({ before: ['reshard', source], after: ['--tp', '1', '--pp', '3'] })],
];

describe.each(commands)('%s', (_, argumentsOf) => {
  const prepared = (
    body: (root: string, call: (output: string, ...more: string[]) => ReturnType<typeof run>) => Promise<void>,
  ) =>
    withDirectory(async (root) => {
      await writeTinyHf(join(root, 'hf'), TINY);
      const { before, after } = argumentsOf(root);
      await body(root, (output, ...more) => run(...before, join(root, output), ...after, ...more));
    });

  it('--part: each says what it wrote, and the last one that the output is whole', async () => {
    await prepared(async (root, call) => {
      await call('expected');
      const first = JSON.parse((await call('out', '--part', '1/2', '--json')).stdout);
      expect(first).toMatchObject({ part: { index: 1, of: 2, whole: false, outstanding: [2] }, resumed: false });
      const second = await call('out', '--part', '2/2');
      expect(second.stdout).toContain('part 2 of 2; all parts are done, the output is whole');
      expect(await treeOf(join(root, 'out'))).toEqual(await treeOf(join(root, 'expected')));
      const again = await call('out', '--part', '1/2', '--json');
      expect(JSON.parse(again.stdout)).toMatchObject({ files: first.files, part: { whole: true }, resumed: true });
      expect(first.files.length).toBeGreaterThan(0);
      expect((await call('other', '--part', '1/2')).stdout).toContain('part 1 of 2; outstanding: 2');
    });
  });

  it('--dry-run and plan: files, bytes, memory and time, and nothing is written', async () => {
    await prepared(async (root, call) => {
      const { files } = JSON.parse((await call('done', '--json')).stdout);
      const names = files.map(({ name }: { name: string }) => name);
      const { stdout } = await call('out', '--dry-run');
      for (const name of names) expect(stdout).toContain(name);
      expect(stdout).toMatch(
        /\d+ files, [\d.]+ kB to read, [\d.]+ kB to write; .* at 2 GB\/s .*; about [\d.]+ MB of memory/,
      );
      const { estimate } = JSON.parse((await call('out', '--dry-run', '--json')).stdout);
      expect(estimate.files.map(({ name }: { name: string }) => name)).toEqual(names);
      expect(estimate.writtenBytes).toBeGreaterThan(1000);
      expect(estimate.seconds.most).toBeGreaterThan(estimate.seconds.least);
      const { before, after } = argumentsOf(root);
      const plan = await run('plan', ...before, join(root, 'out'), ...after, '--part', '1/2', '--json');
      expect(JSON.parse(plan.stdout).estimate.files.length).toBeLessThan(names.length);
      expect(existsSync(join(root, 'out'))).toBe(false);
    });
  });

  it('--resume: begins, goes on after a signal as told, and agrees with what is done', async () => {
    await prepared(async (root, call) => {
      expect(JSON.parse((await call('out', '--resume', '--json')).stdout)).toMatchObject({ resumed: false });
      expect(JSON.parse((await call('out', '--resume', '--json')).stdout)).toMatchObject({ resumed: true });
      await expect(call('out')).rejects.toThrow('with --force');
      await call('out', '--force');
      expect(await readdir(join(root, 'out'))).not.toContain(WORK_FOLDER);
    });
  });
});

it.each([
  ['2', '--part "2" cannot be used; give I/N, for example 2/8'],
  ['3/2', 'part {"index":3,"of":2} cannot be; it is I/N with I from 1 to N'],
  [
    '0/4',
    '--part "0/4" cannot be used; parts count from 1; where RANK counts from 0 write --part $((RANK+1))/$WORLD_SIZE',
  ],
])('refuses --part %s', async (part, message) => {
  await expect(run('to-hf', source, 'nowhere', '--part', part)).rejects.toThrow(message);
});

describe('options of to-hf', () => {
  it('--max-shard-size bounds each file, where a tensor is not larger itself', async () => {
    await withDirectory(async (root) => {
      await run('to-hf', source, join(root, 'one'), '--max-shard-size', '1MB');
      expect(await readdir(join(root, 'one'))).toContain('model.safetensors');
      const { stdout } = await run('to-hf', source, join(root, 'many'), '--max-shard-size', '1kB', '--json');
      const { files, bytes } = JSON.parse(stdout);
      const tensorBytes = await Promise.all(
        files.map(async ({ name }: { name: string }) => {
          const file = await readFile(join(root, 'many', name));
          return file.byteLength - 8 - Number(file.readBigUInt64LE(0)); // behind the length of the header, and the header
        }),
      );
      expect(Math.max(...tensorBytes)).toBeLessThanOrEqual(1000);
      expect(tensorBytes.reduce((sum, size) => sum + size, 0)).toBe(bytes);
    });
  });

  it('--dtype bf16 of a float32 checkpoint needs --allow-cast, and halves the bytes; f32 of bfloat16 does not', async () => {
    await withDirectory(async (root) => {
      const model = { ...TINY, isTied: false };
      await writeTinyHf(join(root, 'hf'), model, { dtype: 'F32', tensors: randomTensors(model, 'F32') });
      const grid = ['--tp', '1', '--pp', '1'];
      await run('to-megatron', join(root, 'hf'), join(root, 'ckpt'), ...grid);
      const convert = (...flags: string[]) =>
        run('to-hf', join(root, 'ckpt'), join(root, flags.join('')), '--json', ...flags);
      await expect(convert('--dtype', 'bf16')).rejects.toThrow('Permit rounding with --allow-cast');
      const whole = JSON.parse((await convert('--dtype', 'source')).stdout);
      const half = JSON.parse((await convert('--dtype', 'bf16', '--allow-cast')).stdout);
      expect(half.bytes).toBe(whole.bytes / 2);
      await run('to-megatron', join(root, '--dtypebf16--allow-cast'), join(root, 'half'), ...grid);
      const back = await run('to-hf', join(root, 'half'), join(root, 'back'), '--dtype', 'f32', '--json');
      expect(JSON.parse(back.stdout).bytes).toBe(whole.bytes);
    });
  });

  it('--vocab-size cuts both tables and says so in config.json, and more rows than there are are refused', async () => {
    await withDirectory(async (root) => {
      const { stdout } = await run('to-hf', source, join(root, 'hf'), '--vocab-size', '10', '--json');
      expect(JSON.parse(stdout).model.vocabSize).toBe(10);
      await expect(run('to-hf', source, join(root, 'x'), '--vocab-size', '9999')).rejects.toMatchObject({
        code: 'CPT_CONFIG_VOCAB_SIZE',
      });
    });
  });

  it('--untie and --replica reach the conversion', async () => {
    await withDirectory(async (root) => {
      const { stdout } = await run('to-hf', source, join(root, 'hf'), '--untie', '--json');
      expect(JSON.parse(stdout).model.isTied).toBe(false);
      await expect(run('to-hf', source, join(root, 'x'), '--replica', '7')).rejects.toThrow('--replica is 7');
      await expect(run('to-hf', source, join(root, 'x'), '--replica', 'median')).rejects.toThrow(
        'give first, a tensor rank from 0, or mean',
      );
      expect((await run('to-hf', source, join(root, 'x'), '--replica', 'first')).code).toBe(0);
    });
  });
});
