/**
 * How a text separates its words: `spaced` by white space, `unspaced` not at all (Chinese, Japanese, Thai, Lao, Khmer, Burmese,
 * Tibetan). Cut at white space, an unspaced text is a few words of a whole sentence each, which no n-gram and no count fits.
 */
export type Writing = 'spaced' | 'unspaced';

/** Share of unspaced letters from which a text is unspaced: one of them says about as much as three Latin letters. */
export const UNSPACED_SHARE = 0.3;

/** What a character is to the words of a text. */
export const SEPARATOR = 0;
export const SPACED_LETTER = 1;
export const UNSPACED_LETTER = 2;
/** Part of a word, no letter: a digit, or a mark on a letter. */
export const JOINER = 3;

const UNSPACED_SCRIPTS = ['Han', 'Hira', 'Kana', 'Bopo', 'Thai', 'Laoo', 'Khmr', 'Mymr', 'Tibt'];
const UNSPACED = new RegExp(`[${UNSPACED_SCRIPTS.map((script) => `\\p{scx=${script}}`).join('')}]`, 'u');
const LETTER = /\p{L}/u;
const MARK_OR_NUMBER = /[\p{M}\p{N}]/u;

/** The classes of U+0000 to U+FFFF, filled at first use: a look-up costs a twentieth of a regular expression. */
let classes: Uint8Array | undefined;

function classTable(): Uint8Array {
  if (classes) return classes;
  const table = new Uint8Array(1 << 16);
  for (let code = 0; code < table.length; code++) table[code] = classify(String.fromCharCode(code));
  classes = table;
  return table;
}

function classify(character: string): number {
  if (LETTER.test(character)) return UNSPACED.test(character) ? UNSPACED_LETTER : SPACED_LETTER;
  return MARK_OR_NUMBER.test(character) ? JOINER : SEPARATOR;
}

/** The class of the code point at `at`, which must not be the second half of a pair. */
export function classAt(text: string, at: number): number {
  const code = text.charCodeAt(at);
  if (code >= 0xd800 && code < 0xdc00) return classify(String.fromCodePoint(text.codePointAt(at) as number));
  return (classes ?? classTable())[code] as number;
}

/** Code units of the code point at `at`: 2 for a pair, else 1. */
export function widthAt(text: string, at: number): 1 | 2 {
  const code = text.charCodeAt(at);
  if (code < 0xd800 || code >= 0xdc00) return 1;
  const next = text.charCodeAt(at + 1);
  return next >= 0xdc00 && next < 0xe000 ? 2 : 1;
}

/** What most letters of a spaced text are of, as far as rules made for English need to know. */
export type Alphabet = 'latin' | 'hangul' | 'other';

const LATIN = /\p{scx=Latn}/u;
const HANGUL = /\p{scx=Hang}/u;

/** The alphabet that at least half of the letters are of, `other` when there is none; a text without letters is Latin. */
export function alphabetOf(text: string): Alphabet {
  const counts = { latin: 0, hangul: 0, other: 0 };
  for (let at = 0; at < text.length; at += widthAt(text, at)) {
    if (classAt(text, at) !== SPACED_LETTER) continue;
    const code = text.codePointAt(at) as number;
    if (code < 0x80) counts.latin++;
    else {
      const letter = String.fromCodePoint(code);
      counts[LATIN.test(letter) ? 'latin' : HANGUL.test(letter) ? 'hangul' : 'other']++;
    }
  }
  const half = (counts.latin + counts.hangul + counts.other) / 2;
  if (counts.latin >= half) return 'latin';
  return counts.hangul >= half ? 'hangul' : 'other';
}

/** The writing of a text by its letters; a text without any is spaced. */
export function writingOf(text: string): Writing {
  let letters = 0;
  let unspaced = 0;
  for (let at = 0; at < text.length; at += widthAt(text, at)) {
    const kind = classAt(text, at);
    if (kind === SPACED_LETTER || kind === UNSPACED_LETTER) letters++;
    if (kind === UNSPACED_LETTER) unspaced++;
  }
  return unspaced > 0 && unspaced >= UNSPACED_SHARE * letters ? 'unspaced' : 'spaced';
}
