import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describeError } from '@pai-cpt/core/node';
import { expect, test } from 'vitest';
import { CORPUS, filesIn, refusal, TOKENIZER, temporaryFolder } from '../../test/fixtures.ts';
import { runQuietly } from '../../test/run-command.ts';
import { readSidecar } from '../node.ts';

function setUp(): { input: string; prefix: string; run: (...args: string[]) => ReturnType<typeof runQuietly> } {
  const folder = temporaryFolder();
  const input = join(folder, 'in.jsonl');
  const lines = ['{"text":"a<|endoftext|>"}', '{"text":""}', 'oops', '{"text":"b"}', '{"text":"c"}', '{"text":"d"}'];
  writeFileSync(
    input,
    Buffer.concat([Buffer.from(`${lines.join('\n')}\n{"text":"e`), Buffer.from([0xff]), Buffer.from('"}\n')]),
  );
  const prefix = join(folder, 'set');
  return {
    input,
    prefix,
    run: (...args) => runQuietly('build', input, '--tokenizer', TOKENIZER, '--output', prefix, ...args),
  };
}

test('every policy reaches the build and its sidecar', async () => {
  const { prefix, run } = setUp();
  const policies = [
    '--on-bad',
    'skip',
    '--max-bad',
    '0.5',
    '--on-invalid-utf8',
    'replace',
    '--specials',
    'text',
    '--keep-empty',
  ];
  const { out, log } = await run(
    ...policies,
    '--shuffle',
    '3',
    '--limit',
    '6',
    '--max-line',
    '1k',
    '--workers',
    '0',
    '--max-doc-tokens',
    '1M',
  );
  expect((await readSidecar(prefix))?.options).toEqual({
    textKey: 'text',
    splitParagraphs: false,
    keepEmpty: true,
    specials: 'text',
    onBad: 'skip',
    onInvalidUtf8: 'replace',
    maxLine: 1000,
    maxDocTokens: 1_000_000,
    limit: 6,
    shuffle: 3,
  });
  expect(out).toContain('6 documents');
  expect(out).toContain(`bad records left out: 1 json; listed in ${prefix}.rejects.jsonl`);
  expect(readFileSync(`${prefix}.rejects.jsonl`, 'utf8')).toContain('"reason":"json"');
  expect(log).toContain('1 documents spell added tokens');
});

test('a part of the inputs', async () => {
  const { prefix, run } = setUp();
  await run('--on-bad', 'skip', '--max-bad', '1', '--part', '1/2');
  expect(await readSidecar(prefix)).toMatchObject({
    documents: 2,
    options: { part: '1/2' },
    inputs: [{ range: { from: 0 } }],
  });
});

test('a dry run says what a build would give, for a person and as JSON, and writes nothing', async () => {
  const folder = temporaryFolder();
  const run = (...more: string[]) =>
    runQuietly('build', CORPUS, '--tokenizer', TOKENIZER, '--output', join(folder, 'set'), '--dry-run', ...more);
  const { out } = await run();
  expect(out).toContain(
    'about 249,907 tokens in 330 documents (582.4 kB of 582.4 kB in 2 files were read)\n.bin 499.8 kB (uint16), .idx 6.6 kB',
  );
  expect(JSON.parse((await run('--json')).out)).toMatchObject({ tokens: 249907, isRoomEnough: true });
  expect(filesIn(folder)).toEqual([]);
});

test.each([
  [['--on-bad', 'ignore'], '--on-bad "ignore" cannot be used; use fail, skip'],
  [['--on-invalid-utf8', 'drop'], '--on-invalid-utf8 "drop" cannot be used; use fail, skip, replace'],
  [['--specials', 'keep'], '--specials "keep" cannot be used; use encode, text, error'],
  [['--max-bad', '2'], 'maxBad 2 cannot be; it is a share from 0 to 1'],
  [['--max-line', '0'], 'maxLine 0 cannot be; it is a number of bytes from 1 to 536870888'],
  [['--max-line', '1G'], '--max-line "1G" cannot be used; give a whole number such as 4, 500k or 20M'],
  [['--limit', '0'], 'limit 0 cannot be; it is a number from 1 on'],
  [['--workers', '2000'], 'workers 2000 cannot be; it is a number from 0 to 1024'],
  [['--shuffle', 'x'], '--shuffle "x" cannot be used; give a whole number such as 4, 500k or 20M'],
  [['--part', '2'], '--part "2" cannot be used; give I/N, for example 2/8'],
  [['--part', '3/2'], 'part {"index":3,"of":2} cannot be; it is I/N with I from 1 to N'],
  [
    ['--part', '1/2', '--shuffle', '1'],
    'shuffle needs to see all documents, a part sees its own; merge the parts first, then shuffle or split the whole',
  ],
])('%j is refused in one line', async (args, line) => {
  const { run } = setUp();
  expect(describeError(await refusal(run(...args)))).toBe(`${line} [CPT_INPUT_INVALID]`);
});
