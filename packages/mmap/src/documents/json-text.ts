/** Not the plain case: parse the line with `JSON.parse`, which also words the error when there is one. */
export const NEEDS_PARSE = -1;

/**
 * Copies the text of one JSON line, unescaped, from `input[start, end)` to the beginning of `output` and gives its length in
 * bytes, or `NEEDS_PARSE`.
 */
export type ReadJsonText = (start: number, end: number) => number;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const MAX_DEPTH = 64;

const HEX = new Int8Array(256).fill(-1);
for (let i = 0; i < 10; i++) HEX[0x30 + i] = i;
for (let i = 0; i < 6; i++) HEX[0x41 + i] = HEX[0x61 + i] = 10 + i;
/** What follows a backslash, by what it stands for; 0 where that is not allowed. `u` is apart. */
const ESCAPES = new Uint8Array(256);
for (const [char, byte] of Object.entries({ '"': 0x22, '\\': 0x5c, '/': 0x2f, b: 8, f: 12, n: 10, r: 13, t: 9 })) {
  ESCAPES[char.charCodeAt(0)] = byte;
}
const LITERALS = ['true', 'false', 'null'].map((word) => new TextEncoder().encode(word));

/**
 * A reader for lines `{"…": …, "<key>": "the text", …}`. The whole line is checked by JSON's grammar, in bytes: `JSON.parse`
 * costs more than half of what tokenising costs, this a tenth. It accepts nothing that `JSON.parse` refuses; whatever is
 * unusual (a key with escapes, a value that is no string, an error) is left to the caller. Of equal keys the last counts.
 * `input` and `output` need 8 bytes of slack behind the line and the text, and the line must be valid UTF-8.
 */
