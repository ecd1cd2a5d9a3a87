import { dirname, normalize } from 'node:path';
import { InvalidInputError } from '@pai-cpt/core';
import { isSameFile } from './arrange/node.ts';
import { divideInputs, type Part } from './build/division.ts';
import { type BadPolicy, type EncodeRules, MAX_SEQUENCE_TOKENS } from './build/encode-rules.ts';
import { expectedBytes } from './build/expected-bytes.ts';
import { coreCount, freeBytes } from './build/node.ts';
import { readJournal } from './build/resume/node.ts';
import type { EngineSource } from './build/text-engine.ts';
import { loadForBuild, type TokenizerFacts } from './build/tokenizer-facts.ts';
import { MAX_LINE_BYTES } from './documents/batch.ts';
import { STDIN } from './documents/input-file.ts';
import { type InputFile, listInputs } from './documents/inputs.ts';
import { createHeldOutChoice } from './held-out.ts';
import { existingFile, refuseExisting, resolvePrefix, staleIndexCache } from './node.ts';
import { chooseDtype, type TokenDtype } from './token-dtype.ts';
import type { AddedTokenPolicy } from './tokenizer/byte-level-bpe.ts';

export interface BuildOptions {
  /**
   * Files (.jsonl, .ndjson, .json and .txt, each also as .gz or .zst; .parquet), folders and patterns of them, and `-` for JSONL
   * from stdin.
   */
  inputs: readonly string[];
  /** A tokenizer.json, or the folder that holds one. */
  tokenizer: string;
  /** A dataset prefix, or a folder, which gives `dataset.bin` and `dataset.idx` in it. */
  output: string;
  /** JSON key, or parquet column, of the text; `text` when not given. */
  textKey?: string;
  /** Text files: one document per run of lines between blank lines, not one per file. */
  splitParagraphs?: boolean;
  /** Id that ends each document; the tokenizer's own when not given. */
  eod?: number | 'none';
  dtype?: 'auto' | 'uint16' | 'int32';
  /** What becomes of a text that spells an added token such as `<|endoftext|>`: its id (the default), its letters, or a bad record. */
  specials?: AddedTokenPolicy;
  /** Keep documents without text as documents without tokens, as Megatron's script does. */
  keepEmpty?: boolean;
  /** Share of the documents, above 0 and at most 0.5, for a second dataset `PREFIX_valid`. */
  heldOut?: number;
  /** Put the documents in random order, that of `shuffleDataset` with this seed. */
  shuffle?: number;
  /** Stop after so many documents. */
  limit?: number;
  /** Read one part of the inputs only. */
  part?: Part;
  /** What becomes of a record that is no document: `fail` when not given. */
  onBad?: BadPolicy;
  /** Share of bad records above which `skip` gives up; 0.001 when not given. */
  maxBad?: number;
  /** Bytes that are not UTF-8: as `onBad` when not given, or `replace` by U+FFFD. */
  onInvalidUtf8?: BadPolicy | 'replace';
  /** Bytes of the longest record; 256 MiB when not given. */
  maxLine?: number;
  /** Tokens of the longest document, its end included; a longer one is split into several. 2^31 - 1 when not given. */
  maxDocTokens?: number;
  /** Threads that encode; one a core when not given, none of their own for a few megabytes. */
  workers?: number;
  force?: boolean;
  /** Throw away what an interrupted build left, instead of going on with it. */
  restart?: boolean;
  onProgress?: (progress: BuildProgress) => void;
  /** Told what a person should know while the build runs. */
  onNotice?: (notice: string) => void;
  signal?: AbortSignal;
}

export interface BuildProgress {
  documents: number;
  tokens: number;
  bytesRead: number;
  /** 0 when it is not known, as for stdin. */
  bytesTotal: number;
  /** Of this run. */
  seconds: number;
  /** What of it an interrupted run did before. */
  earlier?: { bytesRead: number; tokens: number };
}

/** What a build will do. */
export interface BuildPlan {
  prefix: string;
  parts: { prefix: string; part: 'train' | 'valid' }[];
  inputs: InputFile[];
  bytesTotal: number;
  tokenizer: TokenizerFacts;
  /** What encoders are made from. */
  engine: EngineSource;
  /** Threads that encode; 0: this one does. */
  workers: number;
  eodToken: number | undefined;
  dtype: TokenDtype;
  rules: EncodeRules;
  maxLine: number;
  maxBad: number;
  limit: number;
  /** Where held-out documents are chosen anew for each run of the plan. */
  createHeldOutChoice: () => (document: number) => boolean;
  warnings: string[];
}

