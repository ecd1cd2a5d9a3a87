import type { Writing } from '../screen/writing.ts';

/** How much of a text repeats itself. All are shares between 0 and 1, except that overlapping top n-grams can pass 1. */
export interface Repetition {
  /** Paragraphs, which blank lines separate, that repeat an earlier one: by number and by characters. */
  paragraphs: number;
  paragraphCharacters: number;
  /** Characters of the most frequent n-gram, all its occurrences, for each n of `TOP_NGRAMS`; 0 when it occurs once. */
  top: ReadonlyMap<number, number>;
  /** Characters of n-grams that occurred before, not counting any twice, for each n of `REPEATED_NGRAMS`. */
  repeated: ReadonlyMap<number, number>;
}

export const TOP_NGRAMS = [2, 3, 4] as const;
export const REPEATED_NGRAMS = [5, 6, 7, 8, 9, 10] as const;

/** Characters that count as one word in n-grams of unspaced text: a Chinese word has one to two. */
export const CHARACTERS_PER_WORD = 2;

/** What the n-grams of a text are made of: its white-space separated runs, or its characters. */
export interface Tokens {
  texts: readonly string[];
  /** Characters of each. */
  lengths: Int32Array;
}

/**
 * Measures repetition as Gopher does (arXiv 2112.11446, table A1; definitions of huggingface/datatrove@a649de7,
 * gopher_repetition_filter.py), with one difference: an n-gram that occurs once repeats nothing,
 * where the original refuses every text of a few words.
 */
export function measureRepetition(text: string, tokens: Tokens, writing: Writing, characters: number): Repetition {
  const paragraphs = text
    .split(/\n[^\S\n]*\n/)
    .map((paragraph) => paragraph.trim())
    .filter((paragraph) => paragraph !== '');
  const paragraph = repeatedAmong(paragraphs);
  const scale = writing === 'spaced' ? 1 : CHARACTERS_PER_WORD;
  const spacing = writing === 'spaced' ? 1 : 0;
  const ngrams = createNgrams(tokens.texts);
  const share = (count: number, of: number) => (of === 0 ? 0 : count / of);
  return {
    paragraphs: share(paragraph.count, paragraphs.length),
    paragraphCharacters: share(paragraph.characters, characters),
    top: new Map(
      TOP_NGRAMS.map((n) => [
        n,
        share(topCharacters(ngrams(n * scale), n * scale, tokens.lengths, spacing), characters),
      ]),
    ),
    repeated: new Map(
      REPEATED_NGRAMS.map((n) => [
        n,
        share(repeatedCharacters(ngrams(n * scale), n * scale, tokens.lengths), characters),
      ]),
    ),
  };
}

/** How many of some parts of a text are equal to an earlier one, and the characters of those. */
export function repeatedAmong(parts: readonly string[]): { count: number; characters: number } {
  const seen = new Set<string>();
  const repeated = { count: 0, characters: 0 };
  for (const part of parts) {
    if (seen.has(part)) {
      repeated.count++;
      repeated.characters += countCharacters(part);
    } else seen.add(part);
  }
  return repeated;
}

/** Code points of a text. */
export function countCharacters(text: string): number {
  let count = text.length;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 0xd800 && code < 0xdc00) {
      const next = text.charCodeAt(i + 1);
      if (next >= 0xdc00 && next < 0xe000) count--;
    }
  }
  return count;
}

/** The n-grams of a text as numbers: equal n-grams have equal ones, counted from 0 in the order they first appear. */
function createNgrams(texts: readonly string[]): (n: number) => Int32Array {
  const numbers = new Map<string, number>();
  const single = new Int32Array(texts.length);
  for (let i = 0; i < texts.length; i++) {
    const text = texts[i] as string;
    let number = numbers.get(text);
    if (number === undefined) {
      number = numbers.size;
      numbers.set(text, number);
    }
    single[i] = number;
  }
  const known = new Map<number, Int32Array>([[1, single]]);
  const ngrams = (n: number): Int32Array => {
    let found = known.get(n);
    if (!found) {
      // An n-gram is a pair of shorter ones, so no string is ever joined and nothing collides.
      const left = 2 ** Math.floor(Math.log2(n - 1));
      found = numberPairs(ngrams(left), ngrams(n - left), left);
      known.set(n, found);
    }
    return found;
  };
  return ngrams;
}

/** Numbers for the pairs `(left[i], right[i + shift])`. */
function numberPairs(left: Int32Array, right: Int32Array, shift: number): Int32Array {
  const count = Math.max(0, right.length - shift);
  const numbers = new Int32Array(count);
  const mask = 2 ** Math.ceil(Math.log2(2 * count + 2)) - 1;
  /** Position where a pair was first met, plus one. */
  const slots = new Int32Array(mask + 1);
  let distinct = 0;
  for (let i = 0; i < count; i++) {
    const a = left[i] as number;
    const b = right[i + shift] as number;
    let slot = Math.imul(Math.imul(a, 0x9e3779b1) ^ b, 0x85ebca6b);
    slot = (slot ^ (slot >>> 15)) & mask;
    for (;;) {
      const met = (slots[slot] as number) - 1;
      if (met < 0) {
        slots[slot] = i + 1;
        numbers[i] = distinct++;
        break;
      }
      if (left[met] === a && right[met + shift] === b) {
        numbers[i] = numbers[met] as number;
        break;
      }
      slot = (slot + 1) & mask;
    }
  }
  return numbers;
}

/** Characters of all occurrences of the most frequent n-gram, the first met among equally frequent ones. */
function topCharacters(numbers: Int32Array, n: number, lengths: Int32Array, spacing: number): number {
  const counts = new Int32Array(numbers.length);
  for (const number of numbers) counts[number] = (counts[number] as number) + 1;
  let best = 0;
  for (let number = 1; number < counts.length; number++) {
    if ((counts[number] as number) > (counts[best] as number)) best = number;
  }
  const count = counts[best] ?? 0;
  if (count < 2) return 0;
  return count * (charactersAt(numbers.indexOf(best), n, lengths) + spacing * (n - 1));
}

/** Characters of n-grams met before; after one of them the search goes on behind it. */
function repeatedCharacters(numbers: Int32Array, n: number, lengths: Int32Array): number {
  const seen = new Uint8Array(numbers.length);
  let characters = 0;
  for (let i = 0; i < numbers.length; ) {
    const number = numbers[i] as number;
    if (seen[number]) {
      characters += charactersAt(i, n, lengths);
      i += n;
    } else {
      seen[number] = 1;
      i++;
    }
  }
  return characters;
}

function charactersAt(from: number, n: number, lengths: Int32Array): number {
  let characters = 0;
  for (let i = from; i < from + n; i++) characters += lengths[i] as number;
  return characters;
}
