import { createHash } from 'node:crypto';
import { FormatError } from '@pai-cpt/core';

/** Which pattern splits text into words before merging; each is recognised by exact equality, never guessed. */
export type PreTokenizerName = 'qwen2' | 'llama3' | 'gpt2';

/** A token that is matched in the text as it stands, before the pre-tokenizer. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly isSpecial: boolean;
}

/** A byte-level BPE `tokenizer.json` as plain data. */
export interface BpeModel {
  readonly preTokenizer: PreTokenizerName;
  readonly isNfc: boolean;
  /** A word that is a token is taken whole, whatever the merges would make of it. */
  readonly ignoreMerges: boolean;
  /** Bytes of each token of the base vocabulary, by id; holes are `undefined`. */
  readonly tokens: readonly (Uint8Array | undefined)[];
  /** Left id, right id, merged id of each merge, in order of rank. */
  readonly merges: Int32Array;
  readonly addedTokens: readonly AddedToken[];
  /** sha256 of the file. */
  readonly fingerprint: string;
}

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const TAIL = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
const PATTERNS: Record<string, PreTokenizerName> = {
  [`${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|${TAIL}`]: 'qwen2',
  [`${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|${TAIL}`]: 'llama3',
};

type Json = Record<string, unknown>;
const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * The model of a `tokenizer.json`, or the reason why the engine does not cover it: another model type, an unknown pattern, a
 * normaliser other than NFC, added tokens that strip spaces. The caller falls back to the reference then.
 * @throws FormatError `CPT_FORMAT_TOKENIZER` when it is no JSON object.
 */
export function parseBpeModel(bytes: Uint8Array, file: string): BpeModel | { unsupported: string } {
  const json = parseJson(bytes, file);
  const model = json.model;
  if (!isObject(model) || model.type !== 'BPE')
    return { unsupported: `model type ${isObject(model) ? model.type : 'none'}` };
  for (const option of ['dropout', 'unk_token', 'continuing_subword_prefix', 'end_of_word_suffix']) {
    if (model[option]) return { unsupported: `model option ${option}` };
  }
  if (model.byte_fallback === true) return { unsupported: 'byte_fallback' };
  const preTokenizer = preTokenizerOf(json.pre_tokenizer);
  if (!preTokenizer) return { unsupported: 'an unknown pre-tokenizer pattern' };
  const { normalizer } = json;
  if (normalizer !== null && normalizer !== undefined && !(isObject(normalizer) && normalizer.type === 'NFC')) {
    return { unsupported: `normaliser ${isObject(normalizer) ? normalizer.type : String(normalizer)}` };
  }
  const isNfc = isObject(normalizer);
  const addedTokens: AddedToken[] = [];
  for (const token of (json.added_tokens ?? []) as Json[]) {
    const content = String(token.content);
    if (token.lstrip || token.rstrip || token.single_word)
      return { unsupported: `added token ${content} that strips or wants word borders` };
    if (token.normalized && isNfc) return { unsupported: `added token ${content} that matches normalised text` };
    addedTokens.push({ id: Number(token.id), content, isSpecial: token.special === true });
  }
  const vocabulary = model.vocab as Record<string, number>;
  if (!isObject(vocabulary) || !Array.isArray(model.merges))
    return { unsupported: 'a BPE model without vocabulary or merges' };
  const tokens = tokenBytes(vocabulary, new Set(addedTokens.map((token) => token.content)));
  if (!tokens) return { unsupported: 'a token outside the byte alphabet' };
  const merges = mergeIds(vocabulary, model.merges as (string | [string, string])[]);
  if (!merges) return { unsupported: 'a merge whose tokens are not in the vocabulary' };
  if (!hasAllBytes(tokens)) return { unsupported: 'a vocabulary without a token for each byte' };
  return {
    preTokenizer,
    isNfc,
    ignoreMerges: model.ignore_merges === true,
    tokens,
    merges,
    addedTokens,
    fingerprint: createHash('sha256').update(bytes).digest('hex'),
  };
}

function parseJson(bytes: Uint8Array, file: string): Json {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new FormatError('CPT_FORMAT_TOKENIZER', `${file}: not JSON (${why}); copy it again`, { file }, { cause });
  }
  if (!isObject(value))
    throw new FormatError('CPT_FORMAT_TOKENIZER', `${file}: not a tokenizer.json; copy it again`, { file });
  return value;
}

function preTokenizerOf(value: unknown): PreTokenizerName | undefined {
  if (!isObject(value)) return undefined;
  if (value.type === 'ByteLevel')
    return value.add_prefix_space === false && value.use_regex !== false ? 'gpt2' : undefined;
  const [split, byteLevel, ...more] = (value.type === 'Sequence' ? value.pretokenizers : []) as Json[];
  if (more.length > 0 || split?.type !== 'Split' || byteLevel?.type !== 'ByteLevel') return undefined;
  if (split.behavior !== 'Isolated' || split.invert === true) return undefined;
  if (byteLevel.add_prefix_space !== false || byteLevel.use_regex !== false) return undefined;
  const pattern = isObject(split.pattern) ? split.pattern.Regex : undefined;
  return typeof pattern === 'string' && Object.hasOwn(PATTERNS, pattern) ? PATTERNS[pattern] : undefined;
}

/**
 * GPT-2's alphabet: each byte as one printable character (33–126, 161–172 and 174–255 as themselves, the other 68 from U+0100
 * upwards). By character, the byte.
 */
const BYTE_OF_CHARACTER = (() => {
  const table = new Int16Array(0x144).fill(-1);
  let next = 0x100;
  for (let byte = 0; byte < 256; byte++) {
    const isItself = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    table[isItself ? byte : next++] = byte;
  }
  return table;
})();

function tokenBytes(
  vocabulary: Record<string, number>,
  added: ReadonlySet<string>,
): (Uint8Array | undefined)[] | undefined {
  const tokens: (Uint8Array | undefined)[] = [];
  for (const [spelling, id] of Object.entries(vocabulary)) {
    if (added.has(spelling)) continue; // spelt as text, not in the byte alphabet
    const bytes = new Uint8Array(spelling.length);
    for (let i = 0; i < spelling.length; i++) {
      const byte = BYTE_OF_CHARACTER[spelling.charCodeAt(i)] ?? -1;
      if (byte < 0) return undefined;
      bytes[i] = byte;
    }
    tokens[id] = bytes;
  }
  return tokens;
}

function mergeIds(vocabulary: Record<string, number>, merges: (string | [string, string])[]): Int32Array | undefined {
  const ids = new Int32Array(merges.length * 3);
  for (let rank = 0; rank < merges.length; rank++) {
    const merge = merges[rank] as string | [string, string];
    const [left, right] = (Array.isArray(merge) ? merge : merge.split(' ')) as [string, string];
    const [a, b, merged] = [vocabulary[left], vocabulary[right], vocabulary[left + right]];
    if (a === undefined || b === undefined || merged === undefined) return undefined;
    ids.set([a, b, merged], rank * 3);
  }
  return ids;
}

function hasAllBytes(tokens: readonly (Uint8Array | undefined)[]): boolean {
  return new Set(tokens.filter((token) => token?.length === 1).map((token) => token?.[0])).size === 256;
}
