import type { PreTokenizerName } from './bpe-model.ts';
import {
  APOSTROPHE,
  type CharacterClasses,
  CLASS_MASK,
  LEAD,
  LETTER,
  NEVER_CUT,
  NEVER_CUT_AFTER,
  NEWLINE,
  NFC_UNSAFE,
  NUMBER,
  OTHER,
  SPACE,
} from './character-classes.ts';
import { type HardCuts, hashCharacters } from './hard-cuts.ts';

/** What differs between the patterns; each name is one regular expression of `bpe-model.ts`. */
const RULES = {
  /** One digit a word; any character but a newline may lead letters; symbols take newlines behind them. */
  qwen2: { maxDigits: 1, isGpt2: false },
  /** The same with up to three digits. */
  llama3: { maxDigits: 3, isGpt2: false },
  /** Only a space may lead letters, digits or symbols; newlines are spaces like others; contractions in lower case only. */
  gpt2: { maxDigits: Number.POSITIVE_INFINITY, isGpt2: true },
} as const satisfies Record<PreTokenizerName, { maxDigits: number; isGpt2: boolean }>;

/** Found a character that may change under NFC: normalise the text and scan it again without the test. */
export const NEEDS_NFC = -1;

/**
 * Writes the ends of the words in `text[start, end)` to `ends` and gives their number, or `NEEDS_NFC`. The byte at `end` is
 * overwritten while it runs and restored.
 */
export type ScanWords = (start: number, end: number, testsNfc: boolean) => number;

