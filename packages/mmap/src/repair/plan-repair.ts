import { FormatError, InvalidInputError } from '@pai-cpt/core';
import { pointersOf } from '../doctor/index-file.ts';
import { checkIndex, type IndexContent } from '../index-format.ts';
import { Int32List } from '../int32-list.ts';
import type { IndexFile } from '../read-index.ts';
import { TOKEN_DTYPES, type TokenDtype } from '../token-dtype.ts';

/** Counts of documents, sequences, ids and bytes of `.bin`. */
export interface RepairCounts {
  documents: number;
  sequences: number;
  tokens: number;
  bytes: number;
}

/** What the repaired dataset holds and what it does not. */
export interface RepairPlan {
  dtype: TokenDtype;
  /** First bytes of the old `.bin` that are the new one. */
  binBytes: number;
  kept: RepairCounts;
  lost: RepairCounts;
  lengths: Int32List | Int32Array;
  /** Sequences of each document; `undefined`: one each. */
  sequencesPerDocument: Int32Array | undefined;
  modes: Int8Array | undefined;
}

/**
 * The plan that lays pointers anew from lengths, keeps the documents that are whole in `.bin`, or both.
 * @throws FormatError `CPT_FORMAT_MMAP_UNREPAIRABLE` when pointers and size of `.bin` leave no safe reading, and the codes of
 * `checkIndex` for what neither can repair.
 * @throws InvalidInputError `CPT_INPUT_INVALID` when nothing is broken, `CPT_INPUT_EMPTY_DATASET` when no document is whole.
 */
export function planRepair(
  { header, arrays }: IndexFile,
  binBytes: number,
  wanted: { pointers: boolean; truncate: boolean },
  files: { idx: string; bin: string },
): RepairPlan {
  const { lengths, documentIndex } = arrays;
  const { dtype } = header;
  const { bytes: width } = TOKEN_DTYPES[dtype];
  const pointers = pointersOf(lengths, dtype);
  // Lengths and document index must be right: against them, the new pointers are always right in a file that is long enough.
  checkIndex(header, { ...arrays, pointers }, Number.MAX_SAFE_INTEGER, files);
  const tokens = lengths.reduce((sum, length) => sum + length, 0);
  const needed = tokens * width;
  const isContiguous = pointers.every((pointer, i) => pointer === arrays.pointers[i]);
  checkRepairable({ isContiguous, needed, binBytes }, wanted, files);

  const documents = documentIndex.length - 1;
  const keptDocuments = wholeDocuments(arrays, pointers, width, binBytes);
  const keptSequences = documentIndex[keptDocuments] as number;
  const keptBytes = keptSequences === pointers.length ? needed : (pointers[keptSequences] as number);
  if (keptBytes === 0) {
    throw new InvalidInputError(
      'CPT_INPUT_EMPTY_DATASET',
      `${files.bin}: none of its ${documents} documents is whole; copy it again`,
      { file: files.bin },
    );
  }
  const perDocument = Int32Array.from(
    { length: keptDocuments },
    (_, i) => (documentIndex[i + 1] as number) - (documentIndex[i] as number),
  );
  return {
    dtype,
    binBytes: keptBytes,
    kept: { documents: keptDocuments, sequences: keptSequences, tokens: keptBytes / width, bytes: keptBytes },
    lost: {
      documents: documents - keptDocuments,
      sequences: pointers.length - keptSequences,
      tokens: tokens - keptBytes / width,
      bytes: Math.max(0, binBytes - keptBytes),
    },
    lengths: lengths.subarray(0, keptSequences),
    sequencesPerDocument: perDocument.every((count) => count === 1) ? undefined : perDocument,
    modes: arrays.modes?.subarray(0, keptSequences),
  };
}

