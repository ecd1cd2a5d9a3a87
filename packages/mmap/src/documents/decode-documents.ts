import { isUtf8 } from 'node:buffer';
import { FormatError, InvalidInputError } from '@pai-cpt/core';
import { BAD_REASONS, type BadRecord } from './bad-record.ts';
import { type Batch, countLines, type Piece } from './batch.ts';
import { textOf } from './blank.ts';
import type { Document } from './document.ts';
import { textsOfJson } from './json-record.ts';
import { RECORD_NUMBERS, recordsOf } from './records.ts';
import { invalidUtf8 } from './utf8.ts';

/** The documents in pieces of a file, as strings; the first bad record is an error. */
export async function* decodeDocuments(
  pieces: AsyncGenerator<Piece>,
  file: string,
  textKey: string,
): AsyncGenerator<Document> {
  let line = 0;
  for await (const piece of pieces) {
    if (piece.kind === 'oversized') throw oversizedError(piece, file, line);
    line += piece.skippedLines ?? 0;
    yield* decodeBatch(piece, file, line, textKey);
    line += piece.unit === 'row' ? rowsOf(piece) : countLines(piece.bytes);
  }
}

function* decodeBatch(batch: Batch, file: string, lineBefore: number, textKey: string): Generator<Document> {
  const { bytes, content, perDocument } = batch;
  const records = recordsOf(batch);
  const fail = (bad: BadRecord) => badRecordError(bad, batch, file, lineBefore);
  for (let record = 0, document = 0; ; document++) {
    const count = perDocument ? perDocument[document] : 1;
    if (count === undefined || (!perDocument && record * RECORD_NUMBERS >= records.length)) return;
    const at = RECORD_NUMBERS * record;
    const texts: string[] = [];
    for (const end = record + count; record < end; record++) {
      const [start, to, line] = records.slice(RECORD_NUMBERS * record, RECORD_NUMBERS * record + 3) as [
        number,
        number,
        number,
      ];
      const place = { line, byteOffset: Math.max(start, 0) };
      if (start < 0) throw fail({ ...place, reason: 'text-missing', why: missingCell(textKey) });
      const part = bytes.subarray(start, to);
      if (!isUtf8(part)) throw fail(badUtf8(part, place, content));
      const text = textOf(bytes, start, to);
      const found = content === 'text' ? { texts: [text] } : textsOfJson(text, textKey, batch.isFirst && line === 0);
      if ('reason' in found) throw fail({ ...place, ...found });
      texts.push(...found.texts);
    }
    const byteOffset = batch.byteOffset + (batch.unit === 'row' ? document : (records[at] as number));
    yield { texts, byteOffset };
  }
}

/** A record with wrong bytes. In a text of many lines its place is the line of the wrong byte. */
export function badUtf8(
  part: Uint8Array,
  place: { line: number; byteOffset: number },
  content: Batch['content'],
): BadRecord {
  const bad = invalidUtf8(part, place.byteOffset);
  const lines = content === 'text' ? countLines(part.subarray(0, bad.byteOffset - place.byteOffset)) : 0;
  return { ...bad, line: place.line + lines };
}

/** What is wrong with a parquet cell that is no text. */
export const missingCell = (textKey: string): string =>
  `${JSON.stringify(textKey)} is neither a string nor a list of strings; name the right column with --text-key`;

/** Rows in a batch of rows. */
export function rowsOf({ perDocument, spans }: Batch): number {
  return perDocument?.length ?? (spans?.length ?? 0) / 2;
}

/** `file:line:byte`, or `file:row`. */
export function placeOf(
  bad: BadRecord,
  batch: Pick<Batch, 'unit' | 'byteOffset'>,
  file: string,
  lineBefore: number,
): string {
  const line = lineBefore + bad.line + 1;
  return batch.unit === 'row' ? `${file}:row ${line}` : `${file}:${line}:${batch.byteOffset + bad.byteOffset}`;
}

/** A bad record as an error that names its place. */
export function badRecordError(
  bad: BadRecord,
  batch: Pick<Batch, 'unit' | 'byteOffset'>,
  file: string,
  lineBefore: number,
): FormatError {
  const details = {
    file,
    line: lineBefore + bad.line + 1,
    ...(batch.unit === 'line' && { byteOffset: batch.byteOffset + bad.byteOffset }),
  };
  return new FormatError(BAD_REASONS[bad.reason], `${placeOf(bad, batch, file, lineBefore)}: ${bad.why}`, details);
}

/** A record above the limit as an error. */
export function oversizedError(
  piece: Piece & { kind: 'oversized' },
  file: string,
  lineBefore: number,
): InvalidInputError {
  return new InvalidInputError(
    'CPT_INPUT_LINE_TOO_LONG',
    `${file}:${lineBefore + 1}:${piece.byteOffset}: ${oversizedWhy(piece)}`,
    { file, line: lineBefore + 1, byteOffset: piece.byteOffset },
  );
}

export const oversizedWhy = ({ maxBytes }: { maxBytes: number }): string =>
  `longer than ${maxBytes} bytes; cut it into several, or raise --max-line`;
