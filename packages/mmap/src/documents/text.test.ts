import { bytesSource } from '@pai-cpt/core';
import { expect, test } from 'vitest';
import { refusal } from '../../test/fixtures.ts';
import { readText } from './text.ts';

async function documents(content: string | Uint8Array, options = {}) {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  const found = [];
  for await (const document of readText(bytesSource(bytes), 'a.txt', { chunkBytes: 5, ...options }))
    found.push(document);
  return found;
}

test('a file is one document, as it is', async () => {
  const text = ' 子曰\r\n\r\n学而 \n\n';
  expect(await documents(text)).toEqual([{ texts: [text], byteOffset: 0 }]);
  expect(await documents(`\ufeff${text}`)).toEqual([{ texts: [text], byteOffset: 0 }]);
  expect(await documents('')).toEqual([{ texts: [''], byteOffset: 0 }]);
});

test('with splitParagraphs, blank lines part documents', async () => {
  const text = '\n\none\n  two\n\n \t\nthree\r\nfour\r\n\r\n\nfive';
  expect(await documents(text, { splitParagraphs: true })).toEqual([
    { texts: ['one\n  two'], byteOffset: 2 },
    { texts: ['three\r\nfour'], byteOffset: 16 },
    { texts: ['five'], byteOffset: 32 },
  ]);
  expect(await documents('\n \n', { splitParagraphs: true })).toEqual([]);
});

test.each([
  [{}, 'a.txt:4'],
  [{ splitParagraphs: true }, 'a.txt:2:4'],
])('bytes that are not UTF-8 are refused where they stand (%j)', async (options, place) => {
  const error = await refusal(documents(Buffer.from([0x61, 0x0a, 0x62, 0x63, 0xff, 0x0a]), options));
  expect(error.code).toBe('CPT_FORMAT_UTF8');
  expect(error.message.startsWith(`${place}: not UTF-8`)).toBe(true);
});

test('a byte order mark counts in the offset of an error', async () => {
  const error = await refusal(documents(Buffer.from([0xef, 0xbb, 0xbf, 0x61, 0xff])));
  expect(error.details.byteOffset).toBe(4);
});

test.each([
  [{ maxDocumentBytes: 7 }, 'a.txt: this document'],
  [{ maxDocumentBytes: 5, splitParagraphs: true }, 'a.txt:1:0: this document'],
])('a document above the limit is refused (%j)', async (options, place) => {
  const error = await refusal(documents('abc\ndef\n', options));
  expect(error.code).toBe('CPT_INPUT_DOCUMENT_TOO_LONG');
  expect(error.message.startsWith(place)).toBe(true);
  expect(await documents('abc\n\ndef\n', { maxDocumentBytes: 5, splitParagraphs: true })).toHaveLength(2);
});
