import { InvalidInputError } from '@pai-cpt/core';
import { type DatasetWriter, openDataset, resolvePrefix } from '../node.ts';
import { TOKEN_DTYPES } from '../token-dtype.ts';
import { copyDocuments } from './copy-documents.ts';
import {
  type ArrangedDataset,
  type ArrangeOptions,
  type ArrangeTimes,
  findWarnings,
  startProgress,
  timed,
  writeOutputs,
} from './outputs.ts';
import { chooseOutputDtype, inspectPart, type Part, refuseOwnInput, shareTokenizer, type Taken } from './parts.ts';

export interface MergeOptions extends ArrangeOptions {
  /** Dataset prefixes, or folders with `dataset.idx`, in the order in which their documents follow one another. */
  inputs: readonly string[];
  /** How ids are stored: `int32` also takes parts of uint16. The dtype of the parts when not given. */
  dtype?: string;
  /** Merge datasets whose sidecars name different tokenizers. */
  forceTokenizers?: boolean;
}

export interface MergeResult extends ArrangedDataset, ArrangeTimes {
  parts: { prefix: string; documents: number; tokens: number }[];
  warnings: string[];
}

/**
 * Joins datasets into one: the bytes are those of Megatron's builder after `add_index` of each. Every part is checked before any
 * is copied, and copied by its index, so that bytes behind the last token of a part shift nothing. Memory: the index of one
 * part, and 4 bytes per sequence of the whole.
 * @throws FormatError for a damaged part; InvalidInputError `CPT_INPUT_DTYPES_DIFFER`, `CPT_INPUT_TOKENIZERS_DIFFER`,
 * `CPT_INPUT_TOKEN_RANGE`, `CPT_INPUT_OUTPUT_EXISTS`, `CPT_INPUT_EMPTY_DATASET`.
 */
export function mergeDatasets(options: MergeOptions): Promise<MergeResult> {
  return timed(async () => {
    const { inputs, force = false, signal } = options;
    if (inputs.length === 0) {
      throw new InvalidInputError('CPT_INPUT_INVALID', 'no dataset to merge was given', { field: 'inputs' });
    }
    const prefix = await resolvePrefix(options.output);
    const parts: Part[] = [];
    for (const input of inputs) parts.push(await inspectPart(input));
    await refuseOwnInput(prefix, parts);
    const dtype = chooseOutputDtype(parts, options.dtype);
    const { tokenizer, warnings } = shareTokenizer(parts, options.forceTokenizers ?? false);
    const hasModes = parts.every((part) => part.hasModes);
    const bytesTotal = parts.reduce((sum, part) => sum + part.tokens * TOKEN_DTYPES[part.dtype].bytes, 0);
    const report = startProgress(bytesTotal, options.onProgress);

    const plan = { prefixes: [prefix], dtype, hasModes, force, tokenizer, origin: { command: 'merge' } } as const;
    const [written] = await writeOutputs(plan, async ([writer]) => {
      for (const part of parts) {
        const dataset = await openDataset(part.prefix);
        try {
          const range = { from: 0, to: dataset.documentCount };
          await copyDocuments(dataset, range, writer as DatasetWriter, report, signal);
        } finally {
          await dataset.close();
        }
      }
      return [parts.map((part): Taken => ({ part, documents: part.documents, tokens: part.tokens }))];
    });
    return {
      ...(written as ArrangedDataset),
      parts: parts.map(({ prefix, documents, tokens }) => ({ prefix, documents, tokens })),
      warnings: [...(await findWarnings(parts, [prefix])), ...warnings, ...partWarnings(parts, hasModes)],
    };
  });
}

function partWarnings(parts: readonly Part[], hasModes: boolean): string[] {
  const warnings: string[] = [];
  const withModes = parts.filter((part) => part.hasModes).map(({ prefix }) => prefix);
  if (!hasModes && withModes.length > 0) {
    warnings.push(`the modes of ${withModes.join(', ')} are left out: not every part has them`);
  }
  const twice = parts.filter(({ prefix }, i) => parts.findIndex((part) => part.prefix === prefix) < i);
  if (twice.length > 0) warnings.push(`${twice.map(({ prefix }) => prefix).join(', ')}: merged more than once`);
  return warnings;
}
