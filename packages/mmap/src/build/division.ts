import { InvalidInputError } from '@pai-cpt/core';
import { type InputFile, STDIN } from '../documents/input-file.ts';
import { firstLineFrom } from './node.ts';

/** The `index`-th of `of` parts, from 1. */
export interface Part {
  index: number;
  of: number;
}

/**
 * The inputs of one part. The bytes of all inputs, in order, are divided evenly: a plain `.jsonl` file is cut where a line
 * begins, any other file goes whole to the part that has its middle. All parts see the same borders, so the parts in order are
 * the whole, and merging their datasets in order gives the bytes of one build of everything.
 * @throws InvalidInputError `CPT_INPUT_INVALID` for stdin, `CPT_INPUT_EMPTY_DATASET` for a part without input.
 */
export async function divideInputs(inputs: readonly InputFile[], { index, of }: Part): Promise<InputFile[]> {
  if (inputs.some(({ path }) => path === STDIN)) {
    throw new InvalidInputError('CPT_INPUT_INVALID', 'stdin cannot be divided into parts; give files', {
      field: 'part',
    });
  }
  const total = inputs.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const from = Math.floor((total * (index - 1)) / of);
  const to = Math.floor((total * index) / of);
  const chosen: InputFile[] = [];
  let start = 0;
  for (const input of inputs) {
    const part = await overlap(input, from - start, to - start, index === of);
    if (part) chosen.push(part);
    start += input.byteLength;
  }
  if (chosen.length > 0) return chosen;
  throw new InvalidInputError(
    'CPT_INPUT_EMPTY_DATASET',
    `part ${index}/${of} holds none of the input (${total} bytes in ${inputs.length} files); use fewer parts`,
    { field: 'part' },
  );
}

/** What of a file lies between `from` and `to`, counted from its beginning. */
async function overlap(input: InputFile, from: number, to: number, isLast: boolean): Promise<InputFile | undefined> {
  const { path, byteLength, format, packing } = input;
  if (format !== 'jsonl' || packing !== 'none') {
    const middle = byteLength / 2;
    return middle >= from && (middle < to || isLast) ? input : undefined;
  }
  if (from >= byteLength || to <= 0) return undefined;
  if (from <= 0 && to >= byteLength) return input;
  const range = {
    from: from <= 0 ? 0 : await firstLineFrom(path, from),
    to: to >= byteLength ? byteLength : await firstLineFrom(path, to),
  };
  return range.from < range.to ? { ...input, range } : undefined;
}
