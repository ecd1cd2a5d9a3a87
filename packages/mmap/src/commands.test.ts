import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describeError } from '@pai-cpt/core/node';
import { expect, test } from 'vitest';
import { CORPUS, CORPUS_FILES, filesIn, readablePair, refusal, TOKENIZER, temporaryFolder } from '../test/fixtures.ts';
import { runCommand } from './commands.ts';

async function run(...args: string[]) {
  const out: string[] = [];
  const log: string[] = [];
  const code = await runCommand(args, { write: (text) => void out.push(text), log: (line) => void log.push(line) });
  return { code, out: out.join(''), log: log.join('\n') };
}

function writePair(name: string): string {
  const prefix = join(temporaryFolder(), 'set');
  const { idx, bin } = readablePair(name);
  writeFileSync(`${prefix}.idx`, idx);
  writeFileSync(`${prefix}.bin`, bin);
  return prefix;
}

test('build, inspect and cat', async () => {
  const folder = temporaryFolder();
  const built = await run(
    'build',
    CORPUS,
    '--tokenizer',
    TOKENIZER,
    '--output',
    folder,
    '--held-out',
    '0.05',
    '--json',
  );
  expect(built.code).toBe(0);
  expect(built.log).toMatch(/^100% of 582\.4 kB: 330 documents, 249,907 tokens, [\d.]+ [kM]B\/s, [\d,]+ tokens\/s$/);
  const result = JSON.parse(built.out) as Record<string, unknown>;
  expect(result).toMatchObject({
    documents: 314,
    sequences: 314,
    dropped: 0,
    sha256: { bin: expect.any(String), idx: expect.any(String) },
  });
  expect(Object.keys(result)).toEqual(expect.arrayContaining(['tokens', 'seconds', 'cpuSeconds', 'heldOut']));

  const inspected = await run('inspect', folder, '--json');
  expect(JSON.parse(inspected.out)).toEqual({
    dtype: 'uint16',
    sequences: 314,
    documents: 314,
    tokens: result.tokens,
    modes: false,
    binBytes: 2 * (result.tokens as number),
    idxBytes: 42 + 20 * 314,
  });
  expect((await run('cat', folder, '--from', '0', '--to', '1')).out).toContain('论语·学而篇\n子曰：“学而时习之');
});

test('every option of build reaches the build', async () => {
  const folder = temporaryFolder();
  const input = join(folder, 'in.jsonl');
  writeFileSync(input, '{"content":"a"}\n{"content":"b"}\n');
  writeFileSync(join(folder, 'in.txt'), 'c\n\nd\n');
  const output = join(folder, 'set');
  const args = [
    'build',
    input,
    join(folder, 'in.txt'),
    '--tokenizer',
    TOKENIZER,
    '--output',
    output,
    '--text-key',
    'content',
  ];
  const built = await run(...args, '--dtype', 'int32', '--eod', '7', '--split-paragraphs');
  expect(built.out).toContain('4 documents, 8 tokens, 32 bytes');
  expect((await run('cat', output, '--ids')).out).toBe('[64,7]\n[65,7]\n[66,7]\n[67,7]\n');
  expect((await refusal(run(...args))).code).toBe('CPT_INPUT_OUTPUT_EXISTS');
  expect((await run(...args, '--force', '--eod', 'none')).code).toBe(0);
  expect((await run('cat', output, '--ids')).out).toBe('[64]\n[65]\n[66,373,67,198]\n');
});

test('inspect for a person, with what is unusual', async () => {
  const { out, log } = await run('inspect', writePair('i32_gap'));
  expect(out).toContain(
    'dtype      int32\nsequences  2\ndocuments  2\ntokens     5\nmodes      false\nbinBytes   24\n',
  );
  expect(log).toContain('the pointers do not follow one another');
  expect((await run('inspect', writePair('i32_gap'), '--json')).log).toContain('do not follow one another');
  expect((await run('inspect', writePair('u16_modes'))).out).toContain('modes      true');
});

test.each([
  [['--dtype', 'float16'], 'dtype "float16" is unknown; use auto, uint16, int32 [CPT_INPUT_INVALID]'],
  [['--eod', 'x'], '--eod "x" cannot be used; give an id or none [CPT_INPUT_INVALID]'],
  [['--eod', '-1'], '--eod "-1" cannot be used; give an id or none [CPT_INPUT_INVALID]'],
  [['--held-out', 'many'], '--held-out "many" cannot be used; give a share such as 0.05 [CPT_INPUT_INVALID]'],
  [['--held-out', ''], '--held-out "" cannot be used; give a share such as 0.05 [CPT_INPUT_INVALID]'],
  [
    ['--text-key', 'body'],
    `${CORPUS_FILES[0]}:1:0: "body" is missing; keys here: "text"; name the right one with --text-key [CPT_FORMAT_TEXT_MISSING]`,
  ],
  [['/nowhere.jsonl'], '/nowhere.jsonl: does not exist; check the path [CPT_INPUT_FILE_MISSING]'],
])('build %j fails in one line and leaves nothing', async (args, line) => {
  const folder = temporaryFolder();
  const error = await refusal(
    run('build', ...CORPUS_FILES, ...args, '--tokenizer', TOKENIZER, '--output', join(folder, 'set')),
  );
  expect(describeError(error)).toBe(line);
  expect(filesIn(folder)).toEqual([]);
});

test('documents of cat are numbers', async () => {
  expect((await refusal(run('cat', writePair('i32_gap'), '--ids', '--from', '-1'))).code).toBe('CPT_INPUT_INVALID');
});

test.each([[[]], [['build']], [['build', 'x', '--output', 'y']], [['inspect', 'x', '--what']], [['unknown']]])(
  'wrong use %j is exit code 2 and says what is missing',
  async (args) => {
    const { code, out, log } = await run(...args);
    expect(code).toBe(2);
    expect(out).toBe('');
    expect(log).not.toBe('');
  },
);

test('help is not a failure', async () => {
  const { code, out } = await run('build', '--help');
  expect(code).toBe(0);
  expect(out).toContain('--held-out <share>');
});

test('the README shows the options that exist', async () => {
  const readme = readFileSync(join(import.meta.dirname, '../README.md'), 'utf8');
  const { out } = await run('build', '--help');
  for (const [option] of out.matchAll(/--[a-z-]+/g)) if (option !== '--help') expect(readme).toContain(option);
});
