import { InvalidInputError } from '@pai-cpt/core';
import { createRandomState } from '../mersenne-twister.ts';
import { type DatasetWriter, openDataset, resolvePrefix } from '../node.ts';
import { DEFAULT_SEED } from '../sample-index.ts';
import { TOKEN_DTYPES } from '../token-dtype.ts';
import { type ChosenDocuments, chooseDocuments } from './choose-documents.ts';
import { documentTokens } from './copy-documents.ts';
import {
  type ArrangedDataset,
  type ArrangeOptions,
  type ArrangeTimes,
  findWarnings,
  startProgress,
  timed,
  writeOutputs,
} from './outputs.ts';
import { chooseOutputDtype, inspectPart, type Part, refuseOwnInput, shareTokenizer } from './parts.ts';
import { rearrangeFiles } from './rearrange.ts';

export interface MixOptions extends ArrangeOptions {
  /** Dataset prefixes or folders, each with its share of `tokens`, or its own number of tokens when `tokens` is not given. */
  sources: readonly { input: string; share: number }[];
  /** Tokens of the mixture. */
  tokens?: number;
  /** Of the choice and of the order; 1234 when not given. */
  seed?: number;
  /** Take the documents of a source again when it has fewer tokens than its share. */
  allowRepeat?: boolean;
  /** How ids are stored; the dtype of the sources when not given. */
  dtype?: string;
  /** Mix datasets whose sidecars name different tokenizers. */
  forceTokenizers?: boolean;
}

/** What went into a mixture from one source. */
export interface MixedSource {
  prefix: string;
  /** Of 1. */
  share: number;
  /** Documents and tokens taken; a document taken twice counts twice. */
  documents: number;
  tokens: number;
  /** Tokens taken over tokens there are. */
  epochs: number;
}

export interface MixResult extends ArrangedDataset, ArrangeTimes {
  seed: number;
  sources: MixedSource[];
  /** The argument that makes Megatron mix the sources itself in the same shares. */
  dataPath: string;
  warnings: string[];
}

const MANY_EPOCHS = 4;

/**
 * Mixes datasets to shares of a number of tokens, for trainers that take one dataset. Documents are drawn without replacement,
 * whole, so each source misses its share by at most half a document; the documents of all sources then come in random order.
 * Needs as much room again beside the output while it runs; memory: the indices of all sources, and as `rearrange`.
 * @throws InvalidInputError `CPT_INPUT_TOO_FEW_TOKENS`, and as `mergeDatasets`.
 */
export function mixDatasets(options: MixOptions): Promise<MixResult> {
  return timed(async () => {
    const { seed = DEFAULT_SEED, force = false, signal } = options;
    const random = createRandomState(seed);
    const prefix = await resolvePrefix(options.output);
    const parts: Part[] = [];
    for (const { input } of options.sources) parts.push(await inspectPart(input));
    await refuseOwnInput(prefix, parts);
    const budgets = planBudgets(parts, options);
    const dtype = chooseOutputDtype(parts, options.dtype);
    const { tokenizer, warnings } = shareTokenizer(parts, options.forceTokenizers ?? false);
    const hasModes = parts.every((part) => part.hasModes);

    const chosen: ChosenDocuments[] = [];
    for (const [i, part] of parts.entries()) {
      chosen.push(chooseDocuments(await readDocumentLengths(part.prefix), budgets[i] as number, random));
    }
    if (chosen.every(({ tokens }) => tokens === 0)) throw tooFewTokens(budgets);
    const order = joinNumbers(parts, chosen);
    random.shuffle(order);
    const bytes = chosen.reduce((sum, { tokens }) => sum + tokens, 0) * TOKEN_DTYPES[dtype].bytes;
    const report = startProgress(2 * bytes, options.onProgress);

    const origin = { command: 'mix', seed } as const;
    const plan = { prefixes: [prefix], dtype, hasModes, force, tokenizer, origin };
    const [written] = await writeOutputs(plan, async ([writer]) => {
      const into = { order, dtype, writer: writer as DatasetWriter, report, ...(signal && { signal }) };
      const prefixes = parts.map((part) => part.prefix);
      await rearrangeFiles(prefixes, prefix, into);
      return [
        chosen.map(({ documents, tokens }, i) => ({ part: parts[i] as Part, documents: documents.length, tokens })),
      ];
    });
    const sources = describeSources(parts, budgets, chosen);
    return {
      ...(written as ArrangedDataset),
      seed,
      sources,
      dataPath: dataPath(sources),
      warnings: [...(await findWarnings(parts, [prefix])), ...warnings, ...mixWarnings(sources)],
    };
  });
}

