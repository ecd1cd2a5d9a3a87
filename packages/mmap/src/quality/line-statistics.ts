import type { Writing } from '../screen/writing.ts';
import { countCharacters, repeatedAmong } from './repetition.ts';

/** Counts over the lines of a text; blank lines are no lines, and white space at the ends of a line is no part of it. */
export interface LineStatistics {
  lineCount: number;
  newlines: number;
  /** Characters. */
  longestLine: number;
  bulletLines: number;
  ellipsisLines: number;
  /** Lines that end a sentence, closing quotes and brackets aside. */
  terminalLines: number;
  /** Lines of at most `SHORT_LINE` characters. */
  shortLines: number;
  /** Lines about JavaScript, cookies and terms of use. */
  boilerplateLines: number;
  /** Sentences in the lines that C4 keeps: no boilerplate, at least 3 words, none above 1000 characters, a sentence ends the line. */
  keptSentences: number;
  /** Lines that repeat an earlier one, and their characters. */
  repeatedLines: number;
  repeatedLineCharacters: number;
}

/** A Chinese sentence of 10 characters says what an English one of 30 says. */
export const SHORT_LINE: Record<Writing, number> = { spaced: 30, unspaced: 10 };

const CLOSERS = `["'”’»」』）)\\]】》〉]*`;
const TERMINAL = new RegExp(`[\\p{Sentence_Terminal}…]${CLOSERS}$`, 'u');
const ELLIPSIS = /(?:…|\.\.\.)$/;
const BULLET = /^[•‣◦▪●*-]/;
/** An ASCII end counts before white space only (`3.5`, `a.b`); any other counts everywhere. */
const SENTENCE_END = new RegExp(`[.!?…]+${CLOSERS}(?=\\s|$)|[^\\P{Sentence_Terminal}.!?]+`, 'gu');
const MIN_LINE_WORDS = 3;
const MAX_WORD_CHARACTERS = 1000;

/** C4's phrases (huggingface/datatrove@a649de7, c4_filters.py). */
const BOILERPLATE = [
  'javascript',
  'terms of use',
  'privacy policy',
  'cookie policy',
  'uses cookies',
  'use of cookies',
  'use cookies',
];

export function measureLines(text: string, writing: Writing): LineStatistics {
  const raw = text.split('\n');
  const lines = raw.map((line) => line.trim()).filter((line) => line !== '');
  const repeated = repeatedAmong(lines);
  const found: LineStatistics = {
    lineCount: lines.length,
    newlines: raw.length - 1,
    longestLine: 0,
    bulletLines: 0,
    ellipsisLines: 0,
    terminalLines: 0,
    shortLines: 0,
    boilerplateLines: 0,
    keptSentences: 0,
    repeatedLines: repeated.count,
    repeatedLineCharacters: repeated.characters,
  };
  for (const line of lines) {
    const characters = countCharacters(line);
    const lower = line.toLowerCase();
    const isBoilerplate = BOILERPLATE.some((phrase) => lower.includes(phrase));
    const isEllipsis = ELLIPSIS.test(line);
    const isTerminal = TERMINAL.test(line);
    found.longestLine = Math.max(found.longestLine, characters);
    if (BULLET.test(line)) found.bulletLines++;
    if (isEllipsis) found.ellipsisLines++;
    if (isTerminal) found.terminalLines++;
    if (characters <= SHORT_LINE[writing]) found.shortLines++;
    if (isBoilerplate) found.boilerplateLines++;
    if (isTerminal && !isEllipsis && !isBoilerplate && hasWords(line, writing)) {
      found.keptSentences += [...line.matchAll(SENTENCE_END)].length;
    }
  }
  return found;
}

function hasWords(line: string, writing: Writing): boolean {
  if (writing === 'unspaced') return countCharacters(line) >= MIN_LINE_WORDS;
  const words = line.split(/\s+/);
  return words.length >= MIN_LINE_WORDS && words.every((word) => word.length <= MAX_WORD_CHARACTERS);
}
