import { type Batch, countLines, type Piece } from '../documents/batch.ts';
import { rowsOf } from '../documents/decode-documents.ts';
import type { Document } from '../documents/document.ts';
import { RECORD_NUMBERS, recordsOf } from '../documents/records.ts';

/** Where the records of a batch lie. */
export interface PlacedBatch {
  batch: Batch;
  /** Lines, or rows, of the file before it. */
  linesBefore: number;
  /** As `recordsOf` gives them. */
  records: number[];
}

/** The batches of a file with their places, beside what is no batch. */
export async function* placeBatches(
  pieces: AsyncIterable<Piece>,
): AsyncGenerator<{ piece: Piece; placed: PlacedBatch | undefined; linesBefore: number }> {
  let lines = 0;
  for await (const piece of pieces) {
    if (piece.kind === 'oversized') {
      yield { piece, placed: undefined, linesBefore: lines };
      continue;
    }
    lines += piece.skippedLines ?? 0;
    yield { piece, placed: { batch: piece, linesBefore: lines, records: recordsOf(piece) }, linesBefore: lines };
    lines += piece.unit === 'row' ? rowsOf(piece) : countLines(piece.bytes);
  }
}

export interface Places {
  /** Hands pieces on, and remembers the one that was handed on last. */
  watch(pieces: AsyncIterable<Piece>): AsyncGenerator<Piece>;
  /** The line of a document of that piece, and its bytes where a line is a document. Documents are asked for in order. */
  of(document: Document): { line: number; source: Uint8Array | undefined };
}

/** Finds line and bytes of documents, which know their byte offset only. */
export function createPlaces(): Places {
  let current: PlacedBatch | undefined;
  let record = 0;
  return {
    async *watch(pieces) {
      for await (const { piece, placed } of placeBatches(pieces)) {
        current = placed;
        record = 0;
        yield piece;
      }
    },
    of({ byteOffset }) {
      const { batch, linesBefore, records } = current as PlacedBatch;
      const at = byteOffset - batch.byteOffset;
      if (batch.unit === 'row') return { line: linesBefore + at + 1, source: undefined };
      while (records[RECORD_NUMBERS * record] !== at) record++;
      const [start, end, line] = records.slice(RECORD_NUMBERS * record, RECORD_NUMBERS * record + RECORD_NUMBERS) as [
        number,
        number,
        number,
      ];
      return {
        line: linesBefore + line + 1,
        source: batch.layout === 'lines' ? batch.bytes.subarray(start, end) : undefined,
      };
    },
  };
}
