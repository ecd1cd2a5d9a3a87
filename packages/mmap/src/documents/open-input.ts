import { fileSource } from '@pai-cpt/core/node';
import { BATCH_BYTES, type ByteStream, type CutOptions, MAX_LINE_BYTES, type Piece, prefixed } from './batch.ts';
import { FRESH_BUFFERS } from './batch-buffers.ts';
import { type CutStart, cutBatches, LINES, PARAGRAPHS, WHOLE } from './cut-batches.ts';
import { gunzipStream } from './gzip.ts';
import { type DocumentOptions, type InputFile, type InputRecord, STDIN } from './input-file.ts';
import { cutJsonArray } from './json-array.ts';
import { fileStream, type HashedStream, stdinStream } from './node.ts';
import { readParquet } from './parquet.ts';
import { unzstdStream } from './zstd.ts';

/** A file that is being read. */
export interface OpenInput {
  pieces: AsyncGenerator<Piece>;
  /** Share of the input that was read for the pieces given so far; 0 where its size is not known. */
  share(): number;
  /** Size and sha256 of the file, or of its range; call it when all pieces were taken. */
  record(): Promise<InputRecord>;
  close(): Promise<void>;
}

export interface OpenOptions extends DocumentOptions, Partial<CutOptions> {
  signal?: AbortSignal;
  /** Byte of the file, given as `resumeAt` by an earlier run, from which pieces are wanted. */
  resumeAt?: number;
}

/**
 * Opens an input for reading in batches. What lies before `resumeAt` is read for the sha256 and not given again.
 * @throws what the readers of its kind throw, from `pieces`.
 */
export async function openInput(input: InputFile, options: OpenOptions): Promise<OpenInput> {
  const { path, byteLength, range } = input;
  const { maxLine = MAX_LINE_BYTES, signal } = options;
  const batchBytes = Math.min(options.batchBytes ?? BATCH_BYTES, maxLine + 1);
  const cut: CutOptions = { maxLine, batchBytes, buffers: options.buffers ?? FRESH_BUFFERS };
  if (input.format === 'parquet') return openParquet(input, { ...cut, textKey: options.textKey });
  const from = range?.from ?? 0;
  const to = range?.to ?? Number.POSITIVE_INFINITY;
  const stream = path === STDIN ? stdinStream(signal) : await fileStream(path, from, to, signal);
  try {
    const begin = options.resumeAt ?? from;
    await skip(stream, begin - from);
    const plain = unpacked(stream, input);
    const start: CutStart = { byteOffset: begin, isSeekable: input.packing === 'none' && path !== STDIN };
    return {
      pieces: piecesOf(plain, input, start, cut, options),
      share: () =>
        byteLength === 0 ? 0 : Math.min(1, stream.position() / Math.max(1, Math.min(to, byteLength) - from)),
      record: async () => ({ path, ...stream.digest() }),
      close: () => plain.close(),
    };
  } catch (error) {
    await stream.close();
    throw error;
  }
}

function unpacked(stream: HashedStream, { packing, path }: InputFile): ByteStream {
  if (packing === 'gzip') return gunzipStream(stream, path);
  return packing === 'zstd' ? unzstdStream(stream, path) : stream;
}

function piecesOf(
  stream: ByteStream,
  { format, path }: InputFile,
  start: CutStart,
  cut: CutOptions,
  options: OpenOptions,
): AsyncGenerator<Piece> {
  if (format === 'json') return arrayOrLines(stream, path, start, cut);
  const cutter = format === 'jsonl' ? LINES : options.splitParagraphs ? PARAGRAPHS : WHOLE;
  return cutBatches(stream, cutter, start, cut);
}

/** Files named .json hold one array, or one object a line: the first character tells. */
async function* arrayOrLines(
  stream: ByteStream,
  file: string,
  start: CutStart,
  cut: CutOptions,
): AsyncGenerator<Piece> {
  const head = Buffer.allocUnsafeSlow(4096);
  let filled = 0;
  for (let got = 1; got > 0 && filled < head.length; filled += got) got = await stream.read(head, filled);
  const seen = head.subarray(0, filled);
  const isArray = start.byteOffset === 0 && /^\ufeff?[ \t\r\n]*\[/.test(seen.toString('utf8'));
  const whole = prefixed(seen, stream);
  if (!isArray) yield* cutBatches(whole, LINES, start, cut);
  else yield* cutJsonArray(whole, file, cut);
}

async function skip(stream: ByteStream, bytes: number): Promise<void> {
  if (bytes === 0) return;
  const scratch = Buffer.allocUnsafeSlow(1 << 20);
  for (let left = bytes; left > 0; ) {
    const got = await stream.read(scratch.subarray(0, Math.min(left, scratch.length)), 0);
    if (got === 0) return;
    left -= got;
  }
}

async function openParquet(input: InputFile, options: CutOptions & { textKey: string }): Promise<OpenInput> {
  const source = await fileSource(input.path);
  let share = 0;
  const pieces = readParquet(source, input.path, {
    ...options,
    onShare: (read) => {
      share = read;
    },
  });
  return {
    pieces,
    share: () => share,
    // Its footer is read first and its columns are picked: the digest needs a pass of its own.
    async record() {
      const stream = await fileStream(input.path, 0, source.byteLength, undefined);
      try {
        await skip(stream, source.byteLength);
        return { path: input.path, ...stream.digest() };
      } finally {
        await stream.close();
      }
    },
    close: () => source.close(),
  };
}
