import { closeSync, openSync, readSync } from 'node:fs';
import type { Batch } from '../../documents/batch.ts';
import { fileChanged } from '../files/node.ts';
import { type LineRange, RANGE_BYTES, type RangeRead } from './line-range.ts';

const NEWLINE = 0x0a;
/** What is read behind a range at once: the last line usually ends there. */
const BEHIND_BYTES = 1 << 15;
/** A range and what is read behind it at once. */
const ORDINARY_BYTES = RANGE_BYTES + 2 * BEHIND_BYTES;
/** Above this, memory is not kept for the next range. */
const KEPT_BYTES = 1 << 24;

/** Reads ranges, in the foreground, into memory that is used again. The last file stays open. */
export function createRangeReader(): { read(range: LineRange): { batch: Batch; read: RangeRead }; close(): void } {
  let buffer = Buffer.allocUnsafeSlow(ORDINARY_BYTES);
  let path: string | undefined;
  let file = -1;

  function open(wanted: string): void {
    if (path === wanted) return;
    close();
    file = openSync(wanted, 'r');
    path = wanted;
  }
  function close(): void {
    if (path !== undefined) closeSync(file);
    path = undefined;
  }
  /** Reads `buffer[filled, size)`, which begins at byte `base` of the file. */
  function fill(range: LineRange, base: number, filled: number, size: number): void {
    for (let at = filled; at < size; ) {
      const count = readSync(file, buffer, at, size - at, base + at);
      if (count === 0) throw fileChanged(range.path);
      at += count;
    }
  }

  function read(range: LineRange): { batch: Batch; read: RangeRead } {
    const { from, to, end, maxLine } = range;
    open(range.path);
    const base = range.isLineStart ? from : from - 1;
    const last = to - 1 - base; // the line that this byte belongs to is the last one of the range
    let size = Math.min(to + BEHIND_BYTES, end) - base;
    if (buffer.length < size || buffer.length > KEPT_BYTES)
      buffer = Buffer.allocUnsafeSlow(Math.max(size, ORDINARY_BYTES));
    fill(range, base, 0, size);
    const start = range.isLineStart ? 0 : buffer.subarray(0, last).indexOf(NEWLINE) + 1;
    if (start === 0 && !range.isLineStart) return found(range, base, last + 1, last + 1, false); // within one line
    const lastLine = Math.max(start, last > 0 ? buffer.lastIndexOf(NEWLINE, last - 1) + 1 : 0);
    for (let seen = last; ; ) {
      const lineEnd = buffer.subarray(0, size).indexOf(NEWLINE, seen);
      const length = (lineEnd < 0 ? size : lineEnd) - lastLine;
      if (length > maxLine) return found(range, base, start, lastLine, true);
      if (lineEnd >= 0) return found(range, base, start, lineEnd + 1, false);
      if (base + size >= end) return found(range, base, start, size, false);
      seen = size;
      size = Math.min(2 * size, end - base, lastLine + maxLine + 1);
      const larger = Buffer.allocUnsafeSlow(size);
      buffer.copy(larger, 0, 0, seen);
      buffer = larger;
      fill(range, base, seen, size);
    }
  }

  function found(range: LineRange, base: number, start: number, to: number, isOversized: boolean) {
    const bytes = buffer.subarray(start, to);
    const isFirst = base + start === 0;
    const hasMark = isFirst && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
    const byteOffset = base + start + (hasMark ? 3 : 0);
    const end = base + to;
    const batch: Batch = {
      kind: 'batch',
      layout: 'lines',
      content: 'json',
      bytes: hasMark ? bytes.subarray(3) : bytes,
      byteOffset,
      isFirst,
      unit: 'line',
    };
    const oversized = { kind: 'oversized', byteOffset: end, maxBytes: range.maxLine } as const;
    return { batch, read: { byteOffset, end, hasMark, ...(isOversized && { oversized }) } };
  }
  return { read, close };
}

/** What lies in one range. */
export function readRange(range: LineRange): Batch {
  const reader = createRangeReader();
  try {
    return reader.read(range).batch;
  } finally {
    reader.close();
  }
}