/** Tokens to take from each source. */
function planBudgets(parts: readonly Part[], { sources, tokens, allowRepeat = false }: MixOptions): number[] {
  const invalid = (message: string) => new InvalidInputError('CPT_INPUT_INVALID', message, { field: 'sources' });
  if (parts.length === 0) throw invalid('no dataset to mix was given');
  const twice = parts.find(({ prefix }, i) => parts.findIndex((part) => part.prefix === prefix) < i);
  if (twice) throw invalid(`${twice.prefix}: is given twice; give it once, with the sum of its shares`);
  const wrong = sources.find(({ share }) => !(share > 0 && Number.isFinite(share)));
  if (wrong) throw invalid(`${wrong.input}: share ${wrong.share} is not a number above 0`);
  if (tokens !== undefined && !(Number.isSafeInteger(tokens) && tokens > 0)) {
    throw invalid(`tokens ${tokens} is not a whole number above 0`);
  }
  const sum = sources.reduce((total, { share }) => total + share, 0);
  const total = tokens ?? sum;
  const budgets = sources.map(({ share }) => Math.round((total * share) / sum));
  for (const [i, part] of parts.entries()) {
    const budget = budgets[i] as number;
    if (budget <= part.tokens || (allowRepeat && part.tokens > 0)) continue;
    const most = Math.floor(Math.min(...parts.map((part, k) => (part.tokens * sum) / (sources[k]?.share as number))));
    throw new InvalidInputError(
      'CPT_INPUT_TOO_FEW_TOKENS',
      `${part.prefix}: has ${part.tokens} tokens, its share is ${budget}; mix at most ${most} tokens in these shares, or repeat documents with --allow-repeat`,
      { file: `${part.prefix}.idx`, tokens: part.tokens, budget },
    );
  }
  return budgets;
}

function tooFewTokens(budgets: readonly number[]): InvalidInputError {
  return new InvalidInputError(
    'CPT_INPUT_INVALID',
    `${budgets.join(' + ')} tokens are less than half a document of any source; ask for more with --tokens`,
    { field: 'tokens' },
  );
}

async function readDocumentLengths(prefix: string): Promise<Float64Array> {
  const dataset = await openDataset(prefix);
  await dataset.close();
  const lengths = new Float64Array(dataset.documentCount);
  for (let document = 0; document < lengths.length; document++) lengths[document] = documentTokens(dataset, document);
  return lengths;
}

/** The chosen documents, counted through all sources. */
function joinNumbers(parts: readonly Part[], chosen: readonly ChosenDocuments[]): Int32Array {
  const order = new Int32Array(chosen.reduce((sum, { documents }) => sum + documents.length, 0));
  let at = 0;
  let start = 0;
  for (const [i, { documents }] of chosen.entries()) {
    for (const document of documents) order[at++] = start + document;
    start += (parts[i] as Part).documents;
  }
  return order;
}

function describeSources(
  parts: readonly Part[],
  budgets: readonly number[],
  chosen: readonly ChosenDocuments[],
): MixedSource[] {
  const total = budgets.reduce((sum, budget) => sum + budget, 0);
  return parts.map(({ prefix, tokens: available }, i) => {
    const { documents, tokens } = chosen[i] as ChosenDocuments;
    const share = (budgets[i] as number) / total;
    return { prefix, share, documents: documents.length, tokens, epochs: tokens / available };
  });
}

function dataPath(sources: readonly MixedSource[]): string {
  const quoted = (path: string) =>
    /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", String.raw`'\''`)}'`;
  return `--data-path ${sources.map(({ share, prefix }) => `${Number(share.toPrecision(6))} ${quoted(prefix)}`).join(' ')}`;
}

function mixWarnings(sources: readonly MixedSource[]): string[] {
  const warnings: string[] = [];
  for (const { prefix, epochs } of sources) {
    if (epochs > MANY_EPOCHS) {
      warnings.push(
        `${prefix}: its documents are taken ${epochs.toFixed(1)} times; past ${MANY_EPOCHS} times repeated data helps little`,
      );
    }
    if (!Number.isNaN(Number(prefix))) {
      warnings.push(`${prefix}: Megatron's --data-path reads this name as a weight; use ./${prefix}`);
    }
  }
  if (sources.some(({ epochs }) => epochs > 1)) {
    warnings.push(
      "documents come more than once: Megatron's --split would put one copy into training and one into validation; hold validation out before mixing, with cpt-mmap split",
    );
  }
  return warnings;
}
