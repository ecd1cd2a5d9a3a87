import { BYTE_OF_CHARACTER, bytesOfSpelling } from './byte-alphabet.ts';
import { createTokenTable, HASH_SEED, hashByte, type TokenTable, type TokenTableBuilder } from './token-table.ts';

/*
 * The two large parts of a tokenizer.json, `model.vocab` and `model.merges`, read from bytes straight into flat arrays: through
 * `JSON.parse` they are half a million objects, and reading them is most of a second. The scanners accept nothing that `JSON.parse`
 * refuses. What is unusual (equal keys, numbers that are no plain ids) they leave to the caller, who writes the file anew from
 * what `JSON.parse` makes of it.
 */

/** Where a value lies in a file. */
export interface Span {
  start: number;
  end: number;
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_LIST = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_LIST = 0x5d;
const OPEN = 0x7b;
const CLOSE = 0x7d;

/** Where the members of the object at `start` lie, up to the member `last`; of equal keys the last counts. */
export function membersOf(bytes: Uint8Array, start: number, last?: string): Map<string, Span> {
  const members = new Map<string, Span>();
  let at = skipSpace(bytes, start);
  if (bytes[at] !== OPEN) return members;
  do {
    const quote = skipSpace(bytes, at + 1);
    const keyEnd = bytes[quote] === QUOTE ? stringEnd(bytes, quote) : -1;
    if (keyEnd < 0) return members;
    at = skipSpace(bytes, keyEnd);
    const from = skipSpace(bytes, at + 1);
    const key = Buffer.from(bytes.buffer, bytes.byteOffset + quote + 1, keyEnd - quote - 2).toString();
    const to = key === last ? bytes.length : valueEnd(bytes, from);
    if (bytes[at] !== COLON || to < 0) return members;
    members.set(key, { start: from, end: to });
    if (key === last) return members;
    at = skipSpace(bytes, to);
  } while (bytes[at] === COMMA);
  return members;
}

function skipSpace(bytes: Uint8Array, from: number): number {
  let at = from;
  while (bytes[at] === 0x20 || bytes[at] === 0x0a || bytes[at] === 0x0d || bytes[at] === 0x09) at++;
  return at;
}

/** Behind the string at `quote`, or -1. */
function stringEnd(bytes: Uint8Array, quote: number): number {
  for (let at = quote + 1; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte === QUOTE) return at + 1;
    if (byte === BACKSLASH) at++;
  }
  return -1;
}

function valueEnd(bytes: Uint8Array, start: number): number {
  let depth = 0;
  for (let at = start; at < bytes.length; at++) {
    const byte = bytes[at] as number;
    if (byte === QUOTE) {
      at = stringEnd(bytes, at) - 1;
      if (at < 0) return -1;
    } else if (byte === OPEN || byte === OPEN_LIST) depth++;
    else if (byte === CLOSE || byte === CLOSE_LIST) depth--;
    if (depth === 0) {
      const next = bytes[at + 1];
      if (byte === QUOTE || byte === CLOSE || byte === CLOSE_LIST) return at + 1;
      if (next === COMMA || next === CLOSE || next === CLOSE_LIST) return at + 1;
    } else if (depth < 0) return -1;
  }
  return -1;
}

/** Reads spellings in the byte alphabet: what one stood for lies in `bytes[from, end)`, and `hash` is theirs. */
function createSpellingReader(input: Uint8Array) {
  const alphabet = BYTE_OF_CHARACTER.slice();
  let bytes = new Uint8Array(1 << 16);
  const reader = { bytes, end: 0, hash: HASH_SEED, read };

  /** From `start` up to a quote, or a space, which the alphabet does not have; gives its position, -1 for anything else. */
  function read(start: number): number {
    let at = start;
    let end = reader.end;
    let hash = reader.hash;
    for (;;) {
      const byte = input[at] as number;
      if (byte === QUOTE || byte === 0x20) break;
      let value = -1;
      if (byte === BACKSLASH) {
        const next = input[at + 1] as number;
        if (next !== QUOTE && next !== BACKSLASH) return -1;
        value = next;
        at += 2;
      } else if (byte < 0x80) {
        value = alphabet[byte] as number;
        at++;
      } else if (byte < 0xc6 && ((input[at + 1] as number) & 0xc0) === 0x80) {
        value = alphabet[((byte & 31) << 6) | ((input[at + 1] as number) & 63)] ?? -1;
        at += 2;
      }
      if (value < 0) return -1;
      if (end === bytes.length) grow();
      bytes[end++] = value;
      hash = hashByte(hash, value);
    }
    reader.end = end;
    reader.hash = hash;
    return at;
  }

  function grow(): void {
    const larger = new Uint8Array(bytes.length * 2);
    larger.set(bytes);
    bytes = larger;
    reader.bytes = bytes;
  }
  return reader;
}

