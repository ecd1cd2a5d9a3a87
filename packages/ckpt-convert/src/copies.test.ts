import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  composeCopies,
  copiesBetween,
  joinColumns,
  moveRuns,
  type Placement,
  type RowRun,
  type StridedCopy,
  stackHalves,
  stackRows,
  takeHalf,
  takeQkv,
  trimRows,
} from './copies.ts';

const packed = (shards: number, columns: number, bytes: number) =>
  new Array(shards).fill({ rowStep: columns * bytes, columnStep: bytes });

/** Rows named by a letter and a number, one byte a row: the layout is then readable. */
function rowsOf(placements: Placement[], runs: RowRun[], shards: string[]): string {
  const names = shards.map((shard) => shard.split(' '));
  const rows = runs.reduce((sum, run) => sum + run.rows, 0);
  const output = new Uint8Array(rows);
  const all = names.flat();
  const sources = names.map((shard) => Uint8Array.from(shard, (name) => all.indexOf(name)));
  for (const copy of composeCopies(placements, runs, packed(shards.length, 1, 1), 1, 1)) {
    moveRuns(copy, sources[copy.shard] as Uint8Array, 0, output, 0);
  }
  return [...output].map((at) => all[at]).join(' ');
}

describe('4 heads in 2 groups of head dim 2, by hand', () => {
  const twoRanks = ['q0 q1 q2 q3 k0 k1 v0 v1', 'q4 q5 q6 q7 k2 k3 v2 v3'];
  const fourRanks = ['q0 q1 q2 q3', 'k0 k1 v0 v1', 'q4 q5 q6 q7', 'k2 k3 v2 v3'];
  it.each([
    ['as many ranks as groups', stackRows(2, 8, 1), twoRanks],
    ['more ranks than groups', stackRows(4, 4, 1), fourRanks],
    ['one rank', stackRows(1, 16, 1), [twoRanks.join(' ')]],
  ])('silent error 2: Q, K and V with %s', (_, placements, shards) => {
    // Thirds of the concatenation would give "q0 q1 q2 q3 k0 k1 v0 v1" as Q: the right shape, and wrong.
    expect(rowsOf(placements, takeQkv('q', 2, 2, 2), shards)).toBe('q0 q1 q2 q3 q4 q5 q6 q7');
    expect(rowsOf(placements, takeQkv('k', 2, 2, 2), shards)).toBe('k0 k1 k2 k3');
    expect(rowsOf(placements, takeQkv('v', 2, 2, 2), shards)).toBe('v0 v1 v2 v3');
  });

  it('silent error 1: gate and up, which each rank holds one after the other', () => {
    const shards = ['g0 g1 g2 u0 u1 u2', 'g3 g4 g5 u3 u4 u5'];
    // Halves of the concatenation would give "g0 g1 g2 u0 u1 u2" as gate.
    expect(rowsOf(stackHalves(2, 3, 1), takeHalf(0, 6), shards)).toBe('g0 g1 g2 g3 g4 g5');
    expect(rowsOf(stackHalves(2, 3, 1), takeHalf(1, 6), shards)).toBe('u0 u1 u2 u3 u4 u5');
  });

  it('silent error 6: 5 tokens padded to 8 rows: the padding ends the table, not each rank', () => {
    expect(rowsOf(stackRows(2, 4, 1), trimRows(5), ['t0 t1 t2 t3', 't4 p0 p1 p2'])).toBe('t0 t1 t2 t3 t4');
  });

  it('columns side by side', () => {
    const [left, right] = [Uint8Array.of(0, 1, 4, 5), Uint8Array.of(2, 3, 6, 7)];
    const copies = composeCopies(joinColumns(2, 2, 2), trimRows(2), packed(2, 2, 1), 4, 1);
    const output = new Uint8Array(8);
    for (const copy of copies) moveRuns(copy, copy.shard === 0 ? left : right, 0, output, 0);
    expect([...output]).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(copies).toHaveLength(2);
  });
});

