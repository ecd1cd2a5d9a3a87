import { expect, test } from 'vitest';
import { parseSidecar, type Sidecar, serializeSidecar } from './sidecar.ts';

const sidecar: Sidecar = {
  version: 1,
  tokenizer: { file: 'tokenizer.json', fingerprint: 'ab', vocabSize: 1003, eodToken: null },
  dtype: 'uint16',
  documents: 2,
  sequences: 3,
  tokens: 9,
  maxId: 7,
  inputs: [{ path: 'a.txt', bytes: 5, sha256: 'cd' }],
  options: { textKey: 'text', splitParagraphs: false },
  dropped: { empty: 1 },
  heldOut: { part: 'valid', share: 0.05, seed: 1234 },
  sha256: { bin: 'ef', idx: '01' },
};

test('what is written is what is read', () => {
  expect(parseSidecar(Buffer.from(serializeSidecar(sidecar)), 'set.json')).toEqual(sidecar);
});

const tokenizer = sidecar.tokenizer;
test.each([
  ['[]', '"version"'],
  ['null', '"version"'],
  [{ ...sidecar, version: 2 }, '"version"'],
  [{ ...sidecar, tokenizer: 'x' }, '"tokenizer"'],
  [{ ...sidecar, tokenizer: { ...tokenizer, vocabSize: '1003' } }, '"tokenizer.vocabSize"'],
  [{ ...sidecar, tokenizer: { ...tokenizer, eodToken: -1 } }, '"tokenizer.eodToken"'],
  [{ ...sidecar, tokenizer: { ...tokenizer, file: 1 } }, '"tokenizer.file"'],
  [{ ...sidecar, tokenizer: { ...tokenizer, fingerprint: undefined } }, '"tokenizer.fingerprint"'],
  [{ ...sidecar, documents: 1.5 }, '"documents"'],
  [{ ...sidecar, sequences: null }, '"sequences"'],
  [{ ...sidecar, tokens: undefined }, '"tokens"'],
  ['{', 'not JSON'],
])('%j is refused and the field named', (value, field) => {
  const bytes = Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
  expect(() => parseSidecar(bytes, 'set.json')).toThrow(`set.json: ${field}`);
});
