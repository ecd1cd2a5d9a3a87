/** One text to learn from, and where it stands. */
export interface Document {
  /** One for each sequence: nearly always a single one. */
  texts: string[];
  /** Byte offset in the file where the document begins. */
  byteOffset: number;
}

/** The largest single document, in bytes: half of what a JavaScript string can hold. */
export const MAX_DOCUMENT_BYTES = 256 * 2 ** 20;

/** What a document source is given besides the bytes. */
export interface SourceOptions {
  signal?: AbortSignal;
  /** Bytes of one read; small in tests. */
  chunkBytes?: number;
  maxDocumentBytes?: number;
}
