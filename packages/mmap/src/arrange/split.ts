import { InvalidInputError } from '@pai-cpt/core';
import { type DatasetWriter, openDataset, resolvePrefix } from '../node.ts';
import type { MmapDataset } from '../read.ts';
import { SPLIT_NAMES, type SplitName, splitBorders } from '../split-shares.ts';
import { TOKEN_DTYPES } from '../token-dtype.ts';
import { copyDocuments, createDocumentReader, cutSequences, documentModes } from './copy-documents.ts';
import {
  type ArrangedDataset,
  type ArrangeOptions,
  type ArrangeTimes,
  findWarnings,
  type Report,
  startProgress,
  timed,
  writeOutputs,
} from './outputs.ts';
import { inspectPart, refuseOwnInput, shareTokenizer, type Taken } from './parts.ts';

export interface SplitOptions extends ArrangeOptions {
  /** A dataset prefix, or a folder with `dataset.idx`. */
  input: string;
  /** Shares of train, validation and test in the order of the file, cut between documents: `99,1,0`. Or give `every`. */
  shares?: string;
  /** Every n-th document goes to validation, so that every part of the file gives its share. */
  every?: number;
}

export interface SplitResult extends ArrangeTimes {
  parts: (ArrangedDataset & { name: SplitName })[];
  warnings: string[];
}

type DocumentRange = { from: number; to: number };

/**
 * Splits a dataset by documents into `OUT` (train), `OUT_valid` and `OUT_test`; a share of 0 gives no dataset. Unlike Megatron's
 * `--split`, which cuts between sequences, no document is torn apart.
 * @throws InvalidInputError `CPT_INPUT_INVALID`, `CPT_INPUT_OUTPUT_EXISTS`; `CPT_INPUT_EMPTY_DATASET` when a share is too small
 * for one document; FormatError for a damaged dataset.
 */
export function splitDataset(options: SplitOptions): Promise<SplitResult> {
  return timed(async () => {
    const { force = false, signal } = options;
    const output = await resolvePrefix(options.output);
    const part = await inspectPart(options.input);
    const ranges = planRanges(options, part.documents);
    const names = SPLIT_NAMES.filter((name) => ranges[name]);
    const prefixes = names.map((name) => (name === 'train' ? output : `${output}_${name}`));
    for (const prefix of prefixes) await refuseOwnInput(prefix, [part]);
    const { tokenizer } = shareTokenizer([part], false);
    const { dtype, hasModes } = part;
    const report = startProgress(part.tokens * TOKEN_DTYPES[dtype].bytes, options.onProgress);

    const plan = { prefixes, dtype, hasModes, force, tokenizer, origin: { command: 'split' } } as const;
    const written = await writeOutputs(plan, async (writers) => {
      const dataset = await openDataset(part.prefix);
      const counts: Counts = writers.map(() => ({ documents: 0, tokens: 0 }));
      const countFor = (output: number): Report => {
        const count = counts[output] as Counts[number];
        return (documents, tokens, bytes) => {
          count.documents += documents;
          count.tokens += tokens;
          report(documents, tokens, bytes);
        };
      };
      try {
        if (options.every !== undefined)
          await dealOut(dataset, options.every, writers, [countFor(0), countFor(1)], signal);
        else {
          for (const [i, name] of names.entries()) {
            await copyDocuments(
              dataset,
              ranges[name] as DocumentRange,
              writers[i] as DatasetWriter,
              countFor(i),
              signal,
            );
          }
        }
      } finally {
        await dataset.close();
      }
      return counts.map((count): Taken[] => [{ part, ...count }]);
    });
    return {
      parts: written.map((dataset, i) => ({ name: names[i] as SplitName, ...dataset })),
      warnings: await findWarnings([part], prefixes),
    };
  });
}

type Counts = { documents: number; tokens: number }[];

function planRanges({ shares, every }: SplitOptions, documents: number): Partial<Record<SplitName, DocumentRange>> {
  if ((shares === undefined) === (every === undefined)) {
    throw new InvalidInputError('CPT_INPUT_INVALID', 'give either the shares, such as 99,1,0, or every n-th document', {
      field: 'shares',
    });
  }
  if (shares !== undefined) {
    const { train, valid, test } = splitBorders(shares, documents);
    return { ...(train && { train }), ...(valid && { valid }), ...(test && { test }) };
  }
  if (Number.isSafeInteger(every) && (every as number) >= 2) {
    const all = { from: 0, to: documents };
    return { train: all, valid: all };
  }
  throw new InvalidInputError('CPT_INPUT_INVALID', `every ${every} is not a whole number above 1`, { field: 'every' });
}

async function dealOut(
  dataset: MmapDataset,
  every: number,
  writers: readonly DatasetWriter[],
  reports: readonly Report[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const reader = createDocumentReader(dataset);
  for (let document = 0; document < dataset.documentCount; document++) {
    signal?.throwIfAborted();
    const output = document % every === every - 1 ? 1 : 0;
    const ids = await reader.read(document, signal);
    const sequences = cutSequences(dataset, document, ids);
    await (writers[output] as DatasetWriter).addDocument(sequences, documentModes(dataset, document));
    (reports[output] as Report)(1, ids.length, ids.length * TOKEN_DTYPES[dataset.dtype].bytes);
  }
}
