import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { CORPUS_FILES, refusal, TOKENIZER, temporaryFolder } from '../test/fixtures.ts';
import { planBuild } from './build-plan.ts';

const plan = (options: { output: string; tokenizer?: string; heldOut?: number; eod?: number | 'none' }) =>
  planBuild({ inputs: CORPUS_FILES, tokenizer: TOKENIZER, ...options });

/** A word-level tokenizer of so many entries, with or without an end-of-document token. */
function wordTokenizer(entries: number, config?: object): string {
  const folder = temporaryFolder();
  const vocab = Object.fromEntries(Array.from({ length: entries }, (_, i) => [`w${i}`, i]));
  const model = { type: 'WordLevel', vocab, unk_token: 'w0' };
  const json = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: null,
    model,
  };
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(json));
  if (config) writeFileSync(join(folder, 'tokenizer_config.json'), JSON.stringify(config));
  return folder;
}

test('the parts and their names', async () => {
  const folder = temporaryFolder();
  expect((await plan({ output: `${folder}/set` })).parts).toEqual([{ prefix: `${folder}/set`, part: 'train' }]);
  expect((await plan({ output: folder, heldOut: 0.1 })).parts).toEqual([
    { prefix: join(folder, 'dataset'), part: 'train' },
    { prefix: join(folder, 'dataset_valid'), part: 'valid' },
  ]);
});

test.each([
  [65499, 'uint16', 0],
  [65500, 'int32', 1],
  [65536, 'int32', 1],
  [65537, 'int32', 0],
])('a vocabulary of %i is %s, with %i warnings', async (entries, dtype, warnings) => {
  const found = await plan({ output: join(temporaryFolder(), 'set'), tokenizer: wordTokenizer(entries), eod: 0 });
  expect(found.dtype).toBe(dtype);
  expect(found.warnings).toHaveLength(warnings);
  if (warnings > 0) expect(found.warnings[0]).toContain('--per-dataset-sequences-path');
});

test('a tokenizer that ends documents with nothing needs --eod', async () => {
  const output = join(temporaryFolder(), 'set');
  const tokenizer = wordTokenizer(10);
  const error = await refusal(plan({ output, tokenizer }));
  expect(error.code).toBe('CPT_INPUT_INVALID');
  expect(error.message).toContain('give --eod with an id or none');
  expect((await plan({ output, tokenizer, eod: 'none' })).eodToken).toBeUndefined();
  expect((await plan({ output, tokenizer, eod: 9 })).eodToken).toBe(9);
});

test('a chat eos in the config is warned about unless the end of document was chosen', async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'tokenizer.json'), readFileSync(join(TOKENIZER, 'tokenizer.json')));
  writeFileSync(join(folder, 'tokenizer_config.json'), '{"eos_token":"<|im_end|>"}');
  const output = join(temporaryFolder(), 'set');
  const { eodToken, warnings } = await plan({ output, tokenizer: folder });
  expect(eodToken).toBe(1000);
  expect(warnings).toEqual([
    'documents end with id 1000 (<|endoftext|>), tokenizer_config.json names 1002 as eos; choose with --eod',
  ]);
  expect((await plan({ output, tokenizer: folder, eod: 1000 })).warnings).toEqual([]);
  expect((await plan({ output, tokenizer: folder, eod: 1002 })).warnings).toEqual([
    'documents end with id 1002, which ends a turn of a chat; base models learnt 1000 (<|endoftext|>) as the end of a document',
  ]);
  expect((await plan({ output, tokenizer: folder, eod: 'none' })).warnings).toEqual([]);
});

test('what an earlier build left is named', async () => {
  const output = join(temporaryFolder(), 'set');
  mkdirSync(`${output}/cache/GPTDataset_indices`, { recursive: true });
  writeFileSync(`${output}_valid.idx`, '');
  const { warnings } = await plan({ output: `${output}.bin` });
  expect(warnings).toHaveLength(2);
  expect(warnings[0]).toContain(`${output}/cache/GPTDataset_indices`);
  expect(warnings[1]).toContain(`${output}_valid.idx`);
});
