import { createRandomState } from '../mersenne-twister.ts';
import { type DatasetWriter, resolvePrefix } from '../node.ts';
import { DEFAULT_SEED } from '../sample-index.ts';
import { TOKEN_DTYPES } from '../token-dtype.ts';
import { countUp } from './choose-documents.ts';
import {
  type ArrangedDataset,
  type ArrangeOptions,
  type ArrangeTimes,
  findWarnings,
  startProgress,
  timed,
  writeOutputs,
} from './outputs.ts';
import { inspectPart, refuseOwnInput, shareTokenizer } from './parts.ts';
import { rearrangeFiles } from './rearrange.ts';

export interface ShuffleOptions extends ArrangeOptions {
  /** A dataset prefix, or a folder with `dataset.idx`. */
  input: string;
  /** 1234 when not given. */
  seed?: number;
}

export interface ShuffleResult extends ArrangedDataset, ArrangeTimes {
  seed: number;
  warnings: string[];
}

/**
 * Writes the documents of a dataset in random order, that of `numpy.random.RandomState(seed).permutation(documents)`. Needs as
 * much room again beside the output while it runs; memory as `rearrange`.
 * @throws InvalidInputError `CPT_INPUT_INVALID`, `CPT_INPUT_OUTPUT_EXISTS`, `CPT_INPUT_EMPTY_DATASET`; FormatError for a damaged
 * dataset.
 */
export function shuffleDataset(options: ShuffleOptions): Promise<ShuffleResult> {
  return timed(async () => {
    const { seed = DEFAULT_SEED, force = false, signal } = options;
    const random = createRandomState(seed);
    const prefix = await resolvePrefix(options.output);
    const part = await inspectPart(options.input);
    await refuseOwnInput(prefix, [part]);
    const { dtype, hasModes, documents, tokens } = part;
    const order = countUp(documents);
    random.shuffle(order);
    const { tokenizer } = shareTokenizer([part], false);
    const report = startProgress(2 * tokens * TOKEN_DTYPES[dtype].bytes, options.onProgress);

    const origin = { command: 'shuffle', seed } as const;
    const plan = { prefixes: [prefix], dtype, hasModes, force, tokenizer, origin };
    const [written] = await writeOutputs(plan, async ([writer]) => {
      const into = { order, dtype, writer: writer as DatasetWriter, report, ...(signal && { signal }) };
      await rearrangeFiles([part.prefix], prefix, into);
      return [[{ part, documents, tokens }]];
    });
    return { ...(written as ArrangedDataset), seed, warnings: await findWarnings([part], [prefix]) };
  });
}
