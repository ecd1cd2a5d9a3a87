import { createHash } from 'node:crypto';
import { FormatError } from '@pai-cpt/core';
import { bytesOfSpelling } from './byte-alphabet.ts';
import { membersOf, type Span, scanMerges, scanVocabulary } from './scan-vocabulary.ts';
import type { TokenTable } from './token-table.ts';

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
  /** The base vocabulary; added tokens are not in it. */
  readonly tokens: TokenTable;
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
  const model = scanModel(bytes, file) ?? scanModel(Buffer.from(JSON.stringify(parseJson(bytes, file))), file);
  if (!model) return { unsupported: 'a vocabulary without plain ids, or a merge whose tokens are not in it' };
  return 'unsupported' in model ? model : { ...model, fingerprint: createHash('sha256').update(bytes).digest('hex') };
}

type Scanned = Omit<BpeModel, 'fingerprint'> | { unsupported: string } | undefined;

/** `undefined`: something in the vocabulary or the merges is not as such files are usually written. */
function scanModel(bytes: Uint8Array, file: string): Scanned {
  const large = largeParts(bytes);
  const json = large ? tryParse(without(bytes, [large.vocabulary, large.merges])) : parseJson(bytes, file);
  const model = json?.model;
  if (!isObject(json)) return undefined;
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
  if (!large) return { unsupported: 'a BPE model without vocabulary or merges' };
  if (model.vocab !== CUT_OUT || model.merges !== CUT_OUT) return undefined; // another `model` follows, which counts
  const added = new Set(addedTokens.map((token) => token.content));
  const tokens = scanVocabulary(bytes, large.vocabulary, (spelling) => added.has(spelling));
  if (tokens === undefined) return undefined;
  if (typeof tokens === 'string') return { unsupported: tokens };
  const merges = scanMerges(bytes, large.merges, tokens);
  if (!merges) return undefined;
  for (const content of added) {
    const spelt = bytesOfSpelling(content); // it is text, whatever it would be in the byte alphabet
    if (spelt) tokens.remove(tokens.idOf(spelt, 0, spelt.length));
  }
  if (!hasAllBytes(tokens)) return { unsupported: 'a vocabulary without a token for each byte' };
  return { preTokenizer, isNfc, ignoreMerges: model.ignore_merges === true, tokens, merges, addedTokens };
}

/** Stands where `without` cut something out: no vocabulary and no list of merges is this. */
const CUT_OUT = 0;

/** Where `model.vocab` and `model.merges` lie, if these are an object and a list. */
function largeParts(bytes: Uint8Array): { vocabulary: Span; merges: Span } | undefined {
  const start = membersOf(bytes, 0, 'model').get('model')?.start;
  const members = start === undefined ? undefined : membersOf(bytes, start);
  const [vocabulary, merges] = [members?.get('vocab'), members?.get('merges')];
  if (!vocabulary || !merges) return undefined;
  return bytes[vocabulary.start] === 0x7b && bytes[merges.start] === 0x5b ? { vocabulary, merges } : undefined;
}

function without(bytes: Uint8Array, spans: Span[]): Uint8Array {
  const parts: Uint8Array[] = [];
  let last = 0;
  for (const { start, end } of spans.sort((a, b) => a.start - b.start)) {
    parts.push(bytes.subarray(last, start), Buffer.from(String(CUT_OUT)));
    last = end;
  }
  return Buffer.concat([...parts, bytes.subarray(last)]);
}

function tryParse(bytes: Uint8Array): Json | undefined {
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')) as Json;
  } catch {
    return undefined;
  }
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

function hasAllBytes(tokens: TokenTable): boolean {
  return tokens.byteIds().every((id) => id >= 0);
}
