import { createHash, type Hash } from 'node:crypto';
import { InvalidInputError } from '@pai-cpt/core';
import { serializeIndex } from './index-format.ts';
import { Int32List } from './int32-list.ts';
import { TOKEN_DTYPES, type TokenDtype, tokenEncoder } from './token-dtype.ts';

/** Takes bytes in order; they may be reused after the promise resolves. */
export interface ByteSink {
  /** Without a promise where they are written on return. */
  write(bytes: Uint8Array): Promise<void> | undefined;
}

/** So much is hashed and then written at a time: it stays in the processor's cache between the two. */
const BUFFER_BYTES = 1 << 18;

/** What a finished pair holds. */
export interface DatasetSummary {
  documents: number;
  sequences: number;
  tokens: number;
  /** Largest id written, -1 in a dataset without tokens. */
  maxId: number;
  binBytes: number;
  idxBytes: number;
  /** Hexadecimal, of the whole files. */
  sha256: { bin: string; idx: string };
}

/** Neighbouring documents, without their ids. */
export interface DocumentRun {
  /** Tokens of each sequence. */
  lengths: Int32Array;
  /** Sequences of each document; they add up to the number of `lengths`. */
  sequencesPerDocument: Int32Array;
  /** One per sequence, in multimodal sets. */
  modes?: Int8Array;
}

/** Lays documents into the two files of a dataset, byte for byte as Megatron's builder. */
export interface PairWriter {
  /**
   * One document of any number of sequences; none, and sequences without ids, are stored as such. `modes` are for a writer with
   * modes, 0 where not given, as Megatron's builder has it.
   */
  addDocument(sequences: readonly Int32Array[], modes?: ArrayLike<number>): Promise<void>;
  /** Documents whose ids come in pieces of any size, in order: a copy between datasets. When it is refused, give the writer up. */
  addDocuments(run: DocumentRun, pieces: AsyncIterable<Int32Array>): Promise<void>;
  /** Writes what is still buffered, then the whole index. */
  finish(idx: ByteSink): Promise<DatasetSummary>;
}

/**
 * A writer that sends `.bin` through one large buffer of its own (a write per document costs ten times as much) and keeps 4 bytes
 * per sequence, 4 more per document once one of them has not exactly one sequence, and 4 per sequence for modes.
 * @throws InvalidInputError `CPT_INPUT_TOKEN_RANGE` from `addDocument` when an id does not fit: stored anyway it would wrap
 * silently, as numpy does. `CPT_INPUT_EMPTY_DATASET` from `finish` when there is no token: numpy cannot map an empty file.
 */