/** A compiled pre-tokenizer over one scratch buffer: each branch is an alternative of the pattern, in the pattern's order. */
export function createScanWords(
  text: Uint8Array,
  ends: Int32Array,
  name: PreTokenizerName,
  classes: CharacterClasses,
  cuts: HardCuts,
): ScanWords {
  const { byte: byteClass, bmp, block, astral } = classes;
  const { crossed } = cuts;
  const { maxDigits, isGpt2 } = RULES[name];
  const view = new DataView(text.buffer, text.byteOffset, text.byteLength);

  /** Class and bits of the character of several bytes at `at`. */
  function entryAt(at: number, lead: number): number {
    const second = (text[at + 1] as number) & 63;
    if (lead < 0xe0) return bmp[((lead & 31) << 6) | second] as number;
    const third = (text[at + 2] as number) & 63;
    if (lead < 0xf0) return bmp[((lead & 15) << 12) | (second << 6) | third] as number;
    const codePoint = ((lead & 7) << 18) | (second << 12) | (third << 6) | ((text[at + 3] as number) & 63);
    return astral[((block[codePoint >> 8] as number) << 8) | (codePoint & 255)] as number;
  }

  /** Bytes of the contraction at an apostrophe, or 0. The long s (U+017F) is an s when case does not matter. */
  function contractionAt(at: number): number {
    const first = text[at + 1] as number;
    const second = text[at + 2] as number;
    const a = isGpt2 ? first : first | 32;
    const b = isGpt2 ? second : second | 32;
    if (a === 0x73 || a === 0x74 || a === 0x6d || a === 0x64) return 2; // 's 't 'm 'd
    if ((a === 0x72 || a === 0x76) && b === 0x65) return 3; // 're 've
    if (a === 0x6c && b === 0x6c) return 3; // 'll
    return !isGpt2 && first === 0xc5 && second === 0xbf ? 3 : 0;
  }

  return function scanWords(start, end, testsNfc) {
    const saved = text[end] as number;
    text[end] = 255;
    const count = scanToEnd(start, end, testsNfc ? NFC_UNSAFE : 0);
    text[end] = saved;
    return count;
  };

  /** Byte 255 stands at `end`. */
  function scanToEnd(start: number, end: number, unsafe: number): number {
    let count = 0;
    let at = start | 0;
    while (at < end) {
      const first = text[at] as number;
      let kind = byteClass[first] as number;
      let length = 1;
      let before = 0; // code point of a three-byte character directly before a letter
      if (kind === LEAD) {
        const entry = entryAt(at, first);
        if ((entry & unsafe) !== 0) return NEEDS_NFC;
        kind = entry & CLASS_MASK;
        if (first < 0xe0) length = 2;
        else if (first < 0xf0) {
          length = 3;
          if ((entry & NEVER_CUT_AFTER) === 0) {
            before = ((first & 15) << 12) | (((text[at + 1] as number) & 63) << 6) | ((text[at + 2] as number) & 63);
          }
        } else length = 4;
      }
      let next = (at + length) | 0;

      if (kind !== LETTER) {
        if (kind === NUMBER) {
          next = digitsFrom(next, maxDigits - 1, unsafe);
          if (next < 0) return NEEDS_NFC;
          ends[count++] = at = next;
          continue;
        }
        if (kind === APOSTROPHE) {
          const taken = contractionAt(at);
          if (taken !== 0) {
            ends[count++] = at = at + taken;
            continue;
          }
        }
        let follower = text[next] as number;
        let followerKind = byteClass[follower] as number;
        const mayLead = isGpt2 ? first === 0x20 : kind !== NEWLINE;
        if (followerKind === LEAD) {
          const entry = entryAt(next, follower);
          if ((entry & unsafe) !== 0) return NEEDS_NFC;
          followerKind = entry & CLASS_MASK;
        }
        if (!mayLead || followerKind !== LETTER) {
          if (isGpt2 && mayLead && followerKind === NUMBER) {
            next = digitsFrom(next, maxDigits, unsafe);
            if (next < 0) return NEEDS_NFC;
            ends[count++] = at = next;
            continue;
          }
          if (kind === SPACE || kind === NEWLINE) {
            const isBeforeSymbol = first === 0x20 && (followerKind === OTHER || followerKind === APOSTROPHE);
            if (!isBeforeSymbol) {
              let afterNewline = kind === NEWLINE ? next : 0;
              let last = at; // begin of the run's last character
              while (followerKind === SPACE || followerKind === NEWLINE) {
                last = next;
                next += follower < 0x80 ? 1 : follower < 0xe0 ? 2 : 3;
                if (followerKind === NEWLINE) afterNewline = next;
                follower = text[next] as number;
                followerKind = byteClass[follower] as number;
                if (followerKind === LEAD) followerKind = entryAt(next, follower) & CLASS_MASK;
              }
              // Up to the last newline; else all at the end of the text; else all but the last, which leads what follows.
              if (!isGpt2 && afterNewline !== 0) at = afterNewline;
              else at = next >= end || last === at ? next : last;
              ends[count++] = at;
              continue;
            }
          }
          // Symbols: `next` is behind the first of them, or behind the space before them.
          while (followerKind === OTHER || followerKind === APOSTROPHE) {
            next += follower < 0x80 ? 1 : follower < 0xe0 ? 2 : follower < 0xf0 ? 3 : 4;
            follower = text[next] as number;
            followerKind = byteClass[follower] as number;
            if (followerKind === LEAD) {
              const entry = entryAt(next, follower);
              if ((entry & unsafe) !== 0) return NEEDS_NFC;
              followerKind = entry & CLASS_MASK;
            }
          }
          if (!isGpt2) while (text[next] === 10 || text[next] === 13) next++;
          ends[count++] = at = next;
          continue;
        }
      }

      // A run of letters from `next`; ASCII ones four at a time, three-byte ones with cuts between them.
      at = next;
      for (;;) {
        let lead = text[at] as number;
        if (byteClass[lead] === LETTER) {
          at = (at + 1) | 0;
          before = 0;
          for (;;) {
            const word = view.getInt32(at, true);
            const lower = (word & 0x7f7f7f7f) | 0x20202020;
            // The high bit of each byte: set where that byte is not an ASCII letter.
            const others = ~((lower + 0x1f1f1f1f) & ~(lower + 0x05050505) & ~word) & 0x80808080;
            if (others === 0) {
              at = (at + 4) | 0;
              continue;
            }
            at = (at + ((31 - Math.clz32(others & -others)) >> 3)) | 0;
            break;
          }
          lead = text[at] as number;
        }
        if (lead < 0x80 || lead === 255) break;
        if (lead >= 0xe0 && lead < 0xf0) {
          const codePoint =
            ((lead & 15) << 12) | (((text[at + 1] as number) & 63) << 6) | ((text[at + 2] as number) & 63);
          const entry = bmp[codePoint] as number;
          if ((entry & unsafe) !== 0) return NEEDS_NFC;
          if ((entry & CLASS_MASK) !== LETTER) break;
          if (before !== 0 && (entry & NEVER_CUT) === 0) {
            const hash = hashCharacters(before, codePoint);
            if ((((crossed[hash >>> 17] as number) >>> ((hash >>> 12) & 31)) & 1) === 0) ends[count++] = at;
          }
          before = (entry & NEVER_CUT_AFTER) === 0 ? codePoint : 0;
          at = (at + 3) | 0;
        } else {
          const entry = entryAt(at, lead);
          if ((entry & unsafe) !== 0) return NEEDS_NFC;
          if ((entry & CLASS_MASK) !== LETTER) break;
          at = (at + (lead < 0xe0 ? 2 : 4)) | 0;
          before = 0;
        }
      }
      ends[count++] = at;
    }
    return count;
  }

  /** The position behind up to `most` digits, or -1 for NFC. */
  function digitsFrom(from: number, most: number, unsafe: number): number {
    let at = from;
    for (let taken = 0; taken < most; taken++) {
      const lead = text[at] as number;
      const kind = byteClass[lead] as number;
      if (kind === NUMBER) {
        at++;
        continue;
      }
      if (kind !== LEAD) break;
      const entry = entryAt(at, lead);
      if ((entry & unsafe) !== 0) return -1;
      if ((entry & CLASS_MASK) !== NUMBER) break;
      at += lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    }
    return at;
  }
}
