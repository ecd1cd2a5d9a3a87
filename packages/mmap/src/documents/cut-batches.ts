import type { Batch, ByteStream, CutOptions, Piece } from './batch.ts';
import type { BatchBuffers } from './batch-buffers.ts';

const NEWLINE = 0x0a;

/** A way to cut a file into batches of whole records. */
export interface Cutter {
  layout: Batch['layout'];
  content: Batch['content'];
  /**
   * How many of the first `end` bytes are whole records; 0 when the one record there goes on. `isForced`: the record is longer than
   * allowed, so a text may be cut within.
   */
  cut(bytes: Buffer, end: number, isForced: boolean): number;
  /** True when a file without bytes is a record too. */
  takesNothing?: boolean;
}

/** One record a line. */
export const LINES: Cutter = {
  layout: 'lines',
  content: 'json',
  cut: (bytes, end, isForced) => (isForced ? 0 : bytes.lastIndexOf(NEWLINE, end - 1) + 1),
};

/** One record for each run of lines between blank lines. */
export const PARAGRAPHS: Cutter = {
  layout: 'paragraphs',
  content: 'text',
  cut: (bytes, end, isForced) =>
    lastBlankLineEnd(bytes, end) || (isForced ? bytes.lastIndexOf(NEWLINE, end - 1) + 1 : 0),
};

/** The file is one record; past the limit it is cut behind a blank line, or else behind a line. */
export const WHOLE: Cutter = {
  layout: 'spans',
  content: 'text',
  takesNothing: true,
  cut: (bytes, end, isForced) => (isForced ? PARAGRAPHS.cut(bytes, end, true) : 0),
};

/** Where the last line of white space ends that has something before it; 0 when there is none. */
function lastBlankLineEnd(bytes: Buffer, end: number): number {
  for (let to = bytes.lastIndexOf(NEWLINE, end - 1); to > 0; ) {
    const before = bytes.lastIndexOf(NEWLINE, to - 1);
    let at = before + 1;
    while (at < to && isSpace(bytes[at] as number)) at++;
    if (at === to && before >= 0) return to + 1;
    to = before;
  }
  return 0;
}

const isSpace = (byte: number): boolean => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);

/** Where reading begins. */
export interface CutStart {
  /** Byte of the (unpacked) file that the stream gives first. */
  byteOffset: number;
  /** True when reading can begin again at any batch. */
  isSeekable: boolean;
}

/**
 * Batches of a stream, cut on bytes: no part of a file becomes a string here, and nothing larger than a batch or one record is ever
 * held. A record longer than `maxLine` comes as `Oversized`; asked for more, the stream is read up to the next line without
 * keeping it.
 */
export async function* cutBatches(
  stream: ByteStream,
  cutter: Cutter,
  start: CutStart,
  options: CutOptions,
): AsyncGenerator<Piece> {
  const { batchBytes, maxLine, buffers } = options;
  const limit = Math.max(batchBytes, maxLine + 1);
  let buffer = buffers.take(batchBytes);
  let filled = 0;
  let offset = start.byteOffset;
  let isAny = false;
  let isBehindSkipped = false;
  for (;;) {
    const got = filled < buffer.length ? await stream.read(buffer, filled) : -1;
    filled += Math.max(got, 0);
    if (got > 0 && filled < buffer.length) continue;
    if (got === 0) {
      const isRecord = filled > 0 || (cutter.takesNothing === true && !isAny);
      if (isRecord) yield emit(buffer.subarray(0, filled));
      return;
    }
    let end = cutter.cut(buffer, filled, false);
    const isForced = end === 0 && filled >= limit;
    if (end === 0 && !isForced) {
      // Twice as much, but never a last step that copies nearly all for a few bytes more.
      const capacity = buffer.length * 3 > limit ? limit : buffer.length * 2;
      const larger = moved(buffers, buffer, 0, filled, capacity);
      buffers.give(buffer);
      buffer = larger;
      continue;
    }
    if (isForced) end = cutter.cut(buffer, filled, true);
    if (end > 0) {
      const batch = emit(buffer.subarray(0, end));
      yield isForced ? { ...batch, isCut: true } : batch;
      isAny = true;
      buffer = moved(buffers, buffer, end, filled, Math.max(batchBytes, filled - end));
      filled -= end;
      offset += end;
      continue;
    }
    yield { kind: 'oversized', byteOffset: offset, maxBytes: maxLine };
    isAny = true;
    buffers.give(buffer);
    buffer = buffers.take(batchBytes);
    const skipped = await skipLine(stream, buffer);
    offset += filled + skipped.bytes;
    filled = skipped.left;
    if (skipped.isEnd) return;
    isBehindSkipped = true;
  }

  function emit(bytes: Buffer): Batch {
    const batch = toBatch(cutter, bytes, offset, start);
    if (!isBehindSkipped) return batch;
    isBehindSkipped = false;
    return { ...batch, skippedLines: 1 };
  }
}

/** The bytes from `from` to `to` at the beginning of another buffer. */
function moved(buffers: BatchBuffers, buffer: Buffer, from: number, to: number, capacity: number): Buffer {
  const next = buffers.take(capacity);
  buffer.copy(next, 0, from, to);
  return next;
}

/** Reads on to the end of a line; what follows it lies at the beginning of `buffer`. */
async function skipLine(stream: ByteStream, buffer: Buffer): Promise<{ bytes: number; left: number; isEnd: boolean }> {
  for (let bytes = 0; ; ) {
    const got = await stream.read(buffer, 0);
    if (got === 0) return { bytes, left: 0, isEnd: true };
    const end = buffer.subarray(0, got).indexOf(NEWLINE) + 1;
    if (end === 0) {
      bytes += got;
      continue;
    }
    buffer.copyWithin(0, end, got);
    return { bytes: bytes + end, left: got - end, isEnd: false };
  }
}

function toBatch(cutter: Cutter, bytes: Buffer, byteOffset: number, start: CutStart): Batch {
  const isFirst = byteOffset === 0;
  const hasMark = isFirst && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
  const content = hasMark ? bytes.subarray(3) : bytes;
  return {
    kind: 'batch',
    layout: cutter.layout,
    content: cutter.content,
    bytes: content,
    byteOffset: byteOffset + (hasMark ? 3 : 0),
    isFirst,
    unit: 'line',
    ...(cutter.layout === 'spans' && { spans: Int32Array.of(0, content.byteLength) }),
    ...(hasMark && { hasMark }),
    ...(start.isSeekable && { resumeAt: byteOffset + bytes.byteLength }),
  };
}
