import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { brokenPairs, readablePair, TOKENIZER, temporaryFolder } from '../../test/fixtures.ts';
import { runCommand } from '../commands.ts';
import { createDatasetWriter } from '../node.ts';
import { loadTokenizer } from '../tokenizer/load-tokenizer.ts';
import { escapeText } from './doctor-command.ts';
import type { Examination } from './examine.ts';

async function run(...args: string[]) {
  const out: string[] = [];
  const code = await runCommand(args, { write: (text) => void out.push(text), log: () => undefined });
  return { code, out: out.join('') };
}

function write({ idx, bin }: { idx: Buffer; bin: Buffer }): string {
  const prefix = join(temporaryFolder(), 'set');
  writeFileSync(`${prefix}.idx`, idx);
  writeFileSync(`${prefix}.bin`, bin);
  return prefix;
}

test('the first line is the verdict, the exit code says it too', async () => {
  const good = write(readablePair('i32_three_docs'));
  const yes = await run('doctor', good, '--model', 'qwen3-8b');
  expect(yes.out.split('\n')[0]).toBe(`yes: ${good} fits qwen3-8b`);
  expect(yes.out).toContain('3 documents, 3 sequences, 10 tokens, int32, 40 bytes\n  read every id, 40 bytes;');
  expect(yes.code).toBe(0);
  const no = await run('doctor', good, '--model', 'gpt-2');
  expect(no.out.split('\n')[0]).toBe(`no: ${good} does not fit gpt-2 (2 errors)`);
  expect(no.code).toBe(1);

  const { idx, bin } = brokenPairs.find(({ name }) => name === 'bin_truncated') as { idx: Buffer; bin: Buffer };
  const broken = await run('doctor', write({ idx, bin }));
  expect(broken.out).toMatch(
    /^no: .* is damaged \(1 error\)\nerror CPT_FORMAT_MMAP_BIN_TRUNCATED: .*\n {6}→ .*--truncate\n$/,
  );
  expect(broken.code).toBe(1);
});

test('--strict: warnings refuse too', async () => {
  const prefix = write(readablePair('i32_multi_sequence'));
  expect((await run('doctor', prefix)).code).toBe(0);
  const { out, code } = await run('doctor', prefix, '--strict');
  expect(code).toBe(1);
  expect(out).toMatch(/^no: .* is damaged \(strictly: 1 warning\)\n/);
  expect(JSON.parse((await run('doctor', prefix, '--strict', '--json')).out)).toMatchObject({ ok: false });
  expect((await run('doctor', write(readablePair('i32_three_docs')), '--strict')).code).toBe(0);
});

test('--json, --full and --samples', async () => {
  const prefix = write(readablePair('i32_multi_sequence'));
  const { out, code } = await run('doctor', prefix, '--json', '--full', '--samples', '1');
  const examination = JSON.parse(out) as Examination;
  expect(examination).toMatchObject({ ok: true, prefix, dataset: { sequences: 6 }, read: { isWhole: true } });
  expect(examination.samples).toEqual([{ document: 0, ids: [1, 2] }]);
  expect(code).toBe(0);
  expect((await run('doctor', prefix, '--samples', '0')).out).not.toContain('sample of');
});

test('samples are shown as text that cannot steer a terminal', async () => {
  const tokenizer = await loadTokenizer(TOKENIZER);
  const prefix = join(temporaryFolder(), 'set');
  const writer = await createDatasetWriter({ prefix, dtype: 'uint16' });
  await writer.addDocument([await tokenizer.encode(`\u001b[2Jred\n\u009b\u202e${'long '.repeat(100)}`)]);
  await writer.finish();
  const { out } = await run('doctor', prefix, '--tokenizer', TOKENIZER);
  const line = out.split('\n').find((entry) => entry.startsWith('sample of document 0: ')) as string;
  expect(line).toMatch(/"\\u001b\[2Jred\\n\\u009b\\u202elong long .*long …"$/);
  expect(line.length).toBeLessThan(220);
});

test('escaping', () => {
  expect(escapeText('a"b\\\u0000\u2028\u{e0001}é学', 99)).toBe('"a\\"b\\\\\\u0000\\u2028\\u{e0001}é学"');
  expect(escapeText('👍👍👍', 2)).toBe('"👍👍…"');
});
