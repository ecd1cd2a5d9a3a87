import { gunzipSync } from 'node:zlib';
import { type ByteSource, CptError, FormatError } from '@pai-cpt/core';
import type { Compressors, FileMetaData } from 'hyparquet';
import type { Batch, CutOptions, Piece } from './batch.ts';

/** Rows of a row group: a few bytes can claim any number, and each row costs memory. */
const MAX_GROUP_ROWS = 2n ** 26n;

/**
 * The texts of one column of a parquet file, a row a document, in batches; a list of strings is one document of several
 * sequences. One row group's column is in memory at a time. Strings stay bytes: they are checked where they are encoded.
 * @throws FormatError `CPT_FORMAT_PARQUET`, or `CPT_FORMAT_TEXT_MISSING` when the file has no such column.
 */
export async function* readParquet(
  source: ByteSource,
  file: string,
  options: CutOptions & { textKey: string; onShare?: (share: number) => void },
): AsyncGenerator<Piece> {
  const { textKey } = options;
  const { parquetMetadataAsync, parquetRead, parquetSchema } = await import('hyparquet');
  const { compressors } = await import('hyparquet-compressors');
  const asyncBuffer = {
    byteLength: source.byteLength,
    async slice(start: number, end = source.byteLength) {
      const bytes = await source.read(start, end - start);
      return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
    },
  };
  const metadata = await guarded(file, () => parquetMetadataAsync(asyncBuffer));
  const columns = parquetSchema(metadata).children.map((child) => child.element.name);
  if (!columns.includes(textKey)) {
    throw new FormatError(
      'CPT_FORMAT_TEXT_MISSING',
      `${file}: no column ${JSON.stringify(textKey)}; columns here: ${columns.map((name) => JSON.stringify(name)).join(', ')}; name the right one with --text-key`,
      { file, field: textKey },
    );
  }
  let row = 0;
  for (const group of metadata.row_groups) {
    checkGroup(group, file, source.byteLength);
    const rowEnd = row + Number(group.num_rows);
    let cells: unknown[][] = [];
    await guarded(file, () =>
      parquetRead({
        file: asyncBuffer,
        metadata,
        columns: [textKey],
        rowStart: row,
        rowEnd,
        compressors: { ...(compressors as Compressors), GZIP: (packed) => gunzipSync(packed) },
        utf8: false,
        parsers: { stringFromBytes: (bytes: Uint8Array) => bytes },
        onComplete: (rows: unknown[][]) => {
          cells = rows;
        },
      }),
    );
    yield* cellBatches(cells, row, options);
    row = rowEnd;
    options.onShare?.(row / Math.max(1, Number(metadata.num_rows)));
  }
}

async function guarded<T>(file: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    if (CptError.isInstance(cause)) throw cause;
    throw new FormatError(
      'CPT_FORMAT_PARQUET',
      `${file}: not a readable parquet file (${(cause as Error).message}); write it again`,
      { file },
      { cause },
    );
  }
}

/** Sizes are claims of the file: what cannot be is refused before anything is allocated for it. */
function checkGroup(group: FileMetaData['row_groups'][number], file: string, fileBytes: number): void {
  const packed = group.columns.reduce((sum, column) => sum + (column.meta_data?.total_compressed_size ?? 0n), 0n);
  if (group.num_rows >= 0n && group.num_rows <= MAX_GROUP_ROWS && packed <= BigInt(fileBytes)) return;
  throw new FormatError(
    'CPT_FORMAT_PARQUET',
    `${file}: a row group claims ${group.num_rows} rows and ${packed} bytes, the file has ${fileBytes}; write it again`,
    { file },
  );
}

/** Cells laid one behind another, with a span for each text. */
function* cellBatches(cells: unknown[][], firstRow: number, options: CutOptions): Generator<Piece> {
  const { batchBytes, maxLine } = options;
  let texts: (Uint8Array | undefined)[] = [];
  let perDocument: number[] = [];
  let bytes = 0;
  let from = firstRow;
  let row = firstRow;
  const take = function* (): Generator<Batch> {
    if (perDocument.length === 0) return;
    yield layOut(texts, perDocument, bytes, from);
    texts = [];
    perDocument = [];
    bytes = 0;
    from = row;
  };
  for (const [cell] of cells) {
    const found = textsOfCell(cell);
    const length = found.reduce((sum, text) => sum + (text?.byteLength ?? 0), 0);
    if (bytes > 0 && bytes + length > batchBytes) yield* take();
    row++;
    if (length > maxLine) {
      yield* take();
      yield { kind: 'oversized', byteOffset: row - 1, maxBytes: maxLine };
      from = row;
      continue;
    }
    texts.push(...found);
    perDocument.push(found.length);
    bytes += length;
  }
  yield* take();
}

/** Anything but a string or a list of strings is one missing text. */
function textsOfCell(cell: unknown): (Uint8Array | undefined)[] {
  if (cell instanceof Uint8Array) return [cell];
  if (Array.isArray(cell) && cell.every((entry) => entry instanceof Uint8Array)) return cell;
  return [undefined];
}

function layOut(texts: (Uint8Array | undefined)[], perDocument: number[], length: number, row: number): Batch {
  const bytes = new Uint8Array(length);
  const spans = new Int32Array(2 * texts.length);
  let at = 0;
  texts.forEach((text, i) => {
    spans[2 * i] = text ? at : -1;
    if (text) {
      bytes.set(text, at);
      at += text.byteLength;
    }
    spans[2 * i + 1] = at;
  });
  return {
    kind: 'batch',
    layout: 'spans',
    content: 'text',
    bytes,
    byteOffset: row,
    isFirst: row === 0,
    unit: 'row',
    spans,
    ...(perDocument.some((count) => count !== 1) && { perDocument: Int32Array.from(perDocument) }),
  };
}
