import type { RandomState } from '../mersenne-twister.ts';

/** Documents of one source for a mixture. */
export interface ChosenDocuments {
  /** Document numbers; whole epochs first, each document as often as there are epochs. */
  documents: Int32Array;
  tokens: number;
  /** How often all documents were taken before the drawn ones. */
  wholeEpochs: number;
}

/**
 * Documents with about `budget` tokens: whole epochs as long as they fit, then documents drawn without replacement. The sum
 * misses the budget by at most half of the document at its end.
 * @param lengths tokens of each document.
 */
export function chooseDocuments(lengths: Float64Array, budget: number, random: RandomState): ChosenDocuments {
  const epochTokens = lengths.reduce((sum, length) => sum + length, 0);
  const wholeEpochs = epochTokens === 0 ? 0 : Math.floor(budget / epochTokens);
  let tokens = wholeEpochs * epochTokens;

  const drawn = countUp(lengths.length);
  random.shuffle(drawn);
  let taken = 0;
  while (taken < drawn.length) {
    const length = lengths[drawn[taken] as number] as number;
    const missing = budget - tokens;
    if (length > 2 * missing || missing === 0) break;
    tokens += length;
    taken++;
    if (length >= missing) break;
  }
  const documents = new Int32Array(wholeEpochs * lengths.length + taken);
  for (let epoch = 0; epoch < wholeEpochs; epoch++) documents.set(countUp(lengths.length), epoch * lengths.length);
  documents.set(drawn.subarray(0, taken), wholeEpochs * lengths.length);
  return { documents, tokens, wholeEpochs };
}

/** 0 to `count` - 1. */
export function countUp(count: number): Int32Array {
  const numbers = new Int32Array(count);
  for (let i = 0; i < count; i++) numbers[i] = i;
  return numbers;
}
