import { bytesSource, countingSource } from '@pai-cpt/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type ReadablePair, readablePair, readablePairs } from '../../test/fixtures.ts';
import { checkIndex } from '../index-format.ts';
import { readIndexFile } from '../read-index.ts';
import { type Piece, planReading, type ReadPlan, readPieces } from './walk.ts';

test('a sample is 256 stretches apart from one another, never more than its bytes', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1e11 }), fc.constantFrom(2, 4, 8), (tokens, width) => {
      const plan = planReading(tokens, width, false, 64 * 1024 * 1024);
      const stretches = [...plan.stretches()];
      let end = 0;
      let read = 0;
      for (const { from, count } of stretches) {
        expect(from).toBeGreaterThanOrEqual(end);
        expect(Number.isInteger(from)).toBe(true);
        end = from + count;
        read += count;
      }
      expect(end).toBeLessThanOrEqual(tokens);
      expect(read).toBe(plan.tokens);
      expect(read * width).toBeLessThanOrEqual(64 * 1024 * 1024);
      expect(plan.isWhole).toBe(read === tokens);
      if (!plan.isWhole) {
        expect(stretches.length).toBe(256);
        expect(new Set(stretches.map(({ from }, i) => from - Math.floor((i * tokens) / 256))).size).toBeGreaterThan(64);
      }
    }),
    { numRuns: 20 },
  );
  const all = planReading(3_000_000, 4, true, 1);
  expect([...all.stretches()].reduce((sum, { count }) => sum + count, 0)).toBe(3_000_000);
});

async function walk(pair: ReadablePair, plan: ReadPlan) {
  const idx = bytesSource(pair.idx);
  const bin = countingSource(bytesSource(pair.bin));
  const index = await readIndexFile(idx, 'set.idx');
  const findings = checkIndex(index.header, index.arrays, pair.bin.byteLength, { idx: 'set.idx', bin: 'set.bin' });
  const pieces: Piece[] = [];
  for await (const piece of readPieces({ ...index, findings }, bin, plan, { binFile: 'set.bin' })) pieces.push(piece);
  return { pieces, stats: bin.stats };
}

/** Each id of a pair with what a piece must say about it. */
function idsOf(pair: ReadablePair) {
  let sequence = -1;
  return pair.documents.flatMap((sequences, document) => {
    const filled = sequences.flatMap((ids) => {
      sequence++;
      return ids.map((id, i) => ({
        id,
        document,
        sequence,
        startsSequence: i === 0,
        endsSequence: i === ids.length - 1,
      }));
    });
    return filled.map((entry, i) => ({
      ...entry,
      startsDocument: i === 0,
      endsDocument: i === filled.length - 1,
    }));
  });
}

const filled = readablePairs.filter(({ tokens }) => tokens > 0);
test.each(filled)('$name: pieces carry every id with its place', async (pair) => {
  const expected = idsOf(pair);
  for (const from of [0, 1, Math.floor(expected.length / 2)]) {
    for (const count of [1, 3, expected.length]) {
      if (from + count > expected.length) continue;
      const { pieces } = await walk(pair, { isWhole: false, tokens: count, stretches: () => [{ from, count }] });
      const found = pieces.flatMap((piece) =>
        Array.from(piece.ids, (id, i) => ({
          id,
          document: piece.document,
          sequence: piece.sequence,
          startsSequence: piece.startsSequence && i === 0,
          endsSequence: piece.endsSequence && i === piece.ids.length - 1,
          startsDocument: piece.startsDocument && i === 0,
          endsDocument: piece.endsDocument && i === piece.ids.length - 1,
        })),
      );
      expect(found).toEqual(expected.slice(from, from + count));
      expect(pieces[0]?.position).toBe(from);
    }
  }
});

test('one read a stretch, of its own bytes; of a foreign layout one a sequence', async () => {
  const plan = { isWhole: false, tokens: 4, stretches: () => [{ from: 1, count: 4 }] };
  expect((await walk(readablePair('i32_multi_sequence'), plan)).stats).toEqual({ reads: 1, bytes: 16 });
  const { pieces, stats } = await walk(readablePair('i32_swapped'), plan);
  expect(stats).toEqual({ reads: 2, bytes: 16 });
  expect(pieces.map(({ byteOffset }) => byteOffset)).toEqual([16, 0]);
});
