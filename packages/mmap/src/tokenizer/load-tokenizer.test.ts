import { createHash } from 'node:crypto';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { openDescriptors, readFixture, refusal, TOKENIZER, temporaryFolder } from '../../test/fixtures.ts';
import { loadTokenizer } from './load-tokenizer.ts';
import type { Tokenizer } from './tokenizer.ts';

const expected = readFixture('tokenizer/expected.json') as {
  vocabSize: number;
  endOfText: number;
  samples: { text: string; ids: number[]; decoded: string }[];
};
const file = join(TOKENIZER, 'tokenizer.json');

describe('the fixture tokenizer', () => {
  let tokenizer: Tokenizer;
  beforeAll(async () => {
    tokenizer = await loadTokenizer(TOKENIZER);
  });

  test('has the size, the end of document and the fingerprint of its file', () => {
    expect(tokenizer).toMatchObject({
      vocabSize: expected.vocabSize,
      eodToken: expected.endOfText,
      eosToken: expected.endOfText,
      file,
      fingerprint: createHash('sha256').update(readFileSync(file)).digest('hex'),
    });
  });

  test.each(expected.samples)('the ids of Python’s tokenizers: $text', async ({ text, ids, decoded }) => {
    const encoded = await tokenizer.encode(text);
    expect(encoded).toBeInstanceOf(Int32Array);
    expect(Array.from(encoded)).toEqual(ids);
    expect(await tokenizer.decode(encoded)).toBe(decoded);
  });

  test('may be given as the file itself', async () => {
    expect((await loadTokenizer(file)).fingerprint).toBe(tokenizer.fingerprint);
    expect(openDescriptors(TOKENIZER)).toEqual([]);
  });
});

/** A folder with the fixture tokenizer, changed, and a config that names an eos token. */
function variant(change: (json: Record<string, unknown>) => void, config?: unknown): string {
  const folder = temporaryFolder();
  const json = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  change(json);
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(json));
  if (config !== undefined) {
    writeFileSync(join(folder, 'tokenizer_config.json'), typeof config === 'string' ? config : JSON.stringify(config));
  }
  return folder;
}

const withoutEndOfText = (json: Record<string, unknown>) => {
  Object.assign((json.added_tokens as object[])[0] as object, { content: '<|end|>' });
};

test.each([
  ['a string', { eos_token: '<|im_end|>' }],
  ['an object', { eos_token: { content: '<|im_end|>' } }],
])('a chat model’s eos, %s, does not end documents', async (_, config) => {
  expect(await loadTokenizer(variant(() => {}, config))).toMatchObject({ eodToken: 1000, eosToken: 1002 });
});

test('without <|endoftext|> the eos of the config ends documents, and without both nothing does', async () => {
  const config = { eos_token: '<|im_end|>' };
  expect((await loadTokenizer(variant(withoutEndOfText, config))).eodToken).toBe(1002);
  expect((await loadTokenizer(variant(withoutEndOfText))).eodToken).toBeUndefined();
  expect((await loadTokenizer(variant(withoutEndOfText, { eos_token: null }))).eodToken).toBeUndefined();
});

test('limits that the file carries are not applied', async () => {
  const folder = variant((json) => {
    json.truncation = { direction: 'Right', max_length: 3, strategy: 'LongestFirst', stride: 0 };
    json.padding = {
      strategy: { Fixed: 50 },
      direction: 'Right',
      pad_to_multiple_of: null,
      pad_id: 0,
      pad_type_id: 0,
      pad_token: '!',
    };
  });
  const { text, ids } = expected.samples.find((sample) => sample.ids.length > 10) as { text: string; ids: number[] };
  expect(Array.from(await (await loadTokenizer(folder)).encode(text))).toEqual(ids);
});

test('template tokens are not added to the ends of a text', async () => {
  const folder = variant((json) => {
    json.post_processor = {
      type: 'TemplateProcessing',
      single: [{ SpecialToken: { id: '<|im_start|>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 0 } }],
      special_tokens: { '<|im_start|>': { id: '<|im_start|>', ids: [1001], tokens: ['<|im_start|>'] } },
    };
  });
  expect(Array.from(await (await loadTokenizer(folder)).encode('a'))).toEqual([64]);
});

test('what is not a tokenizer is refused by name', async () => {
  const folder = temporaryFolder();
  expect((await refusal(loadTokenizer(folder))).code).toBe('CPT_INPUT_FILE_MISSING');
  writeFileSync(join(folder, 'tokenizer.json'), '{"model": 1}');
  const error = await refusal(loadTokenizer(folder));
  expect(error.code).toBe('CPT_FORMAT_TOKENIZER');
  expect(error.message.startsWith(`${folder}/tokenizer.json: not a tokenizer.json`)).toBe(true);
  copyFileSync(file, join(folder, 'tokenizer.json'));
  writeFileSync(join(folder, 'tokenizer_config.json'), '{');
  expect((await refusal(loadTokenizer(folder))).message).toContain('tokenizer_config.json: not JSON');
});
