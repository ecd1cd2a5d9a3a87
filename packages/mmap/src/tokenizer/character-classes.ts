import { nfcUnsafeCodePoints } from './nfc.ts';
import { LETTERS, NUMBERS } from './unicode-data.ts';

/** What a pre-tokenizer's pattern tells apart. `LEAD` and `END` exist for bytes only. */
export const OTHER = 0;
export const LETTER = 1;
export const NUMBER = 2;
export const SPACE = 3;
export const NEWLINE = 4;
export const APOSTROPHE = 5;
/** First byte of a character of several bytes: its class is looked up by code point. */
export const LEAD = 6;
/** Byte 255, which no UTF-8 text has: stands behind the text, so that no loop tests for its end. */
export const END = 7;
export const CLASS_MASK = 7;
/** Bit: may change under NFC. */
export const NFC_UNSAFE = 8;
/** Bit: some token ends with the last byte of any character and begins this one, so nothing may be cut before it. */
export const NEVER_CUT = 16;
/** Bit: ends a token that only a whole word may be, so nothing may be cut behind it. */
export const NEVER_CUT_AFTER = 32;

/** Class and bits of every code point, in three tables: by byte, by BMP code point, and by block of 256 above. */
export interface CharacterClasses {
  readonly byte: Uint8Array;
  readonly bmp: Uint8Array;
  readonly block: Uint16Array;
  readonly astral: Uint8Array;
}

/** `\s` of the reference: the Unicode White_Space property. JavaScript's `\s` has U+FEFF besides and lacks U+0085. */
const SPACES = [
  0x09, 0x0b, 0x0c, 0x20, 0x85, 0xa0, 0x1680, 0x2000, 0x2001, 0x2002, 0x2003, 0x2004, 0x2005, 0x2006, 0x2007, 0x2008,
  0x2009, 0x200a, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000,
];

let perCodePoint: Uint8Array | undefined;

/** Fresh tables; the caller may set `NEVER_CUT` bits in its own copy. */
export function createCharacterClasses(): CharacterClasses {
  perCodePoint ??= classifyAll();
  const byte = new Uint8Array(256).fill(LEAD);
  byte.set(perCodePoint.subarray(0, 0x80));
  byte[255] = END;
  const block = new Uint16Array(shared(0x1100 * 2));
  const blocks: Buffer[] = [];
  for (let i = 0; i < block.length; i++) {
    const content = Buffer.from(perCodePoint.buffer, i << 8, 256);
    let known = block[i - 1] ?? -1; // most are like the one before
    if (known < 0 || !blocks[known]?.equals(content)) known = blocks.findIndex((other) => other.equals(content));
    if (known < 0) known = blocks.push(content) - 1;
    block[i] = known;
  }
  const astral = new Uint8Array(shared(blocks.length << 8));
  blocks.forEach((content, i) => {
    astral.set(content, i << 8);
  });
  const bmp = new Uint8Array(shared(0x10000));
  bmp.set(perCodePoint.subarray(0, 0x10000));
  return { byte, bmp, block, astral };
}

const shared = (bytes: number): SharedArrayBuffer => new SharedArrayBuffer(bytes);

function classifyAll(): Uint8Array {
  const classes = new Uint8Array(0x110000);
  fillRanges(classes, LETTERS, LETTER);
  fillRanges(classes, NUMBERS, NUMBER);
  for (const codePoint of SPACES) classes[codePoint] = SPACE;
  classes[0x0a] = NEWLINE;
  classes[0x0d] = NEWLINE;
  classes[0x27] = APOSTROPHE;
  for (const codePoint of nfcUnsafeCodePoints()) classes[codePoint] = (classes[codePoint] as number) | NFC_UNSAFE;
  return classes;
}

/** `packed` is pairs in base 36: gap from the end of the range before, length - 1. */
function fillRanges(classes: Uint8Array, packed: string, value: number): void {
  const numbers = packed.split(' ').map((digits) => Number.parseInt(digits, 36));
  let at = 0;
  for (let i = 0; i < numbers.length; i += 2) {
    const start = at + (numbers[i] as number);
    at = start + (numbers[i + 1] as number) + 1;
    classes.fill(value, start, at);
  }
}