function checkRepairable(
  { isContiguous, needed, binBytes }: { isContiguous: boolean; needed: number; binBytes: number },
  wanted: { pointers: boolean; truncate: boolean },
  files: { idx: string; bin: string },
): void {
  const nothing = (why: string, option: string) =>
    new InvalidInputError('CPT_INPUT_INVALID', `${why}; cpt-mmap doctor says what is wrong`, { field: option });
  const refuse = (file: string, why: string) =>
    new FormatError('CPT_FORMAT_MMAP_UNREPAIRABLE', `${file}: ${why}`, { file });
  if (isContiguous && wanted.pointers && !wanted.truncate)
    throw nothing(
      `${files.idx}: its pointers are those that the lengths give, there is nothing to repair`,
      '--pointers',
    );
  if (isContiguous && needed === binBytes)
    throw nothing(`${files.bin}: has the ${needed} bytes that the index tells, nothing is cut off`, '--truncate');
  if (!isContiguous && !wanted.pointers)
    throw refuse(
      files.idx,
      'the pointers do not follow one another, so it is not known where a sequence lies; add --pointers if they are wrong',
    );
  if (!isContiguous && needed !== binBytes)
    throw refuse(
      files.bin,
      `the lengths need ${needed} bytes, the file has ${binBytes}; pointers are laid anew only when both are equal, else every later sequence could be shifted`,
    );
}

/** The largest number of documents from the first on whose ids are all there. */
function wholeDocuments(
  { lengths, documentIndex }: IndexFile['arrays'],
  pointers: Float64Array,
  width: number,
  binBytes: number,
): number {
  let whole = 0;
  for (let i = 1; i < documentIndex.length; i++) {
    const last = (documentIndex[i] as number) - 1;
    const end = last < 0 ? 0 : (pointers[last] as number) + (lengths[last] as number) * width;
    if (end > binBytes) break;
    whole = i;
  }
  return whole;
}

/** Gathers the documents of a `.bin` file by the id that ends each. */
export function createReindex(options: { eod: number; dtype: TokenDtype; binBytes: number; file: string }) {
  const { eod, dtype, binBytes, file } = options;
  const { bytes: width } = TOKEN_DTYPES[dtype];
  const lengths = new Int32List();
  let length = 0; // of the document that is being read
  let keptTokens = 0;
  return {
    add(ids: Int32Array): void {
      for (let from = 0; from < ids.length; ) {
        const at = ids.indexOf(eod, from);
        const to = at < 0 ? ids.length : at + 1;
        length += to - from;
        if (length > 0x7fffffff) {
          throw new FormatError(
            'CPT_FORMAT_MMAP_UNREPAIRABLE',
            `${file}: more than 2147483647 ids lie between two ends ${eod}, an index cannot say that; check the id and --dtype`,
            { file },
          );
        }
        if (at >= 0) {
          lengths.push(length);
          keptTokens += length;
          length = 0;
        }
        from = to;
      }
    },
    /** @throws FormatError `CPT_FORMAT_MMAP_UNREPAIRABLE` when the id does not occur. */
    finish(): RepairPlan {
      if (lengths.length === 0) {
        throw new FormatError(
          'CPT_FORMAT_MMAP_UNREPAIRABLE',
          `${file}: id ${eod} does not occur in ${Math.floor(binBytes / width)} ids of ${dtype}; check the id and --dtype`,
          { file },
        );
      }
      const count = lengths.length;
      const kept = { documents: count, sequences: count, tokens: keptTokens, bytes: keptTokens * width };
      // What follows the last end is no whole document.
      const isCut = binBytes > kept.bytes ? 1 : 0;
      return {
        dtype,
        binBytes: kept.bytes,
        kept,
        lost: { documents: isCut, sequences: isCut, tokens: length, bytes: binBytes - kept.bytes },
        lengths,
        sequencesPerDocument: undefined,
        modes: undefined,
      };
    },
  };
}

/** The plan as the content of a new index. */
export function indexContent({ dtype, kept, lengths, sequencesPerDocument, modes }: RepairPlan): IndexContent {
  return {
    dtype,
    sequenceCount: kept.sequences,
    documentCount: kept.documents,
    lengths: () => (lengths instanceof Int32Array ? [lengths] : lengths.pieces()),
    sequencesPerDocument: sequencesPerDocument && (() => [sequencesPerDocument]),
    modes: modes && (() => [Int32Array.from(modes)]),
  };
}