describe('how many copies a plan takes', () => {
  it('one for rows that follow each other', () => {
    expect(composeCopies(stackRows(1, 100, 64), trimRows(100), packed(1, 64, 2), 64, 2)).toEqual([
      { shard: 0, from: 0, to: 0, bytes: 12_800, count: 1, fromStep: 12_800, toStep: 12_800 },
    ]);
  });

  it('one a rank for any number of evenly spaced groups', () => {
    const copies = composeCopies(stackRows(2, 96, 8), takeQkv('k', 32, 1, 2), packed(2, 8, 2), 8, 2);
    expect(copies).toEqual([
      { shard: 0, from: 32, to: 0, bytes: 32, count: 16, fromStep: 96, toStep: 32 },
      { shard: 1, from: 32, to: 512, bytes: 32, count: 16, fromStep: 96, toStep: 32 },
    ]);
  });
});

const sizes = fc.record({
  ranks: fc.integer({ min: 1, max: 5 }),
  groups: fc.integer({ min: 1, max: 4 }),
  headsPerGroup: fc.integer({ min: 1, max: 4 }),
  headDim: fc.integer({ min: 1, max: 5 }),
  columns: fc.integer({ min: 1, max: 4 }),
  bytes: fc.constantFrom(1, 2, 4),
});

describe('against element by element formulas', () => {
  it('Q, K and V of any grouping over any number of ranks', () => {
    fc.assert(
      fc.property(sizes, ({ ranks, groups, headsPerGroup: q, headDim: d, columns, bytes }) => {
        const width = (q + 2) * d;
        const total = groups * width * ranks; // each group repeated, so that it divides by the ranks
        const [allGroups, perRank] = [groups * ranks, total / ranks];
        for (const part of ['q', 'k', 'v'] as const) {
          const copies = composeCopies(
            stackRows(ranks, perRank, columns),
            takeQkv(part, allGroups, q, d),
            packed(ranks, columns, bytes),
            columns,
            bytes,
          );
          const rows = allGroups * d * (part === 'q' ? q : 1);
          const expected = Array.from({ length: rows }, (_, i) => {
            const head = Math.floor(i / d);
            if (part === 'q') return Math.floor(head / q) * width + (head % q) * d + (i % d);
            return head * width + (part === 'k' ? q : q + 1) * d + (i % d);
          });
          const bytesOfRow = columns * bytes;
          expectMoves(copies, rows * bytesOfRow, (at) => {
            const global = (expected[Math.floor(at / bytesOfRow)] as number) * bytesOfRow + (at % bytesOfRow);
            return [Math.floor(global / (perRank * bytesOfRow)), global % (perRank * bytesOfRow)];
          });
        }
      }),
      { numRuns: 60 },
    );
  });

  it('columns and halves of shards with any strides', () => {
    const steps = fc.record({ rowStep: fc.integer({ min: 0, max: 40 }), columnStep: fc.integer({ min: 0, max: 40 }) });
    fc.assert(
      fc.property(
        sizes,
        fc.array(steps, { minLength: 5, maxLength: 5 }),
        fc.integer({ min: 1, max: 6 }),
        (size, strides, rows) => {
          const { ranks, columns, bytes } = size;
          const joined = composeCopies(
            joinColumns(ranks, rows, columns),
            trimRows(rows),
            strides,
            columns * ranks,
            bytes,
          );
          const rowBytes = columns * ranks * bytes;
          expectMoves(joined, rows * rowBytes, (at) => {
            const [row, element] = [Math.floor(at / rowBytes), Math.floor((at % rowBytes) / bytes)];
            const { rowStep, columnStep } = strides[Math.floor(element / columns)] as (typeof strides)[0];
            return [Math.floor(element / columns), row * rowStep + (element % columns) * columnStep + (at % bytes)];
          });
          const up = composeCopies(
            stackHalves(ranks, rows, columns),
            takeHalf(1, rows * ranks),
            strides,
            columns,
            bytes,
          );
          expectMoves(up, rows * ranks * columns * bytes, (at) => {
            const [row, column] = [Math.floor(at / (columns * bytes)), Math.floor((at % (columns * bytes)) / bytes)];
            const rank = Math.floor(row / rows);
            const { rowStep, columnStep } = strides[rank] as (typeof strides)[0];
            return [rank, (rows + (row % rows)) * rowStep + column * columnStep + (at % bytes)];
          });
        },
      ),
      { numRuns: 60 },
    );
  });
});

