import { createHash, type Hash } from 'node:crypto';
import { InvalidInputError } from '@pai-cpt/core';
import { serializeIndex } from '../../index-format.ts';
import { TOKEN_DTYPES, type TokenDtype } from '../../token-dtype.ts';
import type { DatasetSummary } from '../../write.ts';
import { encodeLengths, sequenceLengths, sequencesPerDocument } from '../lengths.ts';
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
  bufferBytes?: number;
}

const BUFFER_BYTES = 1 << 20;

/**
 * Opens the files of a part. `.bin` goes out through one large buffer: a write for each document costs ten times as much.
 * @throws InvalidInputError `CPT_INPUT_RESUME_MISMATCH` when the files are not what `state` says, `CPT_INPUT_TOKEN_RANGE` from
 * `append`, `CPT_INPUT_EMPTY_DATASET` from `finish`.
 */
export async function openPartWriter(options: PartWriterOptions): Promise<PartWriter> {
  const { name, dtype } = options;
  const { bytes: width, max } = TOKEN_DTYPES[dtype];
  const state: PartState = { ...(options.state ?? EMPTY) };
  const hash = createHash('sha256');
  const files: GrowingFile[] = [];
  const close = async () => {
    await Promise.all(files.map((file) => file.close()));
  };
  try {
    files.push(await reopen(options.binPath, state.binBytes, name));
    files.push(await reopen(options.lengthsPath, state.lengthsBytes, name));
    hashAgain(files[0] as GrowingFile, state, hash, name);
  } catch (error) {
    await close();
    throw error;
  }
  const [bin, lengths] = files as [GrowingFile, GrowingFile];
  const binBuffer = createBuffer(options.bufferBytes ?? BUFFER_BYTES, async (bytes) => {
    hash.update(bytes);
    await bin.append(bytes);
  });
  const lengthsBuffer = createBuffer(1 << 16, (bytes) => lengths.append(bytes));

  async function flush(): Promise<void> {
    await binBuffer.flush();
    await lengthsBuffer.flush();
  }

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
      await binBuffer.append(bytesOf(piece.ids));
      await lengthsBuffer.append(bytesOf(numbers));
    },
    async checkpoint() {
      await flush();
      return { ...state, binSha256: hash.copy().digest('hex') };
    },
    async finish(idxPath) {
      await flush();
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
      const digests = { bin: hash.copy().digest('hex'), idx: sha256 };
      return { documents, sequences, tokens, maxId, binBytes: tokens * width, idxBytes, sha256: digests };
    },
    close,
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

async function reopen(path: string, keptBytes: number, name: string): Promise<GrowingFile> {
  try {
    return await openGrowing(path, keptBytes);
  } catch (cause) {
    if (keptBytes === 0) throw cause;
    throw damaged(name, (cause as Error).message, cause);
  }
}

/** The digest of what is there. It must be what was noted: after a power cut a file may be shorter than the journal knows. */
function hashAgain(bin: GrowingFile, state: PartState, hash: Hash, name: string): void {
  for (const bytes of bin.readBytes(state.binBytes)) hash.update(bytes);
  if (state.binBytes > 0 && hash.copy().digest('hex') !== state.binSha256) {
    throw damaged(name, `${bin.path} is not what was written`);
  }
}

function damaged(name: string, why: string, cause?: unknown): InvalidInputError {
  return new InvalidInputError(
    'CPT_INPUT_RESUME_MISMATCH',
    `${name}: the unfinished build cannot be continued (${why}); start again with --restart`,
    { file: name },
    { cause },
  );
}

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
