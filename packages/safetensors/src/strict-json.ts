import { type ErrorCode, FormatError } from '@pai-cpt/core';

/** JSON as it is written: objects keep their keys in a `Map`, and a number that is no plain integer keeps its text. */
export type Json = null | boolean | string | number | RawNumber | Json[] | JsonObject;
export type JsonObject = Map<string, Json>;

/** A number with a sign, a fraction, an exponent, or 2^53 and more: for the caller to refuse or to round. */
export interface RawNumber {
  readonly raw: string;
}

/** Most keys of one object. A 100 MB header can hold two million entries, which take longer to check than to refuse. */
export const MAX_KEYS = 250_000;
const MAX_DEPTH = 8;

/**
 * Parses JSON where `JSON.parse` is too kind: that one lets the last of two equal keys win, rounds 2^53 + 1, reads `1.0` as
 * the integer 1, and accepts text around half a surrogate pair.
 * @throws FormatError `CPT_FORMAT_HEADER_ENCODING`, `CPT_FORMAT_HEADER_JSON`, `CPT_FORMAT_DUPLICATE_KEY`, `CPT_FORMAT_HEADER_TOO_LARGE`.
 */
export function parseStrictJson(bytes: Uint8Array, file: string): Json {
  const text = decodeUtf8(bytes, file);
  let at = 0;
  const value = parseValue(0);
  skipSpace();
  if (at < text.length) throw bad('CPT_FORMAT_HEADER_JSON', 'there is text after the JSON value');
  return value;

  function parseValue(depth: number): Json {
    skipSpace();
    if (depth > MAX_DEPTH) throw bad('CPT_FORMAT_HEADER_JSON', `it is nested more than ${MAX_DEPTH} deep`);
    const first = text[at];
    if (first === '{') return parseObject(depth);
    if (first === '[') return parseArray(depth);
    if (first === '"') return parseString();
    return parseWord();
  }

  function parseObject(depth: number): JsonObject {
    const object: JsonObject = new Map();
    at++;
    skipSpace();
    if (take('}')) return object;
    do {
      skipSpace();
      if (text[at] !== '"') throw bad('CPT_FORMAT_HEADER_JSON', 'a key in double quotes is expected');
      const key = parseString();
      if (object.has(key)) throw bad('CPT_FORMAT_DUPLICATE_KEY', `the key ${JSON.stringify(key)} stands twice`);
      if (object.size >= MAX_KEYS)
        throw bad('CPT_FORMAT_HEADER_TOO_LARGE', `one object has more than ${MAX_KEYS} keys`);
      skipSpace();
      expect(':');
      object.set(key, parseValue(depth + 1));
      skipSpace();
    } while (take(','));
    expect('}');
    return object;
  }

  function parseArray(depth: number): Json[] {
    const array: Json[] = [];
    at++;
    skipSpace();
    if (take(']')) return array;
    do {
      array.push(parseValue(depth + 1));
      skipSpace();
    } while (take(','));
    expect(']');
    return array;
  }

  function parseString(): string {
    let end = at + 1;
    let isEscaped = false;
    for (; text[end] !== '"'; end++) {
      if (end >= text.length) throw bad('CPT_FORMAT_HEADER_JSON', 'a string does not end');
      if (text.charCodeAt(end) < 0x20) throw bad('CPT_FORMAT_HEADER_JSON', 'a string holds a control character');
      if (text[end] === '\\') {
        isEscaped = true;
        end++;
      }
    }
    const token = text.slice(at, end + 1);
    const string = isEscaped ? decodeEscapes(token) : token.slice(1, -1);
    at = end + 1;
    return string;
  }

  function decodeEscapes(token: string): string {
    let string: string;
    try {
      string = JSON.parse(token) as string;
    } catch (cause) {
      throw bad('CPT_FORMAT_HEADER_JSON', 'a string has a bad escape', cause);
    }
    if (/\p{Surrogate}/u.test(string)) throw bad('CPT_FORMAT_HEADER_JSON', 'a string holds half a surrogate pair');
    return string;
  }

  function parseWord(): Json {
    const word = /[^\s{}[\],:"]*/y;
    word.lastIndex = at;
    const token = word.exec(text)?.[0] ?? '';
    if (token === 'null' || token === 'true' || token === 'false') {
      at += token.length;
      return token === 'null' ? null : token === 'true';
    }
    if (!/^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(token)) {
      throw bad('CPT_FORMAT_HEADER_JSON', `"${token.slice(0, 20)}" is not a JSON value`);
    }
    at += token.length;
    const isPlain = /^\d+$/.test(token) && Number.isSafeInteger(Number(token));
    return isPlain ? Number(token) : { raw: token };
  }

  function skipSpace(): void {
    while (text[at] === ' ' || text[at] === '\n' || text[at] === '\t' || text[at] === '\r') at++;
  }

  function take(character: string): boolean {
    if (text[at] !== character) return false;
    at++;
    return true;
  }

  function expect(character: string): void {
    if (!take(character)) throw bad('CPT_FORMAT_HEADER_JSON', `"${character}" is expected`);
  }

  function bad(code: ErrorCode, why: string, cause?: unknown): FormatError {
    const details = { file, character: at };
    return new FormatError(code, `${file}: its JSON is refused at character ${at}: ${why}`, details, { cause });
  }
}

function decodeUtf8(bytes: Uint8Array, file: string): string {
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) {
    throw new FormatError('CPT_FORMAT_HEADER_ENCODING', `${file}: its JSON begins with a byte order mark; remove it`, {
      file,
    });
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new FormatError('CPT_FORMAT_HEADER_ENCODING', `${file}: its JSON is not valid UTF-8`, { file }, { cause });
  }
}
