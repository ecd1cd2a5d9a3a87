import { dirname, join } from 'node:path';
import { INDEX_FILE } from '@pai-cpt/safetensors';
import type { OutputFile } from '../execute.ts';
import { outputDiffers } from './disk.ts';
import { isDirectory, namesIn, openExistingOutput, sizeOf } from './node.ts';

/** What a conversion makes, to be held against what is there. */
export interface ExpectedOutput<Written> {
  /** Files beside the weights, by name. */
  readonly contents: ReadonlyMap<string, Uint8Array>;
  /** Every file of weights. */
  readonly weights: readonly { readonly name: string; readonly byteLength: number }[];
  /** True for a name that would be loaded, or mistaken for a part of the output, if it were not one of the above. */
  isStale(name: string): boolean;
  /** Makes weights again, into files that compare instead of writing. */
  make(createOutput: (name: string) => Promise<OutputFile>): Promise<Written>;
}

/**
 * Takes a finished output for the result of this conversion when it is, byte for byte. Nothing else could tell: a finished folder holds
 * no trace of what it was made from.
 * @throws InvalidInputError `CPT_INPUT_OUTPUT_EXISTS` naming the first file that differs.
 */
export async function requireSameOutput<Written>(
  directory: string,
  expected: ExpectedOutput<Written>,
): Promise<Written> {
  const { contents, weights, isStale, make } = expected;
  const planned = new Set([...contents.keys(), ...weights.map(({ name }) => name)]);
  const folders = new Set(weights.map(({ name }) => dirname(name)).filter((folder) => folder !== '.'));
  const beside = [...folders].flatMap((folder) => namesIn(join(directory, folder)).map((name) => join(folder, name)));
  for (const name of [...namesIn(directory).filter(isStale), ...beside]) {
    const isOther = !planned.has(name) && !isDirectory(join(directory, name));
    if (isOther) throw outputDiffers(join(directory, name), 'is not a file of it');
  }
  // Before anything is read: a file is at least as long as its tensors.
  for (const { name, byteLength } of weights) {
    const bytes = sizeOf(join(directory, name));
    if (bytes === undefined) throw outputDiffers(join(directory, name), 'is not there');
    if (bytes < byteLength)
      throw outputDiffers(join(directory, name), `has ${bytes} bytes for ${byteLength} of tensors`);
  }
  for (const [name, content] of contents) {
    const file = openExistingOutput(join(directory, name));
    file.write(content);
    await file.finish();
  }
  return make(async (name) => openExistingOutput(join(directory, name)));
}

/** True for what loaders of a Hugging Face folder look for. */
export function isWeights(name: string): boolean {
  return name.endsWith('.safetensors') || name === INDEX_FILE;
}
