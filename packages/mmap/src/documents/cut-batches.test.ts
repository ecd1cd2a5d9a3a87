import fc from 'fast-check';
import { expect, test } from 'vitest';
import { collect, describePieces, streamOf } from '../../test/streams.ts';
import type { Batch } from './batch.ts';
import { FRESH_BUFFERS } from './batch-buffers.ts';
import { type Cutter, cutBatches, LINES, PARAGRAPHS, WHOLE } from './cut-batches.ts';

const START = { byteOffset: 0, isSeekable: true };

function cut(
  content: string | Uint8Array,
  cutter: Cutter,
  options: { batchBytes?: number; maxLine?: number; chunkBytes?: number } = {},
) {
  const { batchBytes = 10, maxLine = 100, chunkBytes = 7 } = options;
  return collect(
    cutBatches(streamOf(content, chunkBytes), cutter, START, { batchBytes, maxLine, buffers: FRESH_BUFFERS }),
  );
}

test('batches hold whole lines and know where they begin', async () => {
  const pieces = await cut('one\ntwo\nthree\nlast', LINES, { batchBytes: 11 });
  expect(describePieces(pieces)).toEqual(['0 one\ntwo\n', '8 three\nlast']);
  expect(pieces.map((piece) => (piece as Batch).isFirst)).toEqual([true, false]);
  expect(pieces.map((piece) => (piece as Batch).resumeAt)).toEqual([8, 18]);
  expect(await cut('', LINES)).toEqual([]);
});

test('sizes of reads and batches change nothing but the cuts', async () => {
  const parts = fc.array(fc.constantFrom('a', 'bcd', '\n', '子', '\r\n', ''), { maxLength: 30 });
  const size = fc.integer({ min: 1, max: 12 });
  await fc.assert(
    fc.asyncProperty(parts, size, size, async (words, chunkBytes, batchBytes) => {
      const text = words.join('');
      const pieces = (await cut(text, LINES, { chunkBytes, batchBytes })) as Batch[];
      expect(Buffer.concat(pieces.map(({ bytes }) => bytes)).toString()).toBe(text);
      let offset = 0;
      for (const { bytes, byteOffset } of pieces) {
        expect(byteOffset).toBe(offset);
        offset += bytes.byteLength;
        if (offset < Buffer.byteLength(text)) expect(bytes.at(-1)).toBe(0x0a);
      }
    }),
  );
});

test('a byte order mark is left out at the start of a file only, and counted', async () => {
  const [first, second] = (await cut('\ufeffabcd\n\ufeffb', LINES, { batchBytes: 9 })) as [Batch, Batch];
  expect(describePieces([first, second])).toEqual(['3 abcd\n', '8 \ufeffb']);
  expect([first.hasMark, second.hasMark]).toEqual([true, undefined]);
  expect([first.isFirst, second.isFirst]).toEqual([true, false]);
});

test('a line grows its batch up to the limit', async () => {
  const long = 'x'.repeat(50);
  expect(describePieces(await cut(`a\n${long}\nb\n`, LINES))).toEqual(['0 a\n', `2 ${long}\nb\n`]);
});

test('§7 very long line: reported with its offset, passed over, and what follows has its place', async () => {
  const content = `a\n${'x'.repeat(60)}\nb\nc`;
  const pieces = await cut(content, LINES, { maxLine: 20 });
  expect(describePieces(pieces)).toEqual(['0 a\n', 'oversized at 2', '63 b\nc']);
  expect((pieces[2] as Batch).skippedLines).toBe(1);
  expect(describePieces(await cut(`a\n${'x'.repeat(60)}`, LINES, { maxLine: 20 }))).toEqual([
    '0 a\n',
    'oversized at 2',
  ]);
  expect(describePieces(await cut(`${'x'.repeat(20)}\n`, LINES, { maxLine: 20 }))).toHaveLength(1);
});

test('§7 very long line: never held, and not read before somebody wants what is behind it', async () => {
  const stream = {
    reads: 0,
    async read(into: Uint8Array, at: number) {
      stream.reads++;
      into.fill(0x61, at);
      return into.length - at;
    },
    close: async () => undefined,
  };
  const pieces = cutBatches(stream, LINES, START, { batchBytes: 1024, maxLine: 4096, buffers: FRESH_BUFFERS });
  expect((await pieces.next()).value).toEqual({ kind: 'oversized', byteOffset: 0, maxBytes: 4096 });
  expect(stream.reads).toBeLessThan(8);
  await pieces.return(undefined);
});

test('paragraphs are cut behind blank lines, and within one only when it is too long', async () => {
  const text = 'one\ntwo\n \t\r\nthree\n\nfour\n';
  expect(describePieces(await cut(text, PARAGRAPHS, { batchBytes: 14 }))).toEqual([
    '0 one\ntwo\n \t\r\n',
    '12 three\n\nfour\n',
  ]);
  const pieces = (await cut('aaaa\nbbbb\ncccc\ndddd\n', PARAGRAPHS, { batchBytes: 4, maxLine: 12 })) as Batch[];
  expect(describePieces(pieces)).toEqual(['0 aaaa\nbbbb\n', '10 cccc\ndddd\n']);
  expect(pieces.map(({ isCut }) => isCut)).toEqual([true, undefined]);
});

test('a text is one record, also an empty one; past the limit it is cut at a paragraph end', async () => {
  const [whole] = (await cut(' a\n\nb ', WHOLE)) as [Batch];
  expect([...(whole.spans as Int32Array)]).toEqual([0, 6]);
  expect(describePieces(await cut('', WHOLE))).toEqual(['0 ']);
  expect(describePieces(await cut('aaaa\n\nbb\ncc\n\ndddddd', WHOLE, { maxLine: 14 }))).toEqual([
    '0 aaaa\n\nbb\ncc\n\n',
    '13 dddddd',
  ]);
  expect(describePieces(await cut('x'.repeat(40), WHOLE, { maxLine: 14 }))).toEqual(['oversized at 0']);
});
