import { readFileSync } from 'node:fs';
import { bytesSource } from '@pai-cpt/core';
import { expect, test } from 'vitest';
import { refusal } from '../../test/fixtures.ts';
import { collect, inputFile, readInput } from '../../test/streams.ts';
import type { Batch } from './batch.ts';
import { FRESH_BUFFERS } from './batch-buffers.ts';
import { decodeDocuments } from './decode-documents.ts';
import { readParquet } from './parquet.ts';

const read = (bytes: Uint8Array, options: { textKey?: string; batchBytes?: number; maxLine?: number } = {}) =>
  readParquet(bytesSource(bytes), 'a.parquet', {
    textKey: 'text',
    batchBytes: 1000,
    maxLine: 1000,
    buffers: FRESH_BUFFERS,
    ...options,
  });
const decode = (bytes: Uint8Array, options = {}) => collect(decodeDocuments(read(bytes, options), 'a.parquet', 'text'));

/** The rows that the files were made from. */
const rows = readInput('lists.jsonl')
  .toString()
  .trimEnd()
  .split('\n')
  .map((line) => (JSON.parse(line) as { text: string | string[] }).text);
const lists = rows.map((text) => (Array.isArray(text) ? text : [text]));

test.each([1, 30, 1000])(
  'a list of strings is one document of several sequences (batches of %i)',
  async (batchBytes) => {
    expect(await decode(readFileSync(inputFile('lists.parquet')), { batchBytes })).toEqual(
      lists.map((texts, byteOffset) => ({ texts, byteOffset })),
    );
  },
);

test.each(['strings.parquet', 'strings-zstd.parquet', 'strings-gzip.parquet'])(
  '%s: a row a document, a null is a missing text',
  async (name) => {
    const pieces = (await collect(read(readFileSync(inputFile(name))))) as Batch[];
    const found = pieces.flatMap(({ bytes, spans = new Int32Array() }) =>
      Array.from({ length: spans.length / 2 }, (_, i) =>
        spans[2 * i] === -1 ? null : Buffer.from(bytes.subarray(spans[2 * i], spans[2 * i + 1])).toString(),
      ),
    );
    expect(found).toEqual(lists.map(([first]) => first ?? null));
    const error = await refusal(decode(readFileSync(inputFile(name))));
    expect(error.code).toBe('CPT_FORMAT_TEXT_MISSING');
    expect(error.message).toContain('a.parquet:row 3: "text" is neither a string nor a list of strings');
  },
);

test('a column that is not there, and one that holds no text', async () => {
  const error = await refusal(collect(read(readFileSync(inputFile('strings.parquet')), { textKey: 'body' })));
  expect(error.code).toBe('CPT_FORMAT_TEXT_MISSING');
  expect(error.message).toContain('no column "body"; columns here: "id", "text"; name the right one with --text-key');
  expect((await refusal(decode(readFileSync(inputFile('numbers.parquet'))))).message).toContain('a.parquet:row 1:');
});

test('a text above the limit is passed over, and rows are counted on', async () => {
  const pieces = await collect(read(readFileSync(inputFile('lists.parquet')), { maxLine: 30 }));
  expect(
    pieces.map((piece) => (piece.kind === 'oversized' ? `oversized ${piece.byteOffset}` : piece.byteOffset)),
  ).toEqual(['oversized 0', 1, 'oversized 3', 'oversized 4', 5, 'oversized 6']);
});

test('§7 a damaged file is refused, wherever it is cut', async () => {
  const whole = readFileSync(inputFile('strings.parquet'));
  for (let length = 0; length < whole.length; length += 13) {
    expect((await refusal(decode(whole.subarray(0, length)))).code, String(length)).toBe('CPT_FORMAT_PARQUET');
  }
});
