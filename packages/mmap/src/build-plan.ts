import { InvalidInputError } from '@pai-cpt/core';
import { type InputFile, listInputs } from './documents/inputs.ts';
import { createHeldOutChoice } from './held-out.ts';
import { existingFile, refuseExisting, resolvePrefix, staleIndexCache } from './node.ts';
import { chooseDtype, type TokenDtype } from './token-dtype.ts';
import { loadTokenizer } from './tokenizer/load-tokenizer.ts';
import type { Tokenizer } from './tokenizer/tokenizer.ts';

export interface BuildOptions {
  /** Files (.jsonl, .ndjson, .txt) and folders of them. */
  inputs: readonly string[];
  /** A tokenizer.json, or the folder that holds one. */
  tokenizer: string;
  /** A dataset prefix, or a folder, which gives `dataset.bin` and `dataset.idx` in it. */
  output: string;
  /** JSONL key of the text; `text` when not given. */
  textKey?: string;
  /** Text files: one document per run of lines between blank lines, not one per file. */
  splitParagraphs?: boolean;
  /** Id that ends each document; the tokenizer's own when not given. */
  eod?: number | 'none';
  dtype?: 'auto' | 'uint16' | 'int32';
  /** Share of the documents, above 0 and at most 0.5, for a second dataset `PREFIX_valid`. */
  heldOut?: number;
  force?: boolean;
  onProgress?: (progress: BuildProgress) => void;
  signal?: AbortSignal;
}

export interface BuildProgress {
  documents: number;
  tokens: number;
  bytesRead: number;
  bytesTotal: number;
  seconds: number;
}

/** What a build will do. */
export interface BuildPlan {
  parts: { prefix: string; part: 'train' | 'valid' }[];
  inputs: InputFile[];
  tokenizer: Tokenizer;
  eodToken: number | undefined;
  dtype: TokenDtype;
  isHeldOut: (document: number) => boolean;
  warnings: string[];
}

/** Everything that can be refused before the first document is read. */
export async function planBuild(options: BuildOptions): Promise<BuildPlan> {
  const prefix = await resolvePrefix(options.output);
  const parts: BuildPlan['parts'] = [{ prefix, part: 'train' }];
  if (options.heldOut !== undefined) parts.push({ prefix: `${prefix}_valid`, part: 'valid' });
  const isHeldOut = options.heldOut === undefined ? () => false : createHeldOutChoice(options.heldOut);
  if (!options.force) for (const part of parts) await refuseExisting(part.prefix);
  const inputs = await listInputs(options.inputs);
  const tokenizer = await loadTokenizer(options.tokenizer);
  const eodToken = chooseEod(options.eod, tokenizer);
  const dtype = chooseDtype(options.dtype ?? 'auto', tokenizer.vocabSize);
  const warnings = [
    ...tokenizerWarnings(tokenizer, dtype, options.eod === undefined ? eodToken : undefined),
    ...(await leftoverWarnings(prefix, options.heldOut !== undefined)),
  ];
  return { parts, inputs, tokenizer, eodToken, dtype, isHeldOut, warnings };
}

function tokenizerWarnings(tokenizer: Tokenizer, dtype: TokenDtype, chosenEod: number | undefined): string[] {
  const warnings: string[] = [];
  const { vocabSize, eosToken } = tokenizer;
  if (dtype === 'int32' && vocabSize >= 65500 && vocabSize <= 65536) {
    warnings.push(
      `a vocabulary of ${vocabSize} is written as int32, which Megatron's --per-dataset-sequences-path takes for uint16; do not use that option`,
    );
  }
  if (chosenEod !== undefined && eosToken !== undefined && eosToken !== chosenEod) {
    warnings.push(
      `documents end with id ${chosenEod} (<|endoftext|>), tokenizer_config.json names ${eosToken} as eos; choose with --eod`,
    );
  }
  return warnings;
}

async function leftoverWarnings(prefix: string, withHeldOut: boolean): Promise<string[]> {
  const warnings: string[] = [];
  for (const part of withHeldOut ? [prefix, `${prefix}_valid`] : [prefix]) {
    const cache = await staleIndexCache(part);
    if (cache)
      warnings.push(`${cache}: Megatron's indices of an earlier dataset, which would be used again; delete the folder`);
  }
  const old = withHeldOut ? undefined : await existingFile(`${prefix}_valid`);
  if (old) warnings.push(`${old}: a held-out part of an earlier build; its documents may be in this dataset too`);
  return warnings;
}

function chooseEod(wanted: number | 'none' | undefined, tokenizer: Tokenizer): number | undefined {
  if (wanted === 'none') return undefined;
  const eod = wanted ?? tokenizer.eodToken;
  if (eod === undefined) {
    throw new InvalidInputError(
      'CPT_INPUT_INVALID',
      `${tokenizer.file}: has no <|endoftext|>, and no tokenizer_config.json names an eos token; give --eod with an id or none`,
      { field: 'eod' },
    );
  }
  if (Number.isInteger(eod) && eod >= 0 && eod < tokenizer.vocabSize) return eod;
  throw new InvalidInputError(
    'CPT_INPUT_INVALID',
    `eod ${eod} is no id of ${tokenizer.file}, which has ${tokenizer.vocabSize} entries`,
    { field: 'eod' },
  );
}
