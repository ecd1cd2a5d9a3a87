import type { ByteSource } from '@pai-cpt/core';
import { type Document, MAX_DOCUMENT_BYTES, type SourceOptions } from './document.ts';
import { checkLength, type Line, readChunks, readLines, withoutMark } from './lines.ts';
import { decodeUtf8 } from './utf8.ts';

/**
 * The documents of a text file: the file as it is, without a byte order mark; or, with `splitParagraphs`, each run of lines
 * between blank lines, without the line breaks at its end.
 * @throws FormatError `CPT_FORMAT_UTF8`.
 * @throws InvalidInputError `CPT_INPUT_DOCUMENT_TOO_LONG`.
 */
export function readText(
  source: ByteSource,
  file: string,
  options: SourceOptions & { splitParagraphs?: boolean },
): AsyncGenerator<Document> {
  return options.splitParagraphs ? readParagraphs(source, file, options) : readWhole(source, file, options);
}

async function* readWhole(source: ByteSource, file: string, options: SourceOptions): AsyncGenerator<Document> {
  checkLength(source.byteLength, options.maxDocumentBytes ?? MAX_DOCUMENT_BYTES, file, file);
  const chunks: Uint8Array[] = [];
  for await (const chunk of readChunks(source, options)) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  const text = withoutMark(bytes);
  yield { texts: [decodeUtf8(text, file, bytes.byteLength - text.byteLength)], byteOffset: 0 };
}

async function* readParagraphs(source: ByteSource, file: string, options: SourceOptions): AsyncGenerator<Document> {
  const { maxDocumentBytes = MAX_DOCUMENT_BYTES } = options;
  let first: Line | undefined;
  let texts: string[] = [];
  let bytes = 0;
  const take = function* (): Generator<Document> {
    if (first) yield { texts: [texts.join('').replace(/[\r\n]+$/, '')], byteOffset: first.byteOffset };
    first = undefined;
    texts = [];
    bytes = 0;
  };
  for await (const line of readLines(source, file, options)) {
    const text = decodeUtf8(line.bytes, file, line.byteOffset, line.number);
    if (text.trim() === '') {
      yield* take();
      continue;
    }
    first ??= line;
    texts.push(text);
    bytes += line.bytes.byteLength;
    checkLength(bytes, maxDocumentBytes, `${file}:${first.number}:${first.byteOffset}`, file);
  }
  yield* take();
}
