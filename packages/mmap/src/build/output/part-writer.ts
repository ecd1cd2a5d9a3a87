import { createHash } from 'node:crypto';
import { InvalidInputError } from '@pai-cpt/core';
import { serializeIndex } from '../../index-format.ts';
import { TOKEN_DTYPES, type TokenDtype } from '../../token-dtype.ts';
import type { DatasetSummary } from '../../write.ts';
import { encodeLengths, sequenceLengths, sequencesPerDocument } from '../lengths.ts';
import { type BinFile, type BinFileOptions, openBinFile, reopen } from './bin-file.ts';
import { createBuffer } from './buffer.ts';
import { type GrowingFile, openGrowing } from './node.ts';

/** What a part holds so far: enough to go on with it later. */
export interface PartState {
  documents: number;
  sequences: number;
  tokens: number;
  maxId: number;
  /** True when some document has not exactly one sequence. */
  hasLists: boolean;
  binBytes: number;
  lengthsBytes: number;
  /** sha256 of the `.bin` so far. */
  binSha256: string;
}

/** Documents in one piece, as a batch gives them. */
export interface DocumentPiece {
  /** In the dtype of the dataset. */
  ids: Int32Array | Uint16Array;
  lengths: Int32Array;
  perDocument: Int32Array | undefined;
  documents: number;
  largest: number;
}

/** Writes the `.bin` of one dataset and the side file of lengths that its index is made from. */
export interface PartWriter {
  append(piece: DocumentPiece): Promise<void>;
  /** Writes what is still buffered and says how far the files go. */
  checkpoint(): Promise<PartState>;
  /** Writes the index to `idxPath` and syncs both. */
  finish(idxPath: string): Promise<DatasetSummary>;
  readonly tokens: number;
  close(): Promise<void>;
}

export interface PartWriterOptions {
  /** Name for messages: the prefix of the dataset. */
  name: string;
  dtype: TokenDtype;
  binPath: string;
  lengthsPath: string;
  /** What an earlier run left. */
  state?: PartState;
  /** Where `.bin` is written: here, when not given. */
  openBin?: (options: BinFileOptions) => Promise<BinFile>;
  bufferBytes?: number;
}

const BUFFER_BYTES = 1 << 20;

/**
 * Opens the files of a part.
 * @throws InvalidInputError `CPT_INPUT_RESUME_MISMATCH` when the files are not what `state` says, `CPT_INPUT_TOKEN_RANGE` from
 * `append`, `CPT_INPUT_EMPTY_DATASET` from `finish`.
 */
export async function openPartWriter(options: PartWriterOptions): Promise<PartWriter> {
  const { name, dtype, bufferBytes, openBin = openBinFile } = options;
  const { bytes: width, max } = TOKEN_DTYPES[dtype];
  const state: PartState = { ...(options.state ?? EMPTY) };
  const lengths = await reopen(options.lengthsPath, state.lengthsBytes, name);
  let bin: BinFile;
  try {
    bin = await openBin({
      path: options.binPath,
      name,
      keptBytes: state.binBytes,
      keptSha256: state.binSha256,
      ...(bufferBytes && { bufferBytes }),
    });
  } catch (error) {
    await lengths.close();
    throw error;
  }
  const lengthsBuffer = createBuffer(1 << 16, (bytes) => lengths.append(bytes));

  return {
    get tokens() {
      return state.tokens;
    },
    async append(piece) {
      if (piece.largest > max) {
        throw new InvalidInputError(
          'CPT_INPUT_TOKEN_RANGE',
          `${name}: id ${piece.largest} does not fit ${dtype} (at most ${max}); use dtype int32`,
          { field: 'dtype', id: piece.largest },
        );
      }
      const numbers = encodeLengths(piece.lengths, piece.perDocument);
      state.documents += piece.documents;
      state.sequences += piece.lengths.length;
      state.tokens += piece.ids.length;
      state.maxId = Math.max(state.maxId, piece.largest);
      state.hasLists ||= piece.perDocument !== undefined;
      state.binBytes += piece.ids.byteLength;
      state.lengthsBytes += numbers.byteLength;
      await bin.append(bytesOf(piece.ids));
      await lengthsBuffer.append(bytesOf(numbers));
    },
    async checkpoint() {
      await lengthsBuffer.flush();
      return { ...state, binSha256: await bin.digest() };
    },
    async finish(idxPath) {
      await lengthsBuffer.flush();
      const binSha256 = await bin.digest();
      if (state.tokens === 0) {
        throw new InvalidInputError(
          'CPT_INPUT_EMPTY_DATASET',
          `${name}: no token to write (${state.documents} documents); give more documents with text, or a larger held-out share`,
          { file: name },
        );
      }
      await bin.sync();
      const { idxBytes, sha256 } = await writeIndex(idxPath, { dtype, state, lengths });
      const { documents, sequences, tokens, maxId } = state;
      const digests = { bin: binSha256, idx: sha256 };
      return { documents, sequences, tokens, maxId, binBytes: tokens * width, idxBytes, sha256: digests };
    },
    async close() {
      await lengths.close();
      await bin.close();
    },
  };
}

const EMPTY: PartState = {
  documents: 0,
  sequences: 0,
  tokens: 0,
  maxId: -1,
  hasLists: false,
  binBytes: 0,
  lengthsBytes: 0,
  binSha256: '',
};

const bytesOf = (view: Int32Array | Uint16Array): Uint8Array =>
  new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

async function writeIndex(
  path: string,
  { dtype, state, lengths }: { dtype: TokenDtype; state: PartState; lengths: GrowingFile },
): Promise<{ idxBytes: number; sha256: string }> {
  const idx = await openGrowing(path, 0);
  const hash = createHash('sha256');
  let idxBytes = 0;
  const numbers = () => lengths.readIntegers(state.lengthsBytes);
  const buffer = createBuffer(BUFFER_BYTES, async (bytes) => {
    hash.update(bytes);
    await idx.append(bytes);
  });
  try {
    for (const piece of serializeIndex({
      dtype,
      sequenceCount: state.sequences,
      documentCount: state.documents,
      lengths: () => sequenceLengths(numbers()),
      sequencesPerDocument: state.hasLists ? () => sequencesPerDocument(numbers()) : undefined,
    })) {
      idxBytes += piece.byteLength;
      await buffer.append(piece);
    }
    await buffer.flush();
    await idx.sync();
  } finally {
    await idx.close();
  }
  return { idxBytes, sha256: hash.digest('hex') };
}
