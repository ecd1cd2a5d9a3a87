import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { engineSource } from '../../test/encoding.ts';
import { refusal, TOKENIZER, temporaryFolder } from '../../test/fixtures.ts';
import { loadForBuild } from './tokenizer-facts.ts';

test('what a build says of its tokenizer, and what its encoders are made from', async () => {
  const { facts, source } = await loadForBuild(TOKENIZER, 'encode');
  expect(facts).toMatchObject({ vocabSize: 1003, eodToken: 1000, file: join(TOKENIZER, 'tokenizer.json') });
  expect(source).toEqual(engineSource());
  expect((await refusal(loadForBuild('/nowhere', 'encode'))).code).toBe('CPT_INPUT_FILE_MISSING');
});

test('a policy that the reference does not have is refused where the reference is needed', async () => {
  const folder = temporaryFolder();
  const json = JSON.parse(readFileSync(join(TOKENIZER, 'tokenizer.json'), 'utf8'));
  json.model.byte_fallback = true;
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(json));
  expect((await refusal(loadForBuild(folder, 'text'))).code).toBe('CPT_UNSUPPORTED_SPECIALS');
});
