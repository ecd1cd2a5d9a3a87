import { InvalidInputError } from '@pai-cpt/core';

/** Megatron's order of splits. */
export const SPLIT_NAMES = ['train', 'valid', 'test'] as const;
export type SplitName = (typeof SPLIT_NAMES)[number];

/** Neighbours `from` to `to` (not included); `undefined` for a share of 0. */
export type SplitBorders = Record<SplitName, { from: number; to: number } | undefined>;

/**
 * Where Megatron's `--split` cuts `count` sequences: in the order of the file, so validation is its tail. Borders are rounded as
 * in Python, a half to the even neighbour, where Math.round goes up. A share above 0 may still give no sequence.
 * @param shares `99,1,0`: every run of digits and dots is a number, as in Megatron; missing ones are 0.
 * @throws InvalidInputError `CPT_INPUT_INVALID` for more than three numbers, none above 0, or one that is none.
 */
export function splitBorders(shares: string, count: number): SplitBorders {
  const numbers = (shares.match(/[.0-9]+/g) ?? []).map(Number);
  const sum = numbers.reduce((a, b) => a + b, 0);
  if (numbers.length > SPLIT_NAMES.length || !(sum > 0)) {
    throw new InvalidInputError(
      'CPT_INPUT_INVALID',
      `split "${shares}" is not one to three shares of train, validation and test with one above 0, such as 99,1,0`,
      { field: 'split' },
    );
  }
  const borders: SplitBorders = { train: undefined, valid: undefined, test: undefined };
  let begin = 0;
  for (const [i, name] of SPLIT_NAMES.entries()) {
    const end = begin + (numbers[i] ?? 0) / sum;
    if (end > begin) borders[name] = { from: roundHalfToEven(begin * count), to: roundHalfToEven(end * count) };
    begin = end;
  }
  return borders;
}

/** Python's `round`. */
export function roundHalfToEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}