export function createJsonTextReader(input: Uint8Array, output: Uint8Array, key: string): ReadJsonText {
  const inputView = new DataView(input.buffer, input.byteOffset, input.byteLength);
  const outputView = new DataView(output.buffer, output.byteOffset, output.byteLength);
  const keyBytes = new TextEncoder().encode(key);

  return function readJsonText(start, end) {
    let at = skipSpace(start);
    if (input[at] !== 0x7b) return NEEDS_PARSE;
    at = skipSpace(at + 1);
    let textStart = -1;
    for (;;) {
      if (input[at] !== QUOTE) return NEEDS_PARSE; // an empty object too: it has no text
      const keyStart = at + 1;
      at = skipString(keyStart, end);
      if (at < 0) return NEEDS_PARSE;
      const isText = isKey(keyStart, at - 1);
      if (!isText && input.subarray(keyStart, at - 1).includes(BACKSLASH)) return NEEDS_PARSE;
      at = skipSpace(at);
      if (input[at] !== 0x3a) return NEEDS_PARSE;
      at = skipSpace(at + 1);
      if (isText) {
        if (input[at] !== QUOTE) return NEEDS_PARSE;
        textStart = at + 1;
      }
      at = skipValue(at, end, 0);
      if (at < 0) return NEEDS_PARSE;
      at = skipSpace(at);
      if (input[at] === 0x2c) at = skipSpace(at + 1);
      else break;
    }
    if (input[at] !== 0x7d || textStart < 0 || skipSpace(at + 1) < end || at >= end) return NEEDS_PARSE;
    return unescapeFrom(textStart);
  };

  function skipSpace(from: number): number {
    let at = from;
    for (;;) {
      const byte = input[at];
      if (byte !== 0x20 && byte !== 0x09 && byte !== 0x0d && byte !== 0x0a) return at;
      at++;
    }
  }

  function isKey(start: number, end: number): boolean {
    if (end - start !== keyBytes.length) return false;
    for (let i = 0; i < keyBytes.length; i++) if (input[start + i] !== keyBytes[i]) return false;
    return true;
  }

  /** Offset of the next quote, backslash or control character: four bytes at a time. */
  function nextSpecial(from: number): number {
    let at = from | 0;
    for (;;) {
      const found = specialsIn(inputView.getInt32(at, true));
      if (found !== 0) return (at + ((31 - Math.clz32(found & -found)) >> 3)) | 0;
      at = (at + 4) | 0;
      if (at + 4 > input.length) return at;
    }
  }

  /** From behind the opening quote to behind the closing one, or -1. */
  function skipString(from: number, end: number): number {
    let at = from;
    for (;;) {
      at = nextSpecial(at);
      if (at >= end) return -1;
      const byte = input[at];
      if (byte === QUOTE) return at + 1;
      if (byte !== BACKSLASH) return -1;
      const code = input[at + 1] as number;
      if (ESCAPES[code] !== 0) at += 2;
      else if (code === 0x75 && hex4(at + 2) >= 0) at += 6;
      else return -1;
    }
  }

  function skipValue(from: number, end: number, depth: number): number {
    const byte = input[from] as number;
    if (from >= end || depth > MAX_DEPTH) return -1;
    if (byte === QUOTE) return skipString(from + 1, end);
    if (byte === 0x7b || byte === 0x5b) return skipContainer(from, end, depth, byte === 0x7b);
    if (byte === 0x2d || (byte >= 0x30 && byte <= 0x39)) return skipNumber(from);
    for (const word of LITERALS) {
      let i = 0;
      while (i < word.length && input[from + i] === word[i]) i++;
      if (i === word.length) return from + i;
    }
    return -1;
  }

  function skipContainer(from: number, end: number, depth: number, isObject: boolean): number {
    const close = isObject ? 0x7d : 0x5d;
    let at = skipSpace(from + 1);
    if (input[at] === close) return at + 1;
    for (;;) {
      if (isObject) {
        if (input[at] !== QUOTE) return -1;
        at = skipString(at + 1, end);
        if (at < 0) return -1;
        at = skipSpace(at);
        if (input[at] !== 0x3a) return -1;
        at = skipSpace(at + 1);
      }
      at = skipValue(at, end, depth + 1);
      if (at < 0) return -1;
      at = skipSpace(at);
      if (input[at] === close) return at + 1;
      if (input[at] !== 0x2c) return -1;
      at = skipSpace(at + 1);
    }
  }

  /** `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?` */
  function skipNumber(from: number): number {
    const digits = (at: number) => {
      let next = at;
      while ((input[next] as number) >= 0x30 && (input[next] as number) <= 0x39) next++;
      return next;
    };
    const whole = input[from] === 0x2d ? from + 1 : from;
    let at = input[whole] === 0x30 ? whole + 1 : digits(whole);
    if (at === whole) return -1;
    if (input[at] === 0x2e) {
      const fraction = at + 1;
      at = digits(fraction);
      if (at === fraction) return -1;
    }
    if (((input[at] as number) | 32) === 0x65) {
      const exponent = input[at + 1] === 0x2b || input[at + 1] === 0x2d ? at + 2 : at + 1;
      at = digits(exponent);
      if (at === exponent) return -1;
    }
    return at;
  }

  function hex4(at: number): number {
    const a = HEX[input[at] as number] as number;
    const b = HEX[input[at + 1] as number] as number;
    const c = HEX[input[at + 2] as number] as number;
    const d = HEX[input[at + 3] as number] as number;
    return (a | b | c | d) < 0 ? -1 : (a << 12) | (b << 8) | (c << 4) | d;
  }

  /** Copies a string that `skipString` accepted. A lone surrogate becomes U+FFFD, as in the reference. */
  function unescapeFrom(from: number): number {
    let at = from | 0;
    let to = 0;
    for (;;) {
      const word = inputView.getInt32(at, true);
      outputView.setInt32(to, word, true);
      const found = specialsIn(word);
      if (found === 0) {
        at = (at + 4) | 0;
        to = (to + 4) | 0;
        continue;
      }
      const plain = (31 - Math.clz32(found & -found)) >> 3;
      at = (at + plain) | 0;
      to = (to + plain) | 0;
      if (input[at] === QUOTE) return to;
      const simple = ESCAPES[input[at + 1] as number] as number;
      if (simple !== 0) {
        output[to++] = simple;
        at = (at + 2) | 0;
        continue;
      }
      let codePoint = hex4(at + 2);
      at = (at + 6) | 0;
      if (codePoint >= 0xd800 && codePoint < 0xdc00 && input[at] === BACKSLASH && input[at + 1] === 0x75) {
        const low = hex4(at + 2);
        if (low >= 0xdc00 && low < 0xe000) {
          codePoint = 0x10000 + ((codePoint - 0xd800) << 10) + (low - 0xdc00);
          at = (at + 6) | 0;
        }
      }
      to = putCodePoint(codePoint >= 0xd800 && codePoint < 0xe000 ? 0xfffd : codePoint, to);
    }
  }

  function putCodePoint(codePoint: number, at: number): number {
    let to = at;
    if (codePoint < 0x80) output[to++] = codePoint;
    else if (codePoint < 0x800) {
      output[to++] = 0xc0 | (codePoint >> 6);
      output[to++] = 0x80 | (codePoint & 63);
    } else if (codePoint < 0x10000) {
      output[to++] = 0xe0 | (codePoint >> 12);
      output[to++] = 0x80 | ((codePoint >> 6) & 63);
      output[to++] = 0x80 | (codePoint & 63);
    } else {
      output[to++] = 0xf0 | (codePoint >> 18);
      output[to++] = 0x80 | ((codePoint >> 12) & 63);
      output[to++] = 0x80 | ((codePoint >> 6) & 63);
      output[to++] = 0x80 | (codePoint & 63);
    }
    return to;
  }
}

/** High bits of the bytes of `word` that are a quote, a backslash or below 0x20; the lowest one found is exact. */
function specialsIn(word: number): number {
  const quote = word ^ 0x22222222;
  const backslash = word ^ 0x5c5c5c5c;
  return (
    (((quote - 0x01010101) & ~quote) | ((backslash - 0x01010101) & ~backslash) | ((word - 0x20202020) & ~word)) &
    0x80808080
  );
}
