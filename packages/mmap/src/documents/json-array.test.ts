import fc from 'fast-check';
import { expect, test } from 'vitest';
import { refusal } from '../../test/fixtures.ts';
import { collect, streamOf } from '../../test/streams.ts';
import type { Batch, Piece } from './batch.ts';
import { FRESH_BUFFERS } from './batch-buffers.ts';
import { cutJsonArray } from './json-array.ts';

const cut = (text: string, { batchBytes = 8, maxLine = 100, chunkBytes = 5 } = {}) =>
  collect(cutJsonArray(streamOf(text, chunkBytes), 'a.json', { batchBytes, maxLine, buffers: FRESH_BUFFERS }));

const elements = (pieces: readonly Piece[]) =>
  pieces.flatMap((piece) => {
    if (piece.kind === 'oversized') return [`oversized at ${piece.byteOffset}`];
    const { bytes, spans } = piece;
    return Array.from({ length: (spans as Int32Array).length / 2 }, (_, i) =>
      Buffer.from(bytes.subarray(spans?.[2 * i], spans?.[2 * i + 1])).toString(),
    );
  });

test('the elements are those that JSON.parse finds, however the file is read', async () => {
  const size = fc.integer({ min: 1, max: 20 });
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.jsonValue({ maxDepth: 3 }), { maxLength: 6 }),
      fc.constantFrom(undefined, 1),
      size,
      size,
      async (values, indent, batchBytes, chunkBytes) => {
        const text = ` ${JSON.stringify(values, null, indent)}\n`;
        const found = elements(await cut(text, { batchBytes, chunkBytes, maxLine: 1e6 }));
        expect(found.map((element) => JSON.parse(element))).toEqual(JSON.parse(text));
      },
    ),
    { numRuns: 200 },
  );
});

test('brackets, commas and quotes in strings are text', async () => {
  expect(elements(await cut('[{"a":"],\\"}"},"\\\\"]'))).toEqual(['{"a":"],\\"}"}', '"\\\\"']);
});

test.each([
  ['[{"a":1} {"b":2}]', 9, 'a comma belongs between'],
  ['[{"a":1},,2]', 9, 'an element of the array is missing'],
  ['[{"a":1},]', 9, 'an element of the array is missing'],
  ['[1]\n[2]', 4, 'bytes follow the array'],
  ['[1,', 3, 'the array does not end'],
  ['[{"a":1}', 8, 'the array does not end'],
])('%s is refused with its place', async (text, offset, why) => {
  const error = await refusal(cut(text));
  expect(error.code).toBe('CPT_FORMAT_JSON_LINE');
  expect(error.message).toContain(`a.json:${offset}: ${why}`);
});

test('an element above the limit is passed over, and lines are counted on', async () => {
  const text = `[{"a":1},\n"${'x'.repeat(40)}\n${'x'.repeat(40)}",\n{"b":2}]`;
  const pieces = await cut(text, { maxLine: 20 });
  expect(elements(pieces)).toEqual(['{"a":1}', 'oversized at 10', '{"b":2}']);
  const last = pieces.at(-1) as Batch;
  const lines = pieces
    .slice(0, -1)
    .reduce(
      (sum, piece) => sum + (piece.kind === 'batch' ? Buffer.from(piece.bytes).toString().split('\n').length - 1 : 0),
      0,
    );
  expect(
    lines +
      (last.skippedLines ?? 0) +
      Buffer.from(last.bytes.subarray(0, last.spans?.[0])).toString().split('\n').length -
      1,
  ).toBe(3);
});
