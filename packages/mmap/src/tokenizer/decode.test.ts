import { readFileSync } from 'node:fs';
import { Tokenizer } from 'tokenizers';
import { describe, expect, it } from 'vitest';
import { type BpeModel, parseBpeModel } from './bpe-model.ts';
import { createTokenDecoder } from './decode.ts';

const file = readFileSync(new URL('../../../../fixtures/tokenizer/tokenizer.json', import.meta.url));
const reference = Tokenizer.fromString(file.toString('utf8'));
const decoder = createTokenDecoder(parseBpeModel(file, 'tokenizer.json') as BpeModel);
const encode = async (text: string) => (await reference.encode(text, null, { addSpecialTokens: false })).getIds();

describe('decode', () => {
  it.each(['Call me Ishmael.', '子曰：學而時習之', 'a\u{1f600}b', '\ufeffBOM', '<|im_start|>x<|endoftext|>'])(
    'gives back %j, whole and id by id',
    async (text) => {
      const ids = await encode(text);
      expect(decoder.decode(ids)).toBe(text);
      const stream = decoder.stream();
      expect(ids.map((id) => stream.push(id)).join('') + stream.end()).toBe(text);
    },
  );

  it('never gives half a character while streaming', async () => {
    const ids = await encode('\u{1f600}');
    expect(ids.length).toBeGreaterThan(1); // the fixture has no token for it
    const stream = decoder.stream();
    for (const id of ids.slice(0, -1)) expect(stream.push(id)).toBe('');
    expect(stream.push(ids.at(-1) as number)).toBe('\u{1f600}');
  });

  it('decodes cut characters and unknown ids as the reference does', async () => {
    const ids = await encode('子曰');
    for (const cut of [ids.slice(1), ids.slice(0, -1), [...ids, 5000]]) {
      expect(decoder.decode(cut)).toBe(await reference.decode(cut, false));
    }
  });
});
