import { type CharacterClasses, NEVER_CUT, NEVER_CUT_AFTER } from './character-classes.ts';
import { sharedIntegers } from './merge-table.ts';
import type { TokenTable } from './token-table.ts';

/**
 * Where a word of three-byte characters may be cut before merging: between two characters that no token crosses. Merges only
 * make tokens, so the two sides never join, and an endless Chinese sentence becomes short words that a table can hold.
 * A set of 2^20 bits by hash: a false positive only skips a cut.
 */
export interface HardCuts {
  readonly crossed: Int32Array;
}

export const hashCharacters = (first: number, second: number): number =>
  (Math.imul(first, 0x9e3779b1) + Math.imul(second, 0x85ebca77)) | 0;

/** Reads every token; characters that some token cuts into are marked `NEVER_CUT` in `classes.bmp`. */
export function createHardCuts(tokens: TokenTable, classes: CharacterClasses): HardCuts {
  const crossed = sharedIntegers(1 << 15);
  const add = (first: number, second: number) => {
    const hash = hashCharacters(first, second);
    const word = hash >>> 17;
    crossed[word] = (crossed[word] as number) | (1 << ((hash >>> 12) & 31));
  };
  tokens.forEach((token) => {
    if (isAscii(token)) return; // most are, and none of them touches a character of three bytes
    const { head, characters, tail } = splitToken(token);
    for (let i = 1; i < characters.length; i++) {
      const [first, second] = [characters[i - 1] as number, characters[i] as number];
      if (first !== 0 && second !== 0) add(first, second);
    }
    const [first, last] = [characters[0], characters.at(-1)];
    if (head && first) for (const before of endingWith(head)) add(before, first);
    if (tail && last) for (const after of beginningWith(tail)) add(last, after);
    // The end of any character and the beginning of another: too many pairs to list, so the second is marked.
    if (head && tail && characters.length === 0) {
      for (const after of beginningWith(tail)) classes.bmp[after] = (classes.bmp[after] as number) | NEVER_CUT;
    }
  });
  return { crossed };
}

function isAscii(token: Uint8Array): boolean {
  for (let i = 0; i < token.length; i++) if ((token[i] as number) >= 0x80) return false;
  return true;
}

/**
 * Forbids cuts that would make a piece equal to a token which only a whole word may be: before its first character and
 * behind its last, where these are three bytes long.
 */
export function protectWholeWord(token: Uint8Array, classes: CharacterClasses): void {
  const { characters } = splitToken(token);
  const [first, last] = [characters[0], characters.at(-1)];
  if (first) classes.bmp[first] = (classes.bmp[first] as number) | NEVER_CUT;
  if (last) classes.bmp[last] = (classes.bmp[last] as number) | NEVER_CUT_AFTER;
}

/** A token as: the rest of a character it begins within, whole characters (0 for one that is not three bytes), a beginning. */
function splitToken(token: Uint8Array): { head?: Uint8Array; characters: number[]; tail?: Uint8Array } {
  let at = 0;
  while (at < token.length && ((token[at] as number) & 0xc0) === 0x80) at++;
  const head = at > 0 ? token.subarray(0, at) : undefined;
  const characters: number[] = [];
  while (at < token.length) {
    const lead = token[at] as number;
    const length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (at + length > token.length) break;
    characters.push(length === 3 ? codePointAt(token, at) : 0);
    at += length;
  }
  const tail = at < token.length ? token.subarray(at) : undefined;
  return { ...(head ? { head } : {}), characters, ...(tail ? { tail } : {}) };
}

const codePointAt = (bytes: Uint8Array, at: number): number =>
  (((bytes[at] as number) & 15) << 12) | (((bytes[at + 1] as number) & 63) << 6) | ((bytes[at + 2] as number) & 63);

/** Three-byte characters whose last one or two bytes are `head`. */
function* endingWith(head: Uint8Array): Generator<number> {
  if (head.length > 2) return;
  let last = 0;
  for (const byte of head) last = (last << 6) | (byte & 63);
  for (let codePoint = last; codePoint < 0x10000; codePoint += 1 << (6 * head.length)) {
    if (isThreeBytes(codePoint)) yield codePoint;
  }
}

/** Three-byte characters whose first one or two bytes are `tail`; none for the beginning of a longer or shorter one. */
function* beginningWith(tail: Uint8Array): Generator<number> {
  const lead = tail[0] as number;
  if (lead < 0xe0 || lead > 0xef) return;
  const bits = tail.length === 1 ? 12 : 6;
  const first = tail.length === 1 ? lead & 15 : ((lead & 15) << 6) | ((tail[1] as number) & 63);
  for (let codePoint = first << bits; codePoint < (first + 1) << bits; codePoint++) {
    if (isThreeBytes(codePoint)) yield codePoint;
  }
}

const isThreeBytes = (codePoint: number): boolean => codePoint >= 0x800 && (codePoint < 0xd800 || codePoint > 0xdfff);