/** Every output byte is written exactly once, from the place that `source` names. */
function expectMoves(copies: StridedCopy[], byteLength: number, source: (at: number) => [number, number]): void {
  const found = new Array<string>(byteLength);
  for (const { shard, from, to, bytes, count, fromStep, toStep } of copies) {
    for (let run = 0; run < count; run++) {
      for (let at = 0; at < bytes; at++) {
        const target = to + run * toStep + at;
        const twice = found[target] === undefined ? '' : `${found[target]} and `;
        found[target] = `${twice}${shard}:${from + run * fromStep + at}`;
      }
    }
  }
  expect(found).toEqual(Array.from({ length: byteLength }, (_, at) => source(at).join(':')));
}

describe('copiesBetween', () => {
  it('takes whole matrices apart: gate and up become the rows of each rank', () => {
    const whole = [takeHalf(0, 6), takeHalf(1, 6)].flatMap((runs, shard) =>
      runs.map(({ globalRow, toRow, rows }) => ({
        ...{ shard, globalRow, globalColumn: 0, rows, columns: 1, localRow: toRow },
      })),
    );
    const sources = [Uint8Array.of(0, 1, 2, 3, 4, 5), Uint8Array.of(10, 11, 12, 13, 14, 15)];
    const ranks = [0, 1].map((rank) => {
      const targets = stackHalves(2, 3, 1).filter(({ shard }) => shard === rank);
      const bytes = new Uint8Array(6);
      for (const copy of copiesBetween(whole, targets, packed(2, 1, 1), 1, 1)) {
        moveRuns(copy, sources[copy.shard] as Uint8Array, 0, bytes, 0);
      }
      return [...bytes];
    });
    expect(ranks).toEqual([
      [0, 1, 2, 10, 11, 12],
      [3, 4, 5, 13, 14, 15],
    ]);
  });

  it('cuts columns of one grid by columns of another', () => {
    // [2, 6] over 2 ranks, then over 3: rank 1 of 3 takes columns 2 and 3, one from each.
    const sources = [Uint8Array.of(0, 1, 2, 6, 7, 8), Uint8Array.of(3, 4, 5, 9, 10, 11)];
    const targets = joinColumns(3, 2, 2).filter(({ shard }) => shard === 1);
    const bytes = new Uint8Array(4);
    for (const copy of copiesBetween(joinColumns(2, 2, 3), targets, packed(2, 3, 1), 2, 1)) {
      moveRuns(copy, sources[copy.shard] as Uint8Array, 0, bytes, 0);
    }
    expect([...bytes]).toEqual([2, 3, 8, 9]);
  });
});

describe('moveRuns', () => {
  it.each([3, 40])('moves runs of %i bytes between buffers that begin elsewhere', (bytes) => {
    const source = Uint8Array.from({ length: 200 }, (_, at) => at);
    const target = new Uint8Array(100);
    const copy = { from: 110, to: 1000, bytes, count: 2, fromStep: 50, toStep: 45 };
    moveRuns(copy, source, 100, target, 995);
    const expected = new Uint8Array(100);
    expected.set(source.subarray(10, 10 + bytes), 5);
    expected.set(source.subarray(60, 60 + bytes), 50);
    expect(target).toEqual(expected);
  });
});