/** Longest record that a JavaScript string can hold, which the general JSON parser needs. */
const MAX_MAX_LINE = 536_870_888;

/** Everything that can be refused before the first document is read. */
export async function planBuild(options: BuildOptions): Promise<BuildPlan> {
  checkNumbers(options);
  const prefix = await resolvePrefix(options.output);
  const parts: BuildPlan['parts'] = [{ prefix, part: 'train' }];
  const { heldOut } = options;
  if (heldOut !== undefined) parts.push({ prefix: `${prefix}_valid`, part: 'valid' });
  const heldOutChoice = () => (heldOut === undefined ? () => false : createHeldOutChoice(heldOut));
  heldOutChoice();
  // A build that was killed while it named its files has named some of them.
  const isNaming = !options.restart && (await readJournal(prefix))?.prepared !== undefined;
  if (!options.force && !isNaming) for (const part of parts) await refuseExisting(part.prefix);
  const listed = await listInputs(options.inputs);
  const inputs = options.part ? await divideInputs(listed, options.part) : listed;
  const bytesTotal = inputs.reduce((sum, input) => sum + bytesOf(input), 0);
  const workers = options.workers ?? (isSmall(inputs, bytesTotal) ? 0 : coreCount());
  const specials = options.specials ?? 'encode';
  const { facts: tokenizer, source: engine } = await loadForBuild(options.tokenizer, specials);
  const eodToken = chooseEod(options.eod, tokenizer);
  const dtype = chooseDtype(options.dtype ?? 'auto', tokenizer.vocabSize);
  await refuseOwnInput(parts, [...listed.map(({ path }) => path), tokenizer.file]);
  const warnings = [
    ...repeatedInputs(listed),
    ...tokenizerWarnings(tokenizer, dtype, eodToken, options.eod !== undefined),
    ...endOfTextWarnings(tokenizer, eodToken),
    ...(await leftoverWarnings(prefix, heldOut !== undefined)),
    ...(await spaceWarnings(prefix, inputs, dtype, options.shuffle !== undefined)),
  ];
  const onBad = options.onBad ?? 'fail';
  const rules: EncodeRules = {
    textKey: options.textKey ?? 'text',
    eodToken,
    dtype,
    specials,
    keepEmpty: options.keepEmpty ?? false,
    onBad,
    onInvalidUtf8: options.onInvalidUtf8 ?? onBad,
    maxDocTokens: options.maxDocTokens ?? MAX_SEQUENCE_TOKENS,
  };
  return {
    prefix,
    parts,
    inputs,
    bytesTotal,
    tokenizer,
    engine,
    workers,
    eodToken,
    dtype,
    rules,
    maxLine: options.maxLine ?? MAX_LINE_BYTES,
    maxBad: options.maxBad ?? 0.001,
    limit: options.limit ?? Number.POSITIVE_INFINITY,
    createHeldOutChoice: heldOutChoice,
    warnings,
  };
}

/** Where a build lists its bad records. */
export const rejectsName = (prefix: string): string => `${prefix}.rejects.jsonl`;

/** `force` replaces what an earlier build wrote, never what this one reads. */
async function refuseOwnInput(parts: BuildPlan['parts'], read: readonly string[]): Promise<void> {
  const endings = ['bin', 'idx', 'json', 'rejects.jsonl'];
  for (const file of parts.flatMap(({ prefix }) => endings.map((ending) => `${prefix}.${ending}`))) {
    if (!(await isSameFile(file, file))) continue; // nothing there
    for (const path of read) {
      if (!(await isSameFile(path, file))) continue;
      throw new InvalidInputError(
        'CPT_INPUT_INVALID',
        `${file}: is read by this build, which would replace it; choose another output`,
        { field: 'output', file },
      );
    }
  }
}

function repeatedInputs(inputs: readonly InputFile[]): string[] {
  const seen = new Set<string>();
  const repeated = new Set<string>();
  for (const path of inputs.map((input) => normalize(input.path))) (seen.has(path) ? repeated : seen).add(path);
  return [...repeated].map((path) => `${path}: is given more than once; its documents are in the dataset as often`);
}

/** Inputs that are encoded before threads have started and loaded their tables. */
function isSmall(inputs: readonly InputFile[], bytesTotal: number): boolean {
  return bytesTotal <= 8e6 && inputs.every(({ path }) => path !== STDIN);
}

