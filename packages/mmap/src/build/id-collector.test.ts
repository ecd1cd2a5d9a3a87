import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MAX_SEQUENCE_TOKENS } from './encode-rules.ts';
import { createIdCollector } from './id-collector.ts';
import { encodeLengths, sequenceLengths, sequencesPerDocument } from './lengths.ts';
import { routeDocuments } from './route-documents.ts';

const EOD = 9;
const documents = fc.array(fc.array(fc.array(fc.integer({ min: 0, max: 8 }), { maxLength: 4 }), { maxLength: 3 }), {
  maxLength: 12,
});

function gather(all: number[][][], keepEmpty: boolean) {
  const collector = createIdCollector('uint16', MAX_SEQUENCE_TOKENS);
  const kept = all.filter((document) => {
    for (const ids of document) collector.add(Int32Array.from([...ids, 77, 77]), ids.length);
    return collector.endDocument(EOD, keepEmpty) > 0;
  });
  return { kept, taken: collector.take() };
}

/** What must come out: sequences without ids are left out, the end of document joins the last one. */
const expected = (document: number[][]) => {
  const sequences = document.filter((ids) => ids.length > 0);
  return sequences.map((ids, i) => (i === sequences.length - 1 ? [...ids, EOD] : ids));
};

test('documents come out as they went in, through runs for any part and back from the side file', () => {
  fc.assert(
    fc.property(
      documents,
      fc.boolean(),
      fc.array(fc.boolean(), { minLength: 12, maxLength: 12 }),
      (all, keepEmpty, choice) => {
        const { kept, taken } = gather(all, keepEmpty);
        expect(kept).toHaveLength(taken.largest.length);
        const encoded = {
          ...taken,
          lines: 0,
          empty: 0,
          bad: [],
          split: 0,
          replaced: 0,
          addedTokens: 0,
          addedTokenDocuments: 0,
        };
        const parts: number[][][][] = [[], []];
        for (const piece of routeDocuments(encoded, kept.length, (document) => (choice[document] ? 1 : 0))) {
          const side = encodeLengths(piece.lengths, piece.perDocument);
          // The side file may be read back in pieces that end anywhere.
          const halves = [side.subarray(0, side.length >> 1), side.subarray(side.length >> 1)];
          const lengths = [...sequenceLengths(halves)].flatMap((numbers) => [...numbers]);
          const counts = [...sequencesPerDocument(halves)].flatMap((numbers) => [...numbers]);
          expect(counts).toHaveLength(piece.documents);
          const ids = [...piece.ids];
          const sequences = lengths.map((length) => ids.splice(0, length));
          expect(ids).toEqual([]);
          for (const count of counts) parts[piece.part]?.push(sequences.splice(0, count));
          expect(piece.largest).toBe(Math.max(-1, ...piece.ids));
        }
        expect(parts[0]).toEqual(kept.filter((_, i) => !choice[i]).map(expected));
        expect(parts[1]).toEqual(kept.filter((_, i) => choice[i]).map(expected));
      },
    ),
    { numRuns: 300 },
  );
});

test('neighbours of one part are one piece, and only the documents asked for come', () => {
  const { taken } = gather([[[1]], [[2]], [[3]], [[4]]], false);
  const encoded = {
    ...taken,
    lines: 0,
    empty: 0,
    bad: [],
    split: 0,
    replaced: 0,
    addedTokens: 0,
    addedTokenDocuments: 0,
  };
  const asked: number[] = [];
  const partOf = (document: number) => {
    asked.push(document);
    return document === 2 ? 1 : 0;
  };
  const pieces = [...routeDocuments(encoded, 3, partOf)];
  expect(pieces.map(({ part, ids }) => [part, ...ids])).toEqual([
    [0, 1, EOD, 2, EOD],
    [1, 3, EOD],
  ]);
  expect(asked).toEqual([0, 1, 2]);
  expect([...routeDocuments(encoded, 0, () => 0)]).toEqual([]);
});

test.each([
  ['as long as it may be', [[1, 2, 3]], [[[1, 2, 3, EOD]]]],
  ['one id more', [[1, 2, 3, 4]], [[[1, 2, 3, EOD]], [[4, EOD]]]],
  [
    'several sequences, cut within the second',
    [[1, 2], [3, 4], [5]],
    [
      [
        [1, 2],
        [3, EOD],
      ],
      [[4], [5, EOD]],
    ],
  ],
  ['a cut where a sequence ends', [[1, 2, 3], [4]], [[[1, 2, 3, EOD]], [[4, EOD]]]],
])('§7 document of too many tokens: split at 4, %s', (_, sequences, wanted) => {
  const collector = createIdCollector('int32', 4);
  collector.add(Int32Array.of(7), 1);
  collector.endDocument(EOD, false);
  for (const ids of sequences) collector.add(Int32Array.from(ids), ids.length);
  expect(collector.endDocument(EOD, false)).toBe(wanted.length);
  const { ids, lengths, perDocument, largest } = collector.take();
  expect([...ids]).toEqual([7, EOD, ...wanted.flat(2)]);
  expect([...lengths]).toEqual([2, ...wanted.flat().map(({ length }) => length)]);
  expect([...(perDocument ?? lengths.map(() => 1))]).toEqual([1, ...wanted.map(({ length }) => length)]);
  expect([...largest]).toEqual([EOD, ...wanted.map(() => EOD)]);
});

test('§7 document of too many tokens: without an end of document all of them are text, and a dropped one is not split', () => {
  const collector = createIdCollector('int32', 2);
  collector.add(Int32Array.of(1, 2, 3, 4, 5), 5);
  expect(collector.endDocument(undefined, false)).toBe(3);
  collector.add(Int32Array.of(6, 7, 8), 3);
  collector.drop();
  expect(collector.endDocument(undefined, true)).toBe(1);
  const { ids, lengths, perDocument, largest } = collector.take();
  expect([[...ids], [...lengths], [...(perDocument ?? [])]]).toEqual([
    [1, 2, 3, 4, 5],
    [2, 2, 1],
    [1, 1, 1, 0],
  ]);
  expect([...largest]).toEqual([2, 4, 5, -1]);
});

test('what is dropped leaves nothing, and memory grows with what comes', () => {
  const collector = createIdCollector('int32', MAX_SEQUENCE_TOKENS);
  collector.add(Int32Array.of(1, 2), 2);
  collector.drop();
  const many = new Int32Array(1 << 19).fill(5);
  collector.add(many, many.length);
  collector.endDocument(EOD, false);
  const { ids, lengths } = collector.take();
  expect([...lengths]).toEqual([(1 << 19) + 1]);
  expect([ids[0], ids.at(-2), ids.at(-1)]).toEqual([5, 5, EOD]);
  expect(collector.take().ids).toHaveLength(0);
});
