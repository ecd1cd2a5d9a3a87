import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { filesIn, refusal, TOKENIZER, temporaryFolder } from '../test/fixtures.ts';
import { buildDataset } from './build.ts';
import { listInputs } from './documents/inputs.ts';

const GOOD = '{"text":"a document"}\n';
const BAD = '{"other":"no text"}\n';

function folderWith(files: Record<string, string>): string {
  const folder = temporaryFolder();
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  return folder;
}

test('an output among the inputs: what a build left there is not read as text', async () => {
  const folder = folderWith({ 'a.jsonl': GOOD, 'dataset.rejects.jsonl': BAD });
  mkdirSync(join(folder, 'dataset.build'));
  for (const name of ['journal.ndjson', 'rejects.jsonl']) writeFileSync(join(folder, 'dataset.build', name), BAD);
  for (const inputs of [folder, join(folder, '**/*son*')]) {
    expect((await listInputs([inputs])).map(({ path }) => path)).toEqual([join(folder, 'a.jsonl')]);
  }
  const named = join(folder, 'dataset.rejects.jsonl');
  expect((await listInputs([named])).map(({ path }) => path)).toEqual([named]);
});

test('what a build reads it never replaces, not with force either', async () => {
  const folder = folderWith({ 'a.json': `[${GOOD}]`, 'b.rejects.jsonl': GOOD, 'c.jsonl': GOOD });
  copyFileSync(join(TOKENIZER, 'tokenizer.json'), join(folder, 'c.json'));
  const before = filesIn(folder).map((name) => readFileSync(join(folder, name), 'utf8'));
  const cases: [string, string, string][] = [
    ['a.json', 'a', TOKENIZER],
    ['b.rejects.jsonl', 'b', TOKENIZER],
    ['c.jsonl', 'c', join(folder, 'c.json')],
  ];
  for (const [input, output, tokenizer] of cases) {
    const options = { inputs: [join(folder, input)], output: join(folder, output), tokenizer, force: true };
    const error = await refusal(buildDataset(options));
    expect(error).toMatchObject({ code: 'CPT_INPUT_INVALID' });
    expect(error.message).toContain('is read by this build, which would replace it');
  }
  expect(filesIn(folder).map((name) => readFileSync(join(folder, name), 'utf8'))).toEqual(before);
});

test('a list of bad records is of the dataset that is there', async () => {
  const folder = folderWith({ 'in.jsonl': GOOD + BAD, 'good.jsonl': GOOD });
  const output = join(folder, 'set');
  const options = { tokenizer: TOKENIZER, output, onBad: 'skip' as const, maxBad: 1, force: true };
  const first = await buildDataset({ ...options, inputs: [join(folder, 'in.jsonl')] });
  expect(existsSync(first.rejects as string)).toBe(true);
  const second = await buildDataset({ ...options, inputs: [join(folder, 'good.jsonl')] });
  expect(second.rejects).toBeUndefined();
  expect(existsSync(first.rejects as string)).toBe(false);
});

test.each([
  ['', 'the inputs hold no record'],
  ['{"text":""}\n{"text":" "}\n', 'none of the 2 records gave a token (2 empty)'],
  [
    `{"text":""}\n${BAD}{\n`,
    'none of the 3 records gave a token (1 empty, 1 json, 1 text-missing); check --text-key and the inputs; the bad records are listed in',
  ],
])('§7 0 documents at the end: the message says what became of %j', async (content, message) => {
  const folder = folderWith({ 'in.jsonl': content });
  const output = join(folder, 'set');
  const options = {
    inputs: [join(folder, 'in.jsonl')],
    tokenizer: TOKENIZER,
    output,
    onBad: 'skip' as const,
    maxBad: 1,
  };
  const error = await refusal(buildDataset(options));
  expect(error).toMatchObject({ code: 'CPT_INPUT_EMPTY_DATASET' });
  expect(error.message).toContain(message);
  const rejects = content.includes('other') ? ['set.rejects.jsonl'] : [];
  expect(filesIn(folder)).toEqual(['in.jsonl', ...rejects]);
});

test('an input that is given twice is read twice, with a warning', async () => {
  const folder = folderWith({ 'in.jsonl': GOOD });
  const inputs = [folder, join(folder, '.', 'in.jsonl')];
  const built = await buildDataset({ inputs, tokenizer: TOKENIZER, output: join(folder, 'set') });
  expect(built.documents).toBe(2);
  expect(built.warnings).toEqual([
    `${join(folder, 'in.jsonl')}: is given more than once; its documents are in the dataset as often`,
  ]);
});
