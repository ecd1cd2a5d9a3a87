import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { documentsOf, writeDataset } from '../../test/datasets.ts';
import { filesIn, refusal, temporaryFolder } from '../../test/fixtures.ts';
import { runQuietly as run } from '../../test/run-command.ts';

const tens = (count: number, first = 0) => writeDataset(documentsOf(new Array<number>(count).fill(10), first));

test('merge: every option arrives', async () => {
  const output = join(temporaryFolder(), 'set');
  const parts = [tens(2), writeDataset([[[65535]]], { dtype: 'uint16' })];
  expect((await refusal(run('merge', output, ...parts))).code).toBe('CPT_INPUT_DTYPES_DIFFER');
  const { code, out, log } = await run('merge', output, ...parts, '--dtype', 'int32');
  expect(code).toBe(0);
  expect(out).toMatch(/^✓ .*set: 3 documents, 21 tokens, 84 bytes, int32\n {2}\d+\.\d s\n$/);
  expect(log).toBe('');
  expect((await refusal(run('merge', output, ...parts, '--dtype', 'int32'))).code).toBe('CPT_INPUT_OUTPUT_EXISTS');
  const json = await run('merge', output, parts[0] as string, parts[0] as string, '--force', '--json');
  expect(JSON.parse(json.out)).toMatchObject({ documents: 4, tokens: 40, parts: [{ documents: 2 }, { documents: 2 }] });
  expect(json.log).toContain('merged more than once');
});

test('split: every option arrives', async () => {
  const folder = temporaryFolder();
  const output = join(folder, 'set');
  const { out } = await run('split', tens(10), output, '--shares', '8,1,1');
  expect(out).toContain('set: 8 documents, 80 tokens');
  expect(out).toContain('set_test: 1 documents, 10 tokens');
  const every = JSON.parse((await run('split', tens(10), output, '--every', '5', '--force', '--json')).out);
  expect(every.parts).toMatchObject([
    { name: 'train', documents: 8 },
    { name: 'valid', documents: 2 },
  ]);
  expect((await refusal(run('split', tens(10), output))).message).toContain('give either the shares');
});

test('mix: every option arrives', async () => {
  const output = join(temporaryFolder(), 'set');
  const [a, b] = [tens(10), tens(10, 100)];
  const { out, log } = await run(
    'mix',
    output,
    `${a}=3`,
    `${b}=1`,
    '--tokens',
    '0.2k',
    '--seed',
    '7',
    '--allow-repeat',
  );
  expect(out).toContain('set: 20 documents, 200 tokens');
  expect(out).toContain(`  75.0 % ${a}: 15 documents, 150 tokens, 1.500 epochs\n`);
  expect(out).toContain(`  the same without this dataset: --data-path 0.75 ${a} 0.25 ${b}\n`);
  expect(log).toContain('hold validation out before mixing');
  const json = JSON.parse((await run('mix', output, `${a}=50`, '--force', '--json', '--seed', '7')).out);
  expect(json).toMatchObject({ seed: 7, tokens: 50, sources: [{ share: 1, epochs: 0.5 }] });
  expect((await refusal(run('mix', output, `${a}=101`, '--force'))).code).toBe('CPT_INPUT_TOO_FEW_TOKENS');
});

test.each(['a', '=1', 'a=', 'a=x', 'a=-1'])('mix: "%s" is no source', async (source) => {
  expect((await refusal(run('mix', 'out', source))).message).toContain(`source "${source}" cannot be used`);
});

test('shuffle: every option arrives', async () => {
  const folder = temporaryFolder();
  const input = tens(20);
  const json = async (...args: string[]) => JSON.parse((await run('shuffle', input, ...args, '--json')).out);
  const a = await json(join(folder, 'a'));
  const b = await json(join(folder, 'b'), '--seed', '5');
  expect([a.seed, b.seed, a.documents]).toEqual([1234, 5, 20]);
  expect(a.sha256.bin).not.toBe(b.sha256.bin);
  expect(await json(join(folder, 'a'), '--force')).toMatchObject({ sha256: a.sha256 });
  expect(filesIn(folder)).toEqual(['a.bin', 'a.idx', 'b.bin', 'b.idx']);
});

test('the README shows the options that exist', async () => {
  const readme = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8');
  for (const command of ['estimate', 'merge', 'split', 'mix', 'shuffle']) {
    expect(readme).toContain(`cpt-mmap ${command} `);
    const { out } = await run(command, '--help');
    for (const [option] of out.matchAll(/--[a-z-]+/g)) {
      if (option !== '--help' && option !== '--data-path') expect(readme, `${command} ${option}`).toContain(option);
    }
  }
});
