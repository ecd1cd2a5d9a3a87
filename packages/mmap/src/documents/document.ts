/** One text to learn from, and where it stands. */
export interface Document {
  /** One for each sequence: nearly always a single one. */
  texts: string[];
  /** Byte offset in the unpacked file where the document begins; in a parquet file its row. */
  byteOffset: number;
}
