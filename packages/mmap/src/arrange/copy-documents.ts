import type { MmapDataset } from '../read.ts';
import { TOKEN_DTYPES } from '../token-dtype.ts';
import type { DocumentRun, PairWriter } from '../write.ts';
import type { Report } from './outputs.ts';

const WINDOW_TOKENS = 1 << 20;
const RUN_DOCUMENTS = 1 << 16;

/** Sequences of a document. */
export function sequenceRange({ documentIndex }: MmapDataset, document: number): { from: number; to: number } {
  return { from: documentIndex[document] as number, to: documentIndex[document + 1] as number };
}

/** Tokens of a document. */
export function documentTokens(dataset: MmapDataset, document: number): number {
  const { from, to } = sequenceRange(dataset, document);
  let tokens = 0;
  for (let i = from; i < to; i++) tokens += dataset.lengths[i] as number;
  return tokens;
}

/** The ids of a document, given in one array, as its sequences. */
export function cutSequences(dataset: MmapDataset, document: number, ids: Int32Array): Int32Array[] {
  const { from, to } = sequenceRange(dataset, document);
  const sequences: Int32Array[] = [];
  for (let i = from, at = 0; i < to; i++) {
    const end = at + (dataset.lengths[i] as number);
    sequences.push(ids.subarray(at, end));
    at = end;
  }
  return sequences;
}

/** Modes of the sequences of a document. */
export function documentModes(dataset: MmapDataset, document: number): Int8Array | undefined {
  const { from, to } = sequenceRange(dataset, document);
  return dataset.modes?.subarray(from, to);
}

/**
 * Copies documents `from` to `to` (not included) in large reads. `modes` are copied when the writer takes them.
 */
export async function copyDocuments(
  dataset: MmapDataset,
  range: { from: number; to: number },
  writer: Pick<PairWriter, 'addDocuments'>,
  report?: Report,
  signal?: AbortSignal,
): Promise<void> {
  for (let from = range.from; from < range.to; from += RUN_DOCUMENTS) {
    const to = Math.min(from + RUN_DOCUMENTS, range.to);
    const first = dataset.documentIndex[from] as number;
    const end = dataset.documentIndex[to] as number;
    const run: DocumentRun = {
      lengths: dataset.lengths.subarray(first, end),
      sequencesPerDocument: Int32Array.from({ length: to - from }, (_, i) => {
        const { from: begin, to: stop } = sequenceRange(dataset, from + i);
        return stop - begin;
      }),
      ...(dataset.modes && { modes: dataset.modes.subarray(first, end) }),
    };
    await writer.addDocuments(run, readSequences(dataset, first, end, signal));
    const tokens = run.lengths.reduce((sum, length) => sum + length, 0);
    report?.(to - from, tokens, tokens * TOKEN_DTYPES[dataset.dtype].bytes);
  }
}

/** The ids of sequences `first` to `end` (not included) in pieces. */
async function* readSequences(
  dataset: MmapDataset,
  first: number,
  end: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Int32Array> {
  if (!dataset.isContiguous) {
    for (let i = first; i < end; i++) yield await dataset.get(i, signal);
    return;
  }
  const from = tokenOffset(dataset, first);
  const to = tokenOffset(dataset, end);
  for (let at = from; at < to; at += WINDOW_TOKENS) {
    yield await dataset.tokens(at, Math.min(WINDOW_TOKENS, to - at), signal);
  }
}

/** Where a sequence of a contiguous dataset starts, counted in tokens; for the number of sequences, where the last one ends. */
function tokenOffset({ pointers, dtype, tokenCount, sequenceCount }: MmapDataset, sequence: number): number {
  if (sequence === sequenceCount) return tokenCount;
  return (pointers[sequence] as number) / TOKEN_DTYPES[dtype].bytes;
}

/** Reads single documents, asked for in rising order, through one window of the file. */
export interface DocumentReader {
  /** The ids of a document, valid until the next call. */
  read(document: number, signal?: AbortSignal): Promise<Int32Array>;
}

export function createDocumentReader(dataset: MmapDataset, windowTokens: number = WINDOW_TOKENS / 4): DocumentReader {
  let window: Int32Array = new Int32Array(0);
  let start = 0;
  return {
    async read(document, signal) {
      const { from, to } = sequenceRange(dataset, document);
      if (!dataset.isContiguous) {
        const sequences: Int32Array[] = [];
        for (let i = from; i < to; i++) sequences.push(await dataset.get(i, signal));
        return join(sequences);
      }
      const [begin, end] = [tokenOffset(dataset, from), tokenOffset(dataset, to)];
      if (begin < start || end > start + window.length) {
        const count = Math.min(Math.max(windowTokens, end - begin), dataset.tokenCount - begin);
        window = await dataset.tokens(begin, count, signal);
        start = begin;
      }
      return window.subarray(begin - start, end - start);
    },
  };
}

function join(sequences: readonly Int32Array[]): Int32Array {
  const ids = new Int32Array(sequences.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const sequence of sequences) {
    ids.set(sequence, at);
    at += sequence.length;
  }
  return ids;
}