/**
 * The tokens of `model.vocab`. `isAdded` tells of a spelling outside the byte alphabet whether it is that of an added token, which is
 * left out. A string says why the vocabulary is not of this kind; `undefined`: it is unusual.
 */
export function scanVocabulary(
  input: Uint8Array,
  { start, end }: Span,
  isAdded: (spelling: string) => boolean,
): TokenTableBuilder | string | undefined {
  let quotes = 0;
  for (let i = start; i < end; i++) if (input[i] === QUOTE) quotes++;
  const table = createTokenTable(quotes >> 1, end - start);
  const spelling = createSpellingReader(input);
  let at = skipSpace(input, start + 1);
  if (input[at] === CLOSE) return table;
  for (;;) {
    if (input[at] !== QUOTE) return undefined;
    const quote = at;
    spelling.end = 0;
    spelling.hash = HASH_SEED;
    at = spelling.read(quote + 1);
    const isToken = at >= 0 && input[at] === QUOTE;
    if (!isToken) {
      at = stringEnd(input, quote) - 1;
      const text = at < 0 ? undefined : parseString(input, quote, at + 1);
      if (text === undefined || bytesOfSpelling(text)) return undefined;
      if (!isAdded(text)) return 'a token outside the byte alphabet';
    }
    at = skipSpace(input, at + 1);
    if (input[at] !== COLON) return undefined;
    at = skipSpace(input, at + 1);
    const digits = at;
    let id = 0;
    for (let digit = (input[at] as number) - 0x30; digit >= 0 && digit <= 9; digit = (input[++at] as number) - 0x30) {
      id = id * 10 + digit;
    }
    if (at === digits || at > digits + 9 || (input[digits] === 0x30 && at > digits + 1)) return undefined;
    if (isToken && !table.add(spelling.bytes, 0, spelling.end, spelling.hash, id)) return undefined;
    at = skipSpace(input, at);
    if (input[at] === CLOSE) return at + 1 === end ? table : undefined;
    if (input[at] !== COMMA) return undefined;
    at = skipSpace(input, at + 1);
  }
}

/** Left id, right id, merged id of each entry of `model.merges`, strings or pairs; `undefined`: unusual, or not of this vocabulary. */
export function scanMerges(input: Uint8Array, { start, end }: Span, tokens: TokenTable): Int32Array | undefined {
  const merges = new Int32Array(3 * Math.ceil((end - start) / 6)); // "a b", is the shortest
  const spelling = createSpellingReader(input);
  let filled = 0;
  let at = skipSpace(input, start + 1);
  if (input[at] === CLOSE_LIST) return merges.subarray(0, 0);
  for (;;) {
    const isPair = input[at] === OPEN_LIST;
    if (isPair) at = skipSpace(input, at + 1);
    if (input[at] !== QUOTE) return undefined;
    spelling.end = 0;
    spelling.hash = HASH_SEED;
    at = spelling.read(at + 1);
    if (at < 0 || input[at] !== (isPair ? QUOTE : 0x20)) return undefined;
    const leftEnd = spelling.end;
    const left = tokens.idOf(spelling.bytes, 0, leftEnd, spelling.hash);
    if (isPair) {
      at = skipSpace(input, at + 1);
      if (input[at] !== COMMA) return undefined;
      at = skipSpace(input, at + 1);
      if (input[at] !== QUOTE) return undefined;
    }
    at = spelling.read(at + 1);
    if (at < 0 || input[at] !== QUOTE) return undefined;
    const right = tokens.idOf(spelling.bytes, leftEnd, spelling.end - leftEnd);
    const merged = tokens.idOf(spelling.bytes, 0, spelling.end, spelling.hash);
    if (left < 0 || right < 0 || merged < 0) return undefined;
    merges[filled++] = left;
    merges[filled++] = right;
    merges[filled++] = merged;
    at = skipSpace(input, at + 1);
    if (isPair) {
      if (input[at] !== CLOSE_LIST) return undefined;
      at = skipSpace(input, at + 1);
    }
    if (input[at] === CLOSE_LIST) return at + 1 === end ? merges.slice(0, filled) : undefined;
    if (input[at] !== COMMA) return undefined;
    at = skipSpace(input, at + 1);
  }
}

function parseString(input: Uint8Array, start: number, end: number): string | undefined {
  try {
    return JSON.parse(Buffer.from(input.buffer, input.byteOffset + start, end - start).toString('utf8')) as string;
  } catch {
    return undefined;
  }
}
