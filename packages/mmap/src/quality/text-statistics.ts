import {
  type Alphabet,
  alphabetOf,
  classAt,
  SEPARATOR,
  SPACED_LETTER,
  UNSPACED_LETTER,
  type Writing,
  widthAt,
  writingOf,
} from '../screen/writing.ts';
import { type LineStatistics, measureLines } from './line-statistics.ts';
import { countCharacters, measureRepetition, type Repetition, type Tokens } from './repetition.ts';

/**
 * What quality rules judge. In spaced text a token is a run between white space, and a word is a token without what is neither
 * letter, mark nor digit at its ends; in unspaced text a token is a character that is no white space, and a word one that is a
 * letter, mark or digit.
 */
export interface TextStatistics extends LineStatistics {
  writing: Writing;
  /** Code points. */
  characters: number;
  tokens: number;
  words: number;
  /** Characters of all words, of the longest one, and words with a letter. */
  wordCharacters: number;
  longestWord: number;
  letterWords: number;
  /** How many different ones of `STOP_WORDS` occur. */
  stopWords: number;
  hashSigns: number;
  /** Runs of `…`, and `...`. */
  ellipses: number;
  curlyBrackets: number;
  loremIpsum: number;
  /** U+FFFD and halves of surrogate pairs, which become it. */
  replacementCharacters: number;
  /** U+0000 to U+009F without tab, line ends, form feed and the printable ones. */
  controlCharacters: number;
  /** Characters of UTF-8 read as Latin-1 or Windows-1252 (`Ã©`, `â€™`), and the marks of failed GBK decoding. */
  mojibake: number;
  /** U+FEFF inside the text. */
  byteOrderMarks: number;
  /** Measured at first use, as seldom a rule needs it. */
  readonly alphabet: Alphabet;
  /** Measured at first use: it takes most of the time. */
  readonly repetition: Repetition;
}

/** Gopher's list. */
export const STOP_WORDS: ReadonlySet<string> = new Set(['the', 'be', 'to', 'of', 'and', 'that', 'have', 'with']);

/** What Windows-1252 shows for the bytes 80 to BF, which follow the first byte of every longer UTF-8 character. */
const CONTINUATION = '[\\u0080-\\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]';
/** First bytes of Latin, Greek and Cyrillic pairs, of triples and of quadruples; others are met in clean text too (`É»`). */
const MOJIBAKE = new RegExp(
  `[\\u00c2-\\u00c5\\u00ce-\\u00d1]${CONTINUATION}|[\\u00e2-\\u00ef]${CONTINUATION}{2}|\\u00f0${CONTINUATION}{3}|锟斤拷|烫烫烫|屯屯屯`,
  'g',
);
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\u0000-\u0008\u000b\u000e-\u001f\u007f-\u0084\u0086-\u009f]/g;

export function measureText(text: string): TextStatistics {
  const writing = writingOf(text);
  const counted = writing === 'spaced' ? countWords(text) : countLetters(text);
  const { tokens, ...words } = counted;
  const characters = countCharacters(text);
  const lines = measureLines(text, writing);
  const lowerCase = text.toLowerCase();
  let repetition: Repetition | undefined;
  let alphabet: Alphabet | undefined;
  return {
    writing,
    characters,
    tokens: tokens.texts.length,
    ...words,
    ...lines,
    hashSigns: countOf(text, /#/g),
    ellipses: countOf(text, /…+|\.\.\./g),
    curlyBrackets: countOf(text, /\{/g),
    loremIpsum: countOf(lowerCase, /lorem ipsum/g),
    replacementCharacters: countOf(text, /\ufffd|\p{Cs}/gu),
    controlCharacters: countOf(text, CONTROL),
    mojibake: countOf(text, MOJIBAKE),
    byteOrderMarks: countOf(text, /\ufeff/g),
    get alphabet() {
      alphabet ??= alphabetOf(text);
      return alphabet;
    },
    get repetition() {
      repetition ??= measureRepetition(text, tokens, writing, characters);
      return repetition;
    },
  };
}

function countOf(text: string, pattern: RegExp): number {
  let count = 0;
  for (const _ of text.matchAll(pattern)) count++;
  return count;
}

interface WordStatistics {
  tokens: Tokens;
  words: number;
  wordCharacters: number;
  longestWord: number;
  letterWords: number;
  stopWords: number;
}

const WHITE_SPACE = /\p{White_Space}+/u;

function countWords(text: string): WordStatistics {
  const texts = text.split(WHITE_SPACE).filter((token) => token !== '');
  const lengths = new Int32Array(texts.length);
  const found = { words: 0, wordCharacters: 0, longestWord: 0, letterWords: 0 };
  const stopWords = new Set<string>();
  for (let i = 0; i < texts.length; i++) {
    const token = texts[i] as string;
    lengths[i] = countCharacters(token);
    const { from, to, hasLetter } = wordWithin(token);
    if (to === from) continue;
    const word = token.slice(from, to);
    const length = countCharacters(word);
    found.words++;
    found.wordCharacters += length;
    found.longestWord = Math.max(found.longestWord, length);
    if (hasLetter) found.letterWords++;
    if (word.length <= 4) {
      const lower = word.toLowerCase();
      if (STOP_WORDS.has(lower)) stopWords.add(lower);
    }
  }
  return { tokens: { texts, lengths }, ...found, stopWords: stopWords.size };
}

/** Where the word in a token begins and ends; nowhere when it has no letter, mark or digit. */
function wordWithin(token: string): { from: number; to: number; hasLetter: boolean } {
  let from = -1;
  let to = -1;
  let hasLetter = false;
  for (let at = 0; at < token.length; ) {
    const kind = classAt(token, at);
    const end = at + widthAt(token, at);
    if (kind !== SEPARATOR) {
      if (from < 0) from = at;
      to = end;
      hasLetter ||= kind === SPACED_LETTER || kind === UNSPACED_LETTER;
    }
    at = end;
  }
  return { from, to, hasLetter };
}

function countLetters(text: string): WordStatistics {
  const texts = Array.from(text).filter((character) => !WHITE_SPACE.test(character));
  let words = 0;
  let letterWords = 0;
  for (const character of texts) {
    const kind = classAt(character, 0);
    if (kind !== SEPARATOR) words++;
    if (kind === SPACED_LETTER || kind === UNSPACED_LETTER) letterWords++;
  }
  const lengths = new Int32Array(texts.length).fill(1);
  return {
    tokens: { texts, lengths },
    words,
    wordCharacters: words,
    longestWord: Math.min(words, 1),
    letterWords,
    stopWords: 0,
  };
}
