import { bytesSource } from '@pai-cpt/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { refusal } from '../../test/fixtures.ts';
import { readLines } from './lines.ts';

async function lines(text: string | Uint8Array, options = {}) {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text;
  const found = [];
  for await (const line of readLines(bytesSource(bytes), 'a.jsonl', options)) {
    found.push({ text: Buffer.from(line.bytes).toString(), number: line.number, byteOffset: line.byteOffset });
  }
  return found;
}

test('lines keep their breaks and know where they stand', async () => {
  expect(await lines('ab\n\r\n子\nlast')).toEqual([
    { text: 'ab\n', number: 1, byteOffset: 0 },
    { text: '\r\n', number: 2, byteOffset: 3 },
    { text: '子\n', number: 3, byteOffset: 5 },
    { text: 'last', number: 4, byteOffset: 9 },
  ]);
  expect(await lines('')).toEqual([]);
});

test('a byte order mark is left out at the start only', async () => {
  expect(await lines('\ufeffa\n\ufeffb')).toEqual([
    { text: 'a\n', number: 1, byteOffset: 3 },
    { text: '\ufeffb', number: 2, byteOffset: 5 },
  ]);
});

test('the size of a read does not change the lines', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom('a', '\n', '子', '\r\n', '')),
      fc.integer({ min: 1, max: 9 }),
      async (parts, chunkBytes) => {
        const text = parts.join('');
        const found = await lines(text, { chunkBytes });
        expect(found.map((line) => line.text).join('')).toBe(text);
        expect(found.map((line) => line.text)).toEqual(text.match(/[^\n]*\n|[^\n]+$/g) ?? []);
        for (const line of found)
          expect(Buffer.from(text).subarray(line.byteOffset).toString().startsWith(line.text)).toBe(true);
      },
    ),
  );
});

test.each([
  [1000, 4],
  [3, 4],
])(
  'a line above the limit is refused before it is held whole (reads of %i bytes)',
  async (chunkBytes, maxDocumentBytes) => {
    expect(await lines('abc\nabc', { chunkBytes, maxDocumentBytes })).toHaveLength(2);
    const error = await refusal(lines('a\nabcd\n', { chunkBytes, maxDocumentBytes }));
    expect(error.code).toBe('CPT_INPUT_DOCUMENT_TOO_LONG');
    expect(error.message).toContain('a.jsonl:2:2');
    expect((await refusal(lines('a\nabcde', { chunkBytes, maxDocumentBytes }))).code).toBe(
      'CPT_INPUT_DOCUMENT_TOO_LONG',
    );
  },
);

test('a line without an end is not read to the end', async () => {
  const reads: number[] = [];
  const source = {
    byteLength: 2 ** 40,
    read: async (offset: number, length: number) => {
      reads.push(offset);
      return new Uint8Array(length).fill(0x61);
    },
  };
  const first = readLines(source, 'a.jsonl', { chunkBytes: 1024, maxDocumentBytes: 4096 }).next();
  expect((await refusal(first)).code).toBe('CPT_INPUT_DOCUMENT_TOO_LONG');
  expect(reads.length).toBe(5);
});
