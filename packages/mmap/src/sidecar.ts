import { FormatError } from '@pai-cpt/core';
import type { TokenDtype } from './token-dtype.ts';

/** `PREFIX.json`: where a dataset comes from and what it was made with, so that a trainer finds the vocabulary and a reader the text. */
export interface Sidecar {
  version: 1;
  tokenizer: {
    /** Path as it was given. */
    file: string;
    /** sha256 of tokenizer.json: equal fingerprints mean equal ids. */
    fingerprint: string;
    /** Entries including added tokens, before any padding. */
    vocabSize: number;
    /** The id that ends documents here, `null` when none does. */
    eodToken: number | null;
  };
  dtype: TokenDtype;
  documents: number;
  sequences: number;
  tokens: number;
  maxId: number;
  inputs: SidecarInput[];
  options: SidecarOptions;
  /** Documents left out, by reason; a reason that never came up is left out too, `empty` is not. */
  dropped: { empty: number; [reason: string]: number };
  /** Documents of more than `options.maxDocTokens` tokens, which became several; absent when there were none. */
  splitDocuments?: number;
  /** Which part of the inputs this dataset is; `null` when it is all of them. */
  heldOut: { part: 'train' | 'valid'; share: number; seed: number } | null;
  sha256: { bin: string; idx: string };
  /** How it was made from other datasets; absent in one that was built from text. */
  origin?: SidecarOrigin;
}

/** A file that was read. */
export interface SidecarInput {
  path: string;
  bytes: number;
  /** Of the whole file, or of its range; `null` when the build stopped within it. */
  sha256: string | null;
  /** The bytes that were read, when they are not all of the file. */
  range?: { from: number; to: number };
}

/** Choices that decide which documents a dataset has, and how they became ids. Those left at their default are absent. */
export interface SidecarOptions {
  textKey: string;
  splitParagraphs: boolean;
  keepEmpty?: boolean;
  specials?: string;
  onBad?: string;
  onInvalidUtf8?: string;
  maxLine?: number;
  maxDocTokens?: number;
  limit?: number;
  shuffle?: number;
  /** `2/8`: the second of eight parts of the inputs. */
  part?: string;
}

/** A dataset made from datasets. `inputs` and `dropped` of its sidecar are then those of all builds behind them, `options` what they share. */
export interface SidecarOrigin {
  command: 'merge' | 'split' | 'mix' | 'shuffle';
  seed?: number;
  /** What was taken from each dataset; `fingerprint` and `sha256` are `null` where it had no sidecar. */
  parts: {
    path: string;
    documents: number;
    tokens: number;
    fingerprint: string | null;
    sha256: { bin: string; idx: string } | null;
  }[];
}

/** The text of a sidecar. It has no time and no machine in it: the same inputs give the same bytes. */
export function serializeSidecar(sidecar: Sidecar): string {
  return `${JSON.stringify(sidecar, null, 2)}\n`;
}

/**
 * A sidecar from its bytes. Fields a reader relies on are checked; unknown ones are kept.
 * @throws FormatError `CPT_FORMAT_SIDECAR`.
 */
export function parseSidecar(bytes: Uint8Array, file: string): Sidecar {
  const fail = (why: string, cause?: unknown) =>
    new FormatError('CPT_FORMAT_SIDECAR', `${file}: ${why}; build the dataset again`, { file }, { cause });
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (cause) {
    throw fail('not JSON', cause);
  }
  if (!isRecord(value) || value.version !== 1) throw fail('"version" is not 1');
  const { tokenizer } = value;
  if (!isRecord(tokenizer)) throw fail('"tokenizer" is not an object');
  if (!isCount(tokenizer.vocabSize)) throw fail('"tokenizer.vocabSize" is not a count');
  if (tokenizer.eodToken !== null && !isCount(tokenizer.eodToken))
    throw fail('"tokenizer.eodToken" is neither an id nor null');
  for (const field of ['file', 'fingerprint']) {
    if (typeof tokenizer[field] !== 'string') throw fail(`"tokenizer.${field}" is not a string`);
  }
  for (const field of ['documents', 'sequences', 'tokens']) {
    if (!isCount(value[field])) throw fail(`"${field}" is not a count`);
  }
  return value as unknown as Sidecar;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
