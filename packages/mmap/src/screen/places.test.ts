import { expect, test } from 'vitest';
import type { Batch, Piece } from '../documents/batch.ts';
import { createPlaces } from './places.ts';

const batch = (fields: Partial<Batch> & { text: string }): Batch => {
  const { text, ...rest } = fields;
  return {
    kind: 'batch',
    layout: 'lines',
    content: 'json',
    bytes: Buffer.from(text),
    byteOffset: 0,
    isFirst: false,
    unit: 'line',
    ...rest,
  };
};

async function placesOf(pieces: Piece[], offsets: number[][]) {
  const places = createPlaces();
  const found: unknown[] = [];
  const source = (async function* () {
    yield* pieces;
  })();
  let i = 0;
  for await (const _ of places.watch(source)) {
    for (const byteOffset of offsets[i++] as number[]) {
      const { line, source: bytes } = places.of({ byteOffset, texts: [] });
      found.push([line, bytes && Buffer.from(bytes).toString()]);
    }
  }
  return found;
}

test('lines go on from batch to batch, over blank ones and what was too long', async () => {
  const pieces: Piece[] = [
    batch({ text: '{1}\n\n{2}\n', byteOffset: 3 }),
    { kind: 'oversized', byteOffset: 12, maxBytes: 5 },
    batch({ text: '{4}\n', byteOffset: 30, skippedLines: 1 }),
  ];
  expect(await placesOf(pieces, [[3, 8], [], [30]])).toEqual([
    [1, '{1}\n'],
    [3, '{2}\n'],
    [5, '{4}\n'],
  ]);
});

test('a document that gives no text is passed over', async () => {
  expect(await placesOf([batch({ text: '{1}\n{2}\n{3}\n' })], [[0, 8]])).toEqual([
    [1, '{1}\n'],
    [3, '{3}\n'],
  ]);
});

test('rows are counted, also those of several texts', async () => {
  const rows = (perDocument: number[], byteOffset: number) =>
    batch({
      text: 'abc',
      layout: 'spans',
      content: 'text',
      unit: 'row',
      byteOffset,
      spans: Int32Array.of(0, 1, 1, 2, 2, 3),
      perDocument: Int32Array.from(perDocument),
    });
  expect(
    await placesOf(
      [rows([2, 1], 0), rows([1, 1, 1], 2)],
      [
        [0, 1],
        [2, 4],
      ],
    ),
  ).toEqual([
    [1, undefined],
    [2, undefined],
    [3, undefined],
    [5, undefined],
  ]);
});
