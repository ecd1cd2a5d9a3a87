/*
 * The side file of a dataset in the making, 32-bit integers: for a document of one sequence its length; for any other -1 - n and
 * then the n lengths of its sequences. The index is made from it, so that memory does not grow with the number of documents.
 */

/** Numbers for the side file of documents whose sequences have these lengths. */
export function encodeLengths(lengths: Int32Array, perDocument: Int32Array | undefined): Int32Array {
  if (!perDocument) return lengths;
  const numbers: number[] = [];
  let sequence = 0;
  for (const count of perDocument) {
    if (count !== 1) numbers.push(-1 - count);
    for (let i = 0; i < count; i++) numbers.push(lengths[sequence++] as number);
  }
  return Int32Array.from(numbers);
}

/** Numbers of a side file, in pieces. */
export type LengthPieces = () => Iterable<Int32Array>;

/** The lengths of all sequences, in pieces. */
export function* sequenceLengths(pieces: Iterable<Int32Array>): Generator<Int32Array> {
  for (const piece of pieces) {
    yield piece.some((value) => value < 0) ? piece.filter((value) => value >= 0) : piece;
  }
}

/** The number of sequences of each document, in pieces. */
export function* sequencesPerDocument(pieces: Iterable<Int32Array>): Generator<Int32Array> {
  let left = 0;
  for (const piece of pieces) {
    const counts: number[] = [];
    for (const value of piece) {
      if (value < 0) {
        left = -1 - value;
        counts.push(left);
      } else if (left > 0) left--;
      else counts.push(1);
    }
    yield Int32Array.from(counts);
  }
}
