import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { engineSource } from '../../test/encoding.ts';
import { TOKENIZER } from '../../test/fixtures.ts';
import { parseBpeModel } from '../tokenizer/bpe-model.ts';
import { loadTokenizer } from '../tokenizer/load-tokenizer.ts';
import { createTextEngine, prepareEngine, type TextEngine } from './text-engine.ts';

async function encode(engine: TextEngine, text: string): Promise<number[]> {
  const bytes = Buffer.from(text);
  engine.reserve(bytes.length);
  engine.text.set(bytes);
  const count = await engine.encode(bytes.length);
  return Array.from(engine.ids.subarray(0, count));
}

const tokenizer = await loadTokenizer(TOKENIZER);

test('texts larger than the ordinary room, before and after others', async () => {
  const engine = await createTextEngine(engineSource(), 'encode', 1000);
  const large = 'one two 子曰 '.repeat(300);
  for (const text of ['small', large, 'small', `${large}${large}`, 'small']) {
    const ids = await encode(engine, text);
    expect(await tokenizer.decode(ids)).toBe(text);
  }
});

/** A model like the fixture's, with other settings. */
function altered(change: (json: Record<string, Record<string, unknown>>) => void): Buffer {
  const json = JSON.parse(readFileSync(join(TOKENIZER, 'tokenizer.json'), 'utf8'));
  change(json);
  return Buffer.from(JSON.stringify(json));
}

test('text that grows under NFC beyond the room for it', async () => {
  const json = altered((model) => Object.assign(model, { normalizer: { type: 'NFC' } }));
  const engine = await createTextEngine(
    prepareEngine(parseBpeModel(json, 'nfc.json'), json, 'nfc.json', 'encode'),
    'encode',
    1000,
  );
  // U+1D160 becomes three characters: 4 bytes grow to 12.
  const text = '\u{1d160}'.repeat(240);
  const ids = await encode(engine, text);
  expect(await tokenizer.decode(ids)).toBe(text.normalize('NFC'));
  expect(await encode(engine, 'a')).toEqual([...(await tokenizer.encode('a'))]);
});

test('a tokenizer of another kind goes to the reference, which counts added tokens and cannot spell them', async () => {
  const json = altered((tokenizerJson) => {
    (tokenizerJson.model as Record<string, unknown>).byte_fallback = true;
  });
  const source = prepareEngine(parseBpeModel(json, 'other.json'), json, 'other.json', 'encode');
  expect('compiled' in source).toBe(false);
  const engine = await createTextEngine(source, 'encode', 1000);
  expect(await encode(engine, 'a<|endoftext|>b')).toEqual([...(await tokenizer.encode('a<|endoftext|>b'))]);
  expect(engine.addedTokenCount()).toBe(1);
  const long = 'x'.repeat(30_000);
  expect(await tokenizer.decode(await encode(engine, long))).toBe(long);
  expect(() => prepareEngine(parseBpeModel(json, 'other.json'), json, 'other.json', 'text')).toThrow(
    'other.json: this kind of tokenizer (byte_fallback)',
  );
});
