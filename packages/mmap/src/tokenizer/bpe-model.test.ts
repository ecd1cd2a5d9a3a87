import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseBpeModel } from './bpe-model.ts';

const fixture = readFileSync(new URL('../../../../fixtures/tokenizer/tokenizer.json', import.meta.url));
type Json = Record<string, unknown>;
/** The fixture's tokenizer with a change. */
function changed(
  change: (json: { model: Json; added_tokens: Json[]; pre_tokenizer: Json; normalizer: unknown }) => void,
) {
  const json = JSON.parse(fixture.toString('utf8'));
  change(json);
  return parseBpeModel(Buffer.from(JSON.stringify(json)), 'tokenizer.json');
}

describe('parseBpeModel', () => {
  it('reads the fixture as a Qwen2 model with NFC', () => {
    const model = parseBpeModel(fixture, 'tokenizer.json');
    expect(model).toMatchObject({ preTokenizer: 'qwen2', isNfc: true, ignoreMerges: false });
  });

  it.each([
    ['another model', (json) => Object.assign(json.model, { type: 'Unigram' }), 'model type Unigram'],
    ['byte fallback', (json) => Object.assign(json.model, { byte_fallback: true }), 'byte_fallback'],
    ['dropout', (json) => Object.assign(json.model, { dropout: 0.1 }), 'model option dropout'],
    ['another normaliser', (json) => Object.assign(json, { normalizer: { type: 'NFKC' } }), 'normaliser NFKC'],
    ['a pattern that differs in one sign', (json) => changePattern(json, (p) => p.replace('{N}|', '{N}+|')), 'pattern'],
    ['no pre-tokenizer', (json) => Object.assign(json, { pre_tokenizer: null }), 'pattern'],
    ['a stripping added token', (json) => Object.assign(json.added_tokens[0] as Json, { lstrip: true }), 'strips'],
    [
      'a normalised added token',
      (json) => Object.assign(json.added_tokens[0] as Json, { normalized: true }),
      'normalised',
    ],
    ['a merge of unknown tokens', (json) => Object.assign(json.model, { merges: [['zq', 'qz']] }), 'merge'],
    ['a missing byte', (json) => delete (json.model.vocab as Json)['!'], 'each byte'],
  ] as [
    string,
    (json: { model: Json; added_tokens: Json[]; pre_tokenizer: Json; normalizer: unknown }) => unknown,
    string,
  ][])('leaves %s to the reference, saying why', (_, change, reason) => {
    expect(changed(change)).toMatchObject({ unsupported: expect.stringContaining(reason) });
  });

  it('refuses what is no tokenizer file, by name', () => {
    expect(() => parseBpeModel(Buffer.from('{"model"'), 'a/tokenizer.json')).toThrow(/a\/tokenizer\.json: not JSON/);
    expect(() => parseBpeModel(Buffer.from('[]'), 'tokenizer.json')).toThrow(/not a tokenizer\.json/);
  });
});

function changePattern(json: { pre_tokenizer: Json }, change: (pattern: string) => string) {
  const [split] = json.pre_tokenizer.pretokenizers as [{ pattern: { Regex: string } }];
  split.pattern.Regex = change(split.pattern.Regex);
}