export function createPairWriter(options: {
  name: string;
  dtype: TokenDtype;
  bin: ByteSink;
  /** End the index with one mode per sequence: a multimodal set. */
  hasModes?: boolean;
  bufferBytes?: number;
}): PairWriter {
  const { name, dtype, bin, hasModes = false, bufferBytes = BUFFER_BYTES } = options;
  const { bytes: width } = TOKEN_DTYPES[dtype];
  const capacity = Math.max(1, Math.floor(bufferBytes / width));
  const buffer = new ArrayBuffer(capacity * width);
  const encode = tokenEncoder(buffer, dtype);
  const binHash = createHash('sha256');
  const lengths = new Int32List();
  const modeList = hasModes ? new Int32List() : undefined;
  let perDocument: Int32List | undefined;
  let filled = 0;
  let documents = 0;
  let tokens = 0;
  let maxId = -1;

  const flush = async () => {
    await writeHashed(bin, binHash, new Uint8Array(buffer, 0, filled * width));
    filled = 0;
  };
  /** Without a promise where there was room: awaiting one for each document takes a tenth of the time of writing it. */
  const append = (ids: Int32Array): Promise<void> | undefined => {
    if (ids.length >= capacity - filled) return appendPieces(ids);
    encode(ids, filled);
    filled += ids.length;
    return undefined;
  };
  const appendPieces = async (ids: Int32Array) => {
    for (let done = 0; done < ids.length; ) {
      const count = Math.min(capacity - filled, ids.length - done);
      encode(ids.subarray(done, done + count), filled);
      filled += count;
      done += count;
      if (filled === capacity) await flush();
    }
  };
  const note = (length: number, mode: number | undefined) => {
    lengths.push(length);
    tokens += length;
    modeList?.push(mode ?? 0);
  };
  const noteDocument = (sequenceCount: number) => {
    if (sequenceCount !== 1) perDocument ??= onesList(documents);
    perDocument?.push(sequenceCount);
    documents++;
  };
  return {
    async addDocument(sequences, modes) {
      // The whole document is checked before any of it is written, so that a refused one leaves no trace.
      let largest = maxId;
      for (let i = 0; i < sequences.length; i++) {
        const where = () => `${name}: document ${documents}, sequence ${i}`;
        largest = Math.max(largest, checkIds(sequences[i] as Int32Array, dtype, where));
      }
      maxId = largest;
      noteDocument(sequences.length);
      for (let i = 0; i < sequences.length; i++) {
        const ids = sequences[i] as Int32Array;
        note(ids.length, modes?.[i]);
        const waiting = append(ids);
        if (waiting) await waiting;
      }
    },
    async addDocuments(run, pieces) {
      let written = tokens;
      for (const count of run.sequencesPerDocument) noteDocument(count);
      for (let i = 0; i < run.lengths.length; i++) note(run.lengths[i] as number, run.modes?.[i]);
      for await (const ids of pieces) {
        maxId = Math.max(
          maxId,
          checkIds(ids, dtype, () => `${name}: after ${written} tokens`),
        );
        await append(ids);
        written += ids.length;
      }
      if (written !== tokens) throw new RangeError(`${name}: ${written} tokens came for lengths of ${tokens}`);
    },
    async finish(idx) {
      if (tokens === 0) {
        throw new InvalidInputError(
          'CPT_INPUT_EMPTY_DATASET',
          `${name}: no token to write (${documents} documents), and Megatron cannot map an empty file; its share is too small or its sources are empty`,
          { file: name },
        );
      }
      if (filled > 0) await flush();
      const idxHash = createHash('sha256');
      let idxBytes = 0;
      const counts = perDocument;
      const content = {
        dtype,
        sequenceCount: lengths.length,
        documentCount: documents,
        lengths: () => lengths.pieces(),
        sequencesPerDocument: counts && (() => counts.pieces()),
        modes: modeList && (() => modeList.pieces()),
      };
      for (const piece of serializeIndex(content)) {
        await writeHashed(idx, idxHash, piece);
        idxBytes += piece.byteLength;
      }
      const sha256 = { bin: binHash.digest('hex'), idx: idxHash.digest('hex') };
      return { documents, sequences: lengths.length, tokens, maxId, binBytes: tokens * width, idxBytes, sha256 };
    },
  };
}

async function writeHashed(sink: ByteSink, hash: Hash, bytes: Uint8Array): Promise<void> {
  hash.update(bytes);
  await sink.write(bytes);
}

function onesList(count: number): Int32List {
  const list = new Int32List();
  for (let i = 0; i < count; i++) list.push(1);
  return list;
}

/** The largest id, after checking that all fit. `where` words their place. */
export function checkIds(ids: Int32Array, dtype: TokenDtype, where: () => string): number {
  const { min, max } = TOKEN_DTYPES[dtype];
  // Read as unsigned, a negative id is above all others: one comparison an id.
  let most = 0;
  for (let i = 0; i < ids.length; i++) {
    const id = (ids[i] as number) >>> 0;
    if (id > most) most = id;
  }
  if (most <= max) return ids.length > 0 ? most : -1;
  const at = ids.findIndex((id) => id < min || id > max);
  if (at < 0) return ids.reduce((largest, id) => Math.max(largest, id), -1);
  throw new InvalidInputError(
    'CPT_INPUT_TOKEN_RANGE',
    `${where()}, token ${at}: id ${ids[at]} does not fit ${dtype} (${min} to ${max}); use dtype int32`,
    { field: 'dtype', id: ids[at] as number },
  );
}
