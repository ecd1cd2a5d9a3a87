import { FormatError } from '@pai-cpt/core';
import { type ByteStream, type CutOptions, countLines, type Piece } from './batch.ts';

const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;

const isSpace = (byte: number): boolean => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;

/**
 * Batches of the elements of a file that is one JSON array. Only brackets, strings and commas are looked at here; each element
 * is parsed where it is encoded. An element longer than `maxLine` comes as `Oversized` and is passed over.
 * @throws FormatError `CPT_FORMAT_JSON_LINE` when elements are not parted by one comma, the array does not end, or something
 * follows it.
 */
export async function* cutJsonArray(stream: ByteStream, file: string, options: CutOptions): AsyncGenerator<Piece> {
  const { batchBytes, maxLine, buffers } = options;
  const limit = Math.max(batchBytes, maxLine + 1);
  const scanner = createArrayScanner();
  let buffer = buffers.take(batchBytes);
  let filled = 0;
  let offset = 0;
  let isOversized = false;
  let skippedLines = 0;
  const fail = (at: number, why: string) =>
    new FormatError('CPT_FORMAT_JSON_LINE', `${file}:${offset + at}: ${why}`, { file, byteOffset: offset + at });

  for (;;) {
    const got = await stream.read(buffer, filled);
    if (got === 0) break;
    const wrong = scanner.scan(buffer, filled, filled + got);
    if (wrong) throw fail(wrong.at, wrong.why);
    filled += got;
    if (filled < buffer.length) continue;
    const { spans, open } = scanner.take();
    if (isOversized && spans.length > 0) {
      spans.splice(0, 2); // the end of the element that was passed over
      isOversized = false;
    }
    const keep = open < 0 ? filled : open;
    if (spans.length > 0) {
      yield toBatch(buffer.subarray(0, keep), offset, spans, skippedLines);
      skippedLines = 0;
    }
    if (open === 0 && filled >= limit && !isOversized) {
      yield { kind: 'oversized', byteOffset: offset, maxBytes: maxLine };
      isOversized = true;
    }
    const from = isOversized ? filled : keep;
    if (spans.length === 0) skippedLines += countLines(buffer.subarray(0, from));
    const next = buffers.take(Math.max(batchBytes, Math.min(limit, 2 * (filled - from))));
    buffer.copy(next, 0, from, filled);
    if (spans.length === 0) buffers.give(buffer);
    buffer = next;
    scanner.rebase(from);
    offset += from;
    filled -= from;
  }
  const { spans } = scanner.take();
  if (isOversized) spans.splice(0, 2);
  if (spans.length > 0) yield toBatch(buffer.subarray(0, filled), offset, spans, skippedLines);
  if (!scanner.isClosed()) throw fail(filled, 'the array does not end; the file may be cut off');
}

function toBatch(bytes: Buffer, byteOffset: number, spans: number[], skippedLines: number): Piece {
  return {
    kind: 'batch',
    layout: 'spans',
    content: 'json',
    bytes,
    byteOffset,
    isFirst: false,
    unit: 'line',
    spans: Int32Array.from(spans),
    ...(skippedLines > 0 && { skippedLines }),
  };
}

/** Finds where the elements of an array begin and end, over any number of buffers. */
function createArrayScanner() {
  let state: 'start' | 'value-or-end' | 'value' | 'inside' | 'after' | 'closed' = 'start';
  let depth = 0;
  let inString = false;
  let isEscaped = false;
  let begin = -1;
  let spans: number[] = [];

  /** Walks through an element; gives the position behind it, or `end` when it goes on. */
  function inside(bytes: Uint8Array, from: number, end: number): number {
    let at = from;
    while (at < end) {
      const byte = bytes[at] as number;
      if (inString) {
        if (isEscaped) isEscaped = false;
        else if (byte === BACKSLASH) isEscaped = true;
        else if (byte === QUOTE) inString = false;
      } else if (byte === QUOTE) inString = true;
      else if (byte === OPEN_LIST || byte === 0x7b) depth++;
      else if (depth > 0 && (byte === CLOSE_LIST || byte === 0x7d)) depth--;
      else if (depth === 0 && (byte === COMMA || byte === CLOSE_LIST || isSpace(byte))) {
        spans.push(begin, at);
        state = 'after';
        begin = -1;
        return at;
      }
      at++;
    }
    return end;
  }

  return {
    /** Looks at `bytes[from, end)`; what was wrong, if anything. */
    scan(bytes: Uint8Array, from: number, end: number): { at: number; why: string } | undefined {
      for (let at = from; at < end; ) {
        if (state === 'inside') {
          at = inside(bytes, at, end);
          continue;
        }
        const byte = bytes[at] as number;
        if (isSpace(byte)) {
          at++;
          continue;
        }
        if (state === 'start') {
          state = 'value-or-end'; // the caller has seen the bracket
        } else if (state === 'closed') {
          return { at, why: 'bytes follow the array; write one array a file, or one object a line' };
        } else if (byte === CLOSE_LIST && state !== 'value') {
          state = 'closed';
        } else if (state === 'after') {
          if (byte !== COMMA) return { at, why: 'a comma belongs between the elements of an array' };
          state = 'value';
        } else if (byte === COMMA || byte === CLOSE_LIST) {
          return { at, why: 'an element of the array is missing' };
        } else {
          state = 'inside';
          begin = at;
          continue;
        }
        at++;
      }
      return undefined;
    },
    /** The elements found since the last call, and where one begins that goes on (-1: none). */
    take() {
      const taken = spans;
      spans = [];
      return { spans: taken, open: begin };
    },
    /** The buffer now begins `by` bytes later. */
    rebase(by: number) {
      if (begin >= 0) begin = Math.max(0, begin - by);
    },
    isClosed: () => state === 'closed',
  };
}
