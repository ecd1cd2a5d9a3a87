import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { temporaryFolder } from '../../../test/fixtures.ts';
import { rangesOf } from './line-range.ts';
import { createRangeReader } from './node.ts';

interface Reading {
  lines: string[];
  /** Offsets of lines that are too long. */
  oversized: number[];
  /** Where reading could go on, after each range. */
  ends: number[];
}

/** What the ranges of a file hold; `cut` is how large they are. */
function readAll(content: Buffer, cut: number, maxLine = 1000, part?: { from: number; to: number }): Reading {
  const path = join(temporaryFolder(), 'input.jsonl');
  writeFileSync(path, content);
  const input = { path, byteLength: content.length, modifiedMs: 0, format: 'jsonl', packing: 'none' } as const;
  const reader = createRangeReader();
  const found: Reading = { lines: [], oversized: [], ends: [] };
  const options = { resumeAt: undefined, rangeBytes: cut, maxLine };
  for (const range of rangesOf(part ? { ...input, range: part } : input, options)) {
    const { batch, read } = reader.read(range);
    found.lines.push(
      ...batch.bytes
        .toString()
        .split(/(?<=\n)/)
        .filter(Boolean),
    ); // prettier-ignore
    expect(content.subarray(batch.byteOffset, read.end).equals(batch.bytes)).toBe(true);
    if (read.oversized) found.oversized.push(read.oversized.byteOffset);
    else if (batch.bytes.length > 0) found.ends.push(read.end);
  }
  reader.close();
  return found;
}

test('every line is in exactly one range, wherever a file is cut', () => {
  const line = fc.string({ unit: fc.constantFrom('a', '子', '\r', ' '), maxLength: 12 });
  fc.assert(
    fc.property(
      fc.array(line, { maxLength: 20 }),
      fc.boolean(),
      fc.integer({ min: 1, max: 50 }),
      (lines, ends, cut) => {
        const text = lines.join('\n') + (ends && lines.length > 0 ? '\n' : '');
        const whole = text.split(/(?<=\n)/).filter(Boolean);
        const { lines: read, ends: resumable } = readAll(Buffer.from(text), cut);
        expect(read).toEqual(whole);
        expect(resumable.every((end) => end === Buffer.byteLength(text) || Buffer.from(text)[end - 1] === 10)).toBe(
          true,
        );
      },
    ),
    { numRuns: 100 },
  );
});

test('lines longer than allowed are named and passed over, whether they have a line break or not', () => {
  const content = Buffer.from(`ok\n${'x'.repeat(11)}\n${'y'.repeat(10)}\nend\n${'z'.repeat(500)}`);
  for (const cut of [1, 4, 11, 100]) {
    expect(readAll(content, cut, 10)).toMatchObject({
      lines: ['ok\n', `${'y'.repeat(10)}\n`, 'end\n'],
      oversized: [3, 30],
    });
  }
});

test('a byte order mark is left out, and only at the beginning of the file', () => {
  const content = Buffer.from('\ufeffa\n\ufeffb\n');
  for (const cut of [1, 3, 5, 100]) expect(readAll(content, cut).lines).toEqual(['a\n', '\ufeffb\n']);
});

test('of a range of a file nothing else is read', () => {
  const content = Buffer.from('aa\nbb\ncc\ndd\n');
  for (const cut of [1, 2, 3, 100])
    expect(readAll(content, cut, 1000, { from: 3, to: 9 }).lines).toEqual(['bb\n', 'cc\n']);
});

test('a file that became shorter is an error', () => {
  const path = join(temporaryFolder(), 'short.jsonl');
  writeFileSync(path, 'a\n');
  const range = { kind: 'range', path, from: 0, to: 5, isLineStart: true, end: 5, maxLine: 100 } as const;
  expect(() => createRangeReader().read(range)).toThrow('became shorter since the build began');
});
