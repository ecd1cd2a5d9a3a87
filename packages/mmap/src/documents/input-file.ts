/** What a file holds, and how it is packed. */
export interface InputKind {
  format: 'jsonl' | 'json' | 'text' | 'parquet';
  packing: 'none' | 'gzip' | 'zstd';
}

const FORMATS: ReadonlyMap<string, InputKind['format']> = new Map([
  ['.jsonl', 'jsonl'],
  ['.ndjson', 'jsonl'],
  ['.json', 'json'],
  ['.txt', 'text'],
  ['.parquet', 'parquet'],
]);
const PACKINGS: ReadonlyMap<string, InputKind['packing']> = new Map([
  ['.gz', 'gzip'],
  ['.zst', 'zstd'],
]);

/** stdin among the inputs. */
export const STDIN = '-';

export interface InputFile extends InputKind {
  path: string;
  /** 0 for stdin, whose size nobody knows. */
  byteLength: number;
  modifiedMs: number;
  /** The bytes to read, cut where lines end; all of them when absent. */
  range?: { from: number; to: number };
}

/** What a file is, by its name. */
export function inputKind(path: string): InputKind | undefined {
  const name = path.toLowerCase();
  const packed = /\.(gz|zst)$/.exec(name);
  const packing = (packed && PACKINGS.get(packed[0])) ?? 'none';
  const ending = /\.[a-z]+$/.exec(packed ? name.slice(0, packed.index) : name)?.[0] ?? '';
  const format = FORMATS.get(ending);
  return format === undefined || (format === 'parquet' && packed) ? undefined : { format, packing };
}

export interface DocumentOptions {
  textKey: string;
  splitParagraphs: boolean;
}

/** A file as it was read. */
export interface InputRecord {
  path: string;
  bytes: number;
  sha256: string;
}
