import { expect, test } from 'vitest';
import { decodeDocuments } from '../documents/decode-documents.ts';
import { normalizeNfc } from '../tokenizer/nfc.ts';
import { warmUpBatch } from './warm-up.ts';

test('what threads are warmed up with are documents, plain and with escapes, and some of them change under NFC', async () => {
  const texts: string[] = [];
  const pieces = (async function* () {
    yield warmUpBatch('my "key"');
  })();
  for await (const document of decodeDocuments(pieces, 'warm-up', 'my "key"')) texts.push(...document.texts);
  expect(texts.length).toBeGreaterThan(100);
  expect(texts).toContain('\u4e2d\u{1f600}/\b\f\u00e9');
  expect(texts.some((text) => normalizeNfc(text) !== text)).toBe(true);
  expect(texts.some((text) => normalizeNfc(text) === text)).toBe(true);
});