/** Bytes of an input that are to be read. */
export function bytesOf({ byteLength, range }: InputFile): number {
  return range ? range.to - range.from : byteLength;
}

function checkNumbers(options: BuildOptions): void {
  const refuse = (field: keyof BuildOptions, why: string) =>
    new InvalidInputError('CPT_INPUT_INVALID', `${field} ${JSON.stringify(options[field])} cannot be; ${why}`, {
      field,
    });
  const { maxBad, maxLine, maxDocTokens, workers, limit, part } = options;
  if (maxBad !== undefined && !(maxBad >= 0 && maxBad <= 1)) throw refuse('maxBad', 'it is a share from 0 to 1');
  if (maxLine !== undefined && !isCount(maxLine, 1, MAX_MAX_LINE))
    throw refuse('maxLine', `it is a number of bytes from 1 to ${MAX_MAX_LINE}`);
  if (maxDocTokens !== undefined && !isCount(maxDocTokens, 2, MAX_SEQUENCE_TOKENS))
    throw refuse('maxDocTokens', `it is a number from 2 to ${MAX_SEQUENCE_TOKENS}, which the index stores in 32 bits`);
  if (workers !== undefined && !isCount(workers, 0, 1024)) throw refuse('workers', 'it is a number from 0 to 1024');
  if (limit !== undefined && !isCount(limit, 1)) throw refuse('limit', 'it is a number from 1 on');
  if (part === undefined) return;
  if (!isCount(part.of, 1) || !isCount(part.index, 1, part.of)) throw refuse('part', 'it is I/N with I from 1 to N');
  for (const field of ['shuffle', 'heldOut', 'limit'] as const) {
    if (options[field] === undefined) continue;
    throw new InvalidInputError(
      'CPT_INPUT_INVALID',
      `${field} needs to see all documents, a part sees its own; merge the parts first, then shuffle or split the whole`,
      { field },
    );
  }
}

const isCount = (value: number, min: number, max = Number.MAX_SAFE_INTEGER): boolean =>
  Number.isSafeInteger(value) && value >= min && value <= max;

function tokenizerWarnings(
  tokenizer: TokenizerFacts,
  dtype: TokenDtype,
  eodToken: number | undefined,
  isEodChosen: boolean,
): string[] {
  const warnings: string[] = [];
  const { vocabSize, eosToken } = tokenizer;
  if (dtype === 'int32' && vocabSize >= 65500 && vocabSize <= 65536) {
    warnings.push(
      `a vocabulary of ${vocabSize} is written as int32, which Megatron's --per-dataset-sequences-path takes for uint16; do not use that option`,
    );
  }
  if (!isEodChosen && eodToken !== undefined && eosToken !== undefined && eosToken !== eodToken) {
    warnings.push(
      `documents end with id ${eodToken} (<|endoftext|>), tokenizer_config.json names ${eosToken} as eos; choose with --eod`,
    );
  }
  return warnings;
}

/** A chosen end of document that is not the one base models learnt; a chat model's eos ends a turn. */
function endOfTextWarnings(tokenizer: TokenizerFacts, eodToken: number | undefined): string[] {
  const base = tokenizer.eodToken;
  if (eodToken === undefined || base === undefined || base === tokenizer.eosToken || eodToken !== tokenizer.eosToken) {
    return [];
  }
  return [
    `documents end with id ${eodToken}, which ends a turn of a chat; base models learnt ${base} (<|endoftext|>) as the end of a document`,
  ];
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

/** @throws InvalidInputError `CPT_INPUT_DISK_SPACE` when not even the least that the inputs can give has room. */
async function spaceWarnings(
  prefix: string,
  inputs: readonly InputFile[],
  dtype: TokenDtype,
  isShuffled: boolean,
): Promise<string[]> {
  if (inputs.some(({ path }) => path === STDIN)) return [];
  const free = await freeBytes(dirname(prefix));
  if (free === undefined) return [];
  const { least, usual } = expectedBytes(inputs, dtype, isShuffled);
  const facts = `${dirname(prefix)}: ${free} bytes are free`;
  if (free < least) {
    throw new InvalidInputError(
      'CPT_INPUT_DISK_SPACE',
      `${facts}, the dataset needs ${least} at the very least; free some or choose another output`,
      { file: dirname(prefix) },
    );
  }
  return free < usual ? [`${facts}, such inputs usually need ${usual}; --dry-run measures it`] : [];
}

function chooseEod(wanted: number | 'none' | undefined, tokenizer: TokenizerFacts): number | undefined {
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
