import { InvalidInputError } from '@pai-cpt/core';

/** Sequences of one length laid out for a forward pass: row `b · S + s` is position s of sequence b. */
export interface TokenBatch {
  readonly sequenceCount: number;
  /** S */
  readonly length: number;
  /** `[B · S]` */
  readonly inputs: Int32Array;
  /** `[B · S]`, the token that follows each input. */
  readonly targets: Int32Array;
}

/**
 * Splits sequences of S + 1 ids into inputs and targets.
 * @throws InvalidInputError `CPT_INPUT_INVALID` when there are none, their lengths differ, or an id is outside the vocabulary.
 */
export function toTokenBatch(sequences: readonly Int32Array[], vocabSize: number): TokenBatch {
  const length = (sequences[0]?.length ?? 0) - 1;
  if (length < 1) throw invalid('there are no sequences of two or more ids to run');
  const inputs = new Int32Array(sequences.length * length);
  const targets = new Int32Array(sequences.length * length);
  sequences.forEach((sequence, row) => {
    if (sequence.length !== length + 1) {
      throw invalid(
        `sequence ${row} has ${sequence.length} ids, the first one ${length + 1}; give all the same length`,
      );
    }
    checkTokens(sequence, vocabSize);
    inputs.set(sequence.subarray(0, length), row * length);
    targets.set(sequence.subarray(1), row * length);
  });
  return { sequenceCount: sequences.length, length, inputs, targets };
}

/** @throws InvalidInputError `CPT_INPUT_INVALID` for an id outside the vocabulary. */
export function checkTokens(ids: Int32Array, vocabSize: number): void {
  const wrong = ids.find((id) => id < 0 || id >= vocabSize);
  if (wrong === undefined) return;
  throw invalid(`token ${wrong} is outside the vocabulary of ${vocabSize}; were the ids made with another tokenizer?`);
}

function invalid(message: string): InvalidInputError {
  return new InvalidInputError('CPT_INPUT_INVALID', message);
}
