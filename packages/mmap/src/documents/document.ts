import { MAX_LINE_BYTES } from './batch.ts';

/** One text to learn from, and where it stands. */
export interface Document {
  /** One for each sequence: nearly always a single one. */
  texts: string[];
  /** Byte offset in the unpacked file where the document begins; in a parquet file its row. */
  byteOffset: number;
}

/** The largest single document, in bytes: half of what a JavaScript string can hold. */
export const MAX_DOCUMENT_BYTES: number = MAX_LINE_BYTES;

/** What a document source is given besides the bytes. */
export interface SourceOptions {
  signal?: AbortSignal;
  /** Bytes of one read; small in tests. */
  chunkBytes?: number;
  maxDocumentBytes?: number;
}
