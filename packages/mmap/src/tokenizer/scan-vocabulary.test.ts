import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { type BpeModel, parseBpeModel } from './bpe-model.ts';

interface Json {
  model: { vocab: Record<string, number>; merges: [string, string][] };
}
const file = readFileSync(new URL('../../../../fixtures/tokenizer/tokenizer.json', import.meta.url));
const json = JSON.parse(file.toString('utf8')) as Json;
const alphabet = new Map<string, number>();
for (let byte = 0, next = 256; byte < 256; byte++) {
  const isItself = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  alphabet.set(String.fromCharCode(isItself ? byte : next++), byte);
}

/** Tokens and merges of a file, as plain lists. */
function contentOf(text: string) {
  const model = parseBpeModel(Buffer.from(text), 'tokenizer.json') as BpeModel;
  const tokens: [number, number[]][] = [];
  model.tokens.forEach((bytes, id) => {
    tokens.push([id, [...bytes]]);
  });
  return { tokens, merges: [...model.merges], count: model.tokens.count };
}
const added = new Set((json as unknown as { added_tokens: { content: string }[] }).added_tokens.map((a) => a.content));
const { vocab, merges } = json.model;
const expected = {
  tokens: Object.entries(vocab)
    .filter(([spelling]) => !added.has(spelling))
    .map(([spelling, id]) => [id, Array.from(spelling, (char) => alphabet.get(char))])
    .sort(([a], [b]) => (a as number) - (b as number)),
  merges: merges.flatMap(([left, right]) => [vocab[left], vocab[right], vocab[left + right]]),
  count: Object.keys(vocab).filter((spelling) => !added.has(spelling)).length,
};
const written = (change: (copy: Json) => void, space?: number) => {
  const copy = structuredClone(json);
  change(copy);
  return JSON.stringify(copy, null, space);
};
const escaped = (text: string) =>
  text.replace(/[^\0-\x7f]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);

test.each([
  ['as it is', file.toString('utf8')],
  ['without white space', written(() => {})],
  ['in many lines', written(() => {}, 4)],
  ['in ASCII, with escapes', escaped(written(() => {}))],
  ['with merges as strings', written(({ model }) => Object.assign(model, { merges: merges.map((m) => m.join(' ')) }))],
  [
    'with merges before the vocabulary',
    written((copy) => {
      const { vocab: last, ...first } = copy.model;
      Object.assign(copy, { model: { ...first, vocab: last } });
    }),
  ],
  [
    'with a token twice',
    written(() => {}).replace('"vocab":{', `"vocab":{${JSON.stringify(Object.keys(vocab)[5])}:7,`),
  ],
  ['with an earlier model, which does not count', written(() => {}).replace('{', '{"model":{"vocab":{},"merges":[]},')],
])('reads the tokens and merges of a file: %s', (_, text) => {
  expect(contentOf(text)).toEqual(expected);
});

test.each([
  ['a comma too many', (text: string) => text.replace(/(\d)\},"merges"/, '$1,},"merges"')],
  ['a control character', (text: string) => text.replace('"vocab":{"', '"vocab":{"\n')],
  ['a number with a zero before it', (text: string) => text.replace(/:(\d+)\},"merges"/, ':0$1},"merges"')],
  ['an end too early', (text: string) => text.slice(0, text.indexOf('"merges"') + 40)],
  ['a bracket that is not closed', (text: string) => text.replace(/\]\](?=[^\]]*$)/, ']')],
])('refuses what JSON.parse refuses: %s', (_, change) => {
  const text = change(written(() => {}));
  expect(() => JSON.parse(text)).toThrow();
  expect(() => parseBpeModel(Buffer.from(text), 'tokenizer.json')).toThrow('tokenizer.json: not JSON');
});

test.each([
  ['a token outside the alphabet', (copy: Json) => Object.assign(copy.model.vocab, { 'a b': 5000 }), 'byte alphabet'],
  ['an id that is none', (copy: Json) => Object.assign(copy.model.vocab, { zzzz: 1.5 }), 'without plain ids'],
  ['two tokens of one id', (copy: Json) => Object.assign(copy.model.vocab, { zzzz: 5 }), 'without plain ids'],
  ['a name every object has', (copy: Json) => copy.model.merges.push(['construct', 'or']), 'merge'],
])('leaves %s to the reference', (_, change, reason) => {
  const model = parseBpeModel(Buffer.from(written(change)), 'tokenizer.json');
  expect(model).toMatchObject({ unsupported: expect.stringContaining(reason) });
});
