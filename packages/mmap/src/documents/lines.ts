import { type ByteSource, InvalidInputError } from '@pai-cpt/core';
import { MAX_DOCUMENT_BYTES, type SourceOptions } from './document.ts';

/** A line with its line break, if it has one. */
export interface Line {
  bytes: Uint8Array;
  /** 1 for the first. */
  number: number;
  byteOffset: number;
}

const NEWLINE = 0x0a;
const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf];

/**
 * The lines of a file, cut at byte 0x0A before any decoding: no character of UTF-8 contains that byte, and no part of the file
 * larger than a line is ever a string. A byte order mark at the start is left out.
 * @throws InvalidInputError `CPT_INPUT_DOCUMENT_TOO_LONG` for a line longer than `maxDocumentBytes`.
 */
export async function* readLines(source: ByteSource, file: string, options: SourceOptions = {}): AsyncGenerator<Line> {
  const { maxDocumentBytes = MAX_DOCUMENT_BYTES } = options;
  let pending: Uint8Array[] = [];
  let pendingBytes = 0;
  let number = 1;
  let lineStart = 0;
  const take = (last: Uint8Array): Line => {
    const whole = pending.length === 0 ? last : Buffer.concat([...pending, last]);
    const bytes = number === 1 ? withoutMark(whole) : whole;
    const line = { bytes, number, byteOffset: lineStart + whole.byteLength - bytes.byteLength };
    number++;
    lineStart += whole.byteLength;
    pending = [];
    pendingBytes = 0;
    return line;
  };
  for await (const chunk of readChunks(source, options)) {
    let at = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, at)) {
      checkLength(pendingBytes + end + 1 - at, maxDocumentBytes, `${file}:${number}:${lineStart}`, file);
      yield take(chunk.subarray(at, end + 1));
      at = end + 1;
    }
    const rest = chunk.subarray(at);
    pendingBytes += rest.byteLength;
    checkLength(pendingBytes, maxDocumentBytes, `${file}:${number}:${lineStart}`, file);
    if (rest.byteLength > 0) pending.push(rest);
  }
  if (pendingBytes > 0) yield take(new Uint8Array());
}

/** The bytes of a file in order. */
export async function* readChunks(source: ByteSource, options: SourceOptions = {}): AsyncGenerator<Uint8Array> {
  const { chunkBytes = 1 << 20, signal } = options;
  for (let at = 0; at < source.byteLength; at += chunkBytes) {
    yield await source.read(at, Math.min(chunkBytes, source.byteLength - at), signal);
  }
}

/** Bytes without a leading byte order mark. */
export function withoutMark(bytes: Uint8Array): Uint8Array {
  return BYTE_ORDER_MARK.every((value, i) => bytes[i] === value) ? bytes.subarray(3) : bytes;
}

/** @throws InvalidInputError `CPT_INPUT_DOCUMENT_TOO_LONG`. */
export function checkLength(bytes: number, maxDocumentBytes: number, where: string, file: string): void {
  if (bytes <= maxDocumentBytes) return;
  throw new InvalidInputError(
    'CPT_INPUT_DOCUMENT_TOO_LONG',
    `${where}: this document has more than ${maxDocumentBytes} bytes; cut it into several (for text files: --split-paragraphs)`,
    { file },
  );
}
