import { createHash, type Hash } from 'node:crypto';
import { InvalidInputError } from '@pai-cpt/core';
import { serializeIndex } from './index-format.ts';
import { Int32List } from './int32-list.ts';
import { TOKEN_DTYPES, type TokenDtype, tokenEncoder } from './token-dtype.ts';

/** Takes bytes in order; they may be reused after the promise resolves. */
export interface ByteSink {
  write(bytes: Uint8Array): Promise<void>;
}

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

/** Lays documents into the two files of a dataset, byte for byte as Megatron's builder. */
export interface PairWriter {
  /** One document of any number of sequences; none, and sequences without ids, are stored as such. */
  addDocument(sequences: readonly Int32Array[]): Promise<void>;
  /** Writes what is still buffered, then the whole index. */
  finish(idx: ByteSink): Promise<DatasetSummary>;
}

/**
 * A writer that sends `.bin` through one large buffer of its own (a write per document costs ten times as much) and keeps 4 bytes
 * per sequence, and 4 more per document once one of them has not exactly one sequence.
 * @throws InvalidInputError `CPT_INPUT_TOKEN_RANGE` from `addDocument` when an id does not fit: stored anyway it would wrap
 * silently, as numpy does. `CPT_INPUT_EMPTY_DATASET` from `finish` when there is no token: numpy cannot map an empty file.
 */
export function createPairWriter(options: {
  name: string;
  dtype: TokenDtype;
  bin: ByteSink;
  bufferBytes?: number;
}): PairWriter {
  const { name, dtype, bin, bufferBytes = 1 << 20 } = options;
  const { bytes: width } = TOKEN_DTYPES[dtype];
  const capacity = Math.max(1, Math.floor(bufferBytes / width));
  const buffer = new ArrayBuffer(capacity * width);
  const encode = tokenEncoder(buffer, dtype);
  const binHash = createHash('sha256');
  const lengths = new Int32List();
  let perDocument: Int32List | undefined;
  let filled = 0;
  let documents = 0;
  let tokens = 0;
  let maxId = -1;

  const flush = async () => {
    await writeHashed(bin, binHash, new Uint8Array(buffer, 0, filled * width));
    filled = 0;
  };
  const append = async (ids: Int32Array) => {
    for (let done = 0; done < ids.length; ) {
      const count = Math.min(capacity - filled, ids.length - done);
      encode(ids.subarray(done, done + count), filled);
      filled += count;
      done += count;
      if (filled === capacity) await flush();
    }
  };
  return {
    async addDocument(sequences) {
      // The whole document is checked before any of it is written, so that a refused one leaves no trace.
      const largest = sequences.map((ids, i) => checkIds(ids, dtype, `${name}: document ${documents}, sequence ${i}`));
      maxId = Math.max(maxId, ...largest);
      if (sequences.length !== 1) perDocument ??= onesList(documents);
      perDocument?.push(sequences.length);
      documents++;
      for (const ids of sequences) {
        lengths.push(ids.length);
        tokens += ids.length;
        await append(ids);
      }
    },
    async finish(idx) {
      if (tokens === 0) {
        throw new InvalidInputError(
          'CPT_INPUT_EMPTY_DATASET',
          `${name}: no token to write (${documents} documents); give more documents with text, or a larger held-out share`,
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

/** The largest id, after checking that all fit. */
function checkIds(ids: Int32Array, dtype: TokenDtype, where: string): number {
  const { min, max } = TOKEN_DTYPES[dtype];
  let largest = -1;
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i] as number;
    if (id < min || id > max) {
      throw new InvalidInputError(
        'CPT_INPUT_TOKEN_RANGE',
        `${where}, token ${i}: id ${id} does not fit ${dtype} (${min} to ${max}); use dtype int32`,
        { field: 'dtype', id },
      );
    }
    if (id > largest) largest = id;
  }
  return largest;
}
