import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { boxReader, type DistBox, type DistTensorBoxes, requireTiling } from './dist-tensor.ts';

const tensorOf = (shape: number[], boxes: readonly Omit<DistBox, 'file' | 'byteOffset'>[]): DistTensorBoxes => ({
  name: 'w',
  dtype: 'I16',
  shape,
  boxes: boxes.map((box, at) => ({ ...box, file: `f${at % 3}`, byteOffset: 0 })),
});
const refusal = (shape: number[], boxes: [offsets: number[], sizes: number[]][]) => () =>
  requireTiling(
    tensorOf(
      shape,
      boxes.map(([offsets, sizes]) => ({ offsets, sizes })),
    ),
    'ckpt',
  );
const failure = (message: string) =>
  expect.objectContaining({ code: 'CPT_FORMAT_DIST_CHUNKS', message: expect.stringContaining(message) });

describe('requireTiling', () => {
  it('takes boxes that tile, empty ones among them, and a tensor of nothing or of no axes', () => {
    expect(
      refusal(
        [2, 4],
        [
          [
            [0, 0],
            [2, 3],
          ],
          [
            [0, 3],
            [1, 1],
          ],
          [
            [1, 3],
            [1, 1],
          ],
          [
            [0, 2],
            [0, 4],
          ],
        ],
      ),
    ).not.toThrow();
    expect(refusal([0, 4], [])).not.toThrow();
    expect(refusal([], [[[], []]])).not.toThrow();
  });

  it.each([
    [
      'a gap',
      [2, 4],
      [
        [
          [0, 0],
          [2, 3],
        ],
      ],
      'ckpt: "w" [2, 4]: its 1 chunks hold 6 of 8 elements; a file is missing',
    ],
    ['no box', [2, 4], [], 'its 0 chunks hold 0 of 8 elements'],
    [
      'an overlap',
      [2, 4],
      [
        [
          [0, 0],
          [2, 3],
        ],
        [
          [1, 2],
          [1, 2],
        ],
      ],
      'the chunks at [0,0] and [1,2] overlap',
    ],
    [
      'one box twice',
      [4],
      [
        [[0], [2]],
        [[0], [2]],
      ],
      'the chunks at [0] and [0] overlap',
    ],
    [
      'a gap hidden by an overlap',
      [4],
      [
        [[0], [2]],
        [[1], [2]],
      ],
      'overlap',
    ],
    [
      'two boxes of no axes',
      [],
      [
        [[], []],
        [[], []],
      ],
      'overlap',
    ],
  ] as [string, number[], [number[], number[]][], string][])('%s is refused', (_, shape, boxes, message) => {
    expect(refusal(shape, boxes)).toThrow(failure(message));
  });
});

/** Cuts a box along axes at random until there are some, as `[from, to)` of each axis. */
const tiling = fc
  .record({
    shape: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 4 }),
    cuts: fc.array(fc.tuple(fc.nat(), fc.nat(), fc.nat()), { maxLength: 8 }),
  })
  .map(({ shape, cuts }) => {
    const boxes = [shape.map((size) => [0, size] as [number, number])];
    for (const [which, axisNumber, at] of cuts) {
      const box = boxes[which % boxes.length] as [number, number][];
      const axis = axisNumber % shape.length;
      const [from, to] = box[axis] as [number, number];
      if (to - from < 2) continue;
      const middle = from + 1 + (at % (to - from - 1));
      boxes[which % boxes.length] = box.map((span, i) => (i === axis ? [from, middle] : span));
      boxes.push(box.map((span, i) => (i === axis ? [middle, to] : span)));
    }
    return { shape, boxes };
  });

describe('boxReader', () => {
  it('gives any range of the packed tensor, however it is cut', () => {
    fc.assert(
      fc.property(tiling, fc.nat(), fc.nat(), ({ shape, boxes }, start, length) => {
        // The value of an element is its place in the whole tensor, written by loops over the box's own indices.
        const files = new Map<string, number[]>();
        const placed = boxes.map((box, at) => {
          const file = `f${at % 3}`;
          const bytes = files.get(file) ?? [255];
          files.set(file, bytes);
          const byteOffset = bytes.length;
          let places = [0];
          for (const [axis, [from, to]] of box.entries()) {
            const size = shape[axis] as number;
            places = places.flatMap((place) => Array.from({ length: to - from }, (_, i) => place * size + from + i));
          }
          for (const place of places) bytes.push(place & 0xff, place >> 8);
          return { offsets: box.map(([from]) => from), sizes: box.map(([from, to]) => to - from), file, byteOffset };
        });
        const tensor = { name: 'w', dtype: 'I16' as const, shape, boxes: placed };
        requireTiling(tensor, 'ckpt');
        const total = 2 * shape.reduce((product, size) => product * size, 1);
        const position = start % total;
        const target = new Uint8Array(1 + (length % (total - position))).fill(99);
        boxReader(tensor, (file, from, into) => {
          const bytes = (files.get(file) as number[]).slice(from, from + into.byteLength);
          expect(bytes).toHaveLength(into.byteLength);
          into.set(bytes);
        })(position, target);
        const whole = Array.from(
          { length: total },
          (_, at) => (at % 2 === 0 ? (at / 2) & 0xff : (at - 1) / 2 / 256) | 0,
        );
        expect([...target]).toEqual(whole.slice(position, position + target.byteLength));
      }),
    );
  });

  it('reads a scalar', () => {
    const read = boxReader(tensorOf([], [{ offsets: [], sizes: [] }]), (_, at, into) => void into.fill(at + 7));
    const target = new Uint8Array(2);
    read(0, target);
    expect([...target]).toEqual([7, 7]);
  });

  it('reads the rows of a narrow box together', () => {
    const boxes = [
      { offsets: [0, 0], sizes: [50, 1] },
      { offsets: [0, 1], sizes: [50, 3] },
    ];
    let reads = 0;
    boxReader(tensorOf([50, 4], boxes), () => void reads++)(0, new Uint8Array(400));
    expect(reads).toBe(2);
  });
});
