import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { FREQUENT_CHINESE, FREQUENT_ENGLISH } from './frequent-words.ts';
import type { Specimen } from './specimens.ts';

/** What comes of decoding specimens and encoding the text again. */
export interface RoundTrip {
  tokens: number;
  /** Ids that came back at their place. */
  reproduced: number;
  characters: number;
  /** U+FFFD in the text: bytes that are no character, or that character itself. */
  replacements: number;
  /** English words and Chinese characters, and how many of them are frequent ones. */
  words: number;
  frequentWords: number;
  /** Places where a Latin letter stands right beside a letter of another script: seldom in text, everywhere in joined pieces of words. */
  joins: number;
}

/**
 * Decodes and encodes the specimens. Ids of this tokenizer come back to the last one; those of another one decode to pieces of
 * words that no longer stand where its merges would put them, and about one in ten does not come back.
 */
export async function runRoundTrip(specimens: readonly Specimen[], tokenizer: Tokenizer): Promise<RoundTrip> {
  const sum: RoundTrip = {
    tokens: 0,
    reproduced: 0,
    characters: 0,
    replacements: 0,
    words: 0,
    frequentWords: 0,
    joins: 0,
  };
  for (const specimen of specimens) {
    const ids = withoutEnd(specimen, tokenizer);
    const text = await decodeSpecimen({ ...specimen, ids }, tokenizer);
    sum.tokens += ids.length;
    sum.reproduced += countReproduced(ids, await tokenizer.encode(text));
    sum.characters += text.length;
    sum.replacements += count(text, /\ufffd/g);
    const { words, frequent } = countWords(text);
    sum.words += words;
    sum.frequentWords += frequent;
    sum.joins += count(text, JOINS);
  }
  return sum;
}

/** The text of a specimen, without the broken characters that cutting made at its ends. Ids that are no token give nothing. */
export async function decodeSpecimen(specimen: Specimen, tokenizer: Tokenizer): Promise<string> {
  const { ids, startsSequence, endsSequence } = specimen;
  const text = await tokenizer.decode(ids.filter((id) => id >= 0 && id < tokenizer.vocabSize));
  const left = startsSequence ? text : text.replace(/^\ufffd+/, '');
  return endsSequence ? left : left.replace(/\ufffd+$/, '');
}

function withoutEnd({ ids, endsSequence }: Specimen, { eodToken, eosToken }: Tokenizer): Int32Array {
  const last = ids[ids.length - 1];
  return endsSequence && (last === eodToken || last === eosToken) ? ids.subarray(0, -1) : ids;
}

const FAR = 32;
const AGREEING = 3;

/**
 * How many of `ids` are also in `again`, in order. After a difference both are followed to the nearest place, at most 32 ids away,
 * where three agree; so the count is a lower bound, and exact for equal lists.
 */
export function countReproduced(ids: Int32Array, again: Int32Array): number {
  let reproduced = 0;
  let i = 0;
  let j = 0;
  while (i < ids.length && j < again.length) {
    if (ids[i] === again[j]) {
      reproduced++;
      i++;
      j++;
      continue;
    }
    const [skipped, inserted] = nearestAgreement(ids, i, again, j);
    i += skipped;
    j += inserted;
  }
  return reproduced;
}

function nearestAgreement(a: Int32Array, i: number, b: Int32Array, j: number): [number, number] {
  for (let distance = 1; distance <= FAR; distance++) {
    for (let skipped = 0; skipped <= distance; skipped++) {
      const [from, to] = [i + skipped, j + distance - skipped];
      let agreeing = 0;
      while (agreeing < AGREEING && from + agreeing < a.length && a[from + agreeing] === b[to + agreeing]) agreeing++;
      const isAtEnd = agreeing > 0 && from + agreeing === a.length && to + agreeing === b.length;
      if (agreeing === AGREEING || isAtEnd) return [skipped, distance - skipped];
    }
  }
  return [FAR, FAR];
}

const JOINS = /\p{Script=Latin}(?=(?!\p{Script=Latin})\p{L})|(?!\p{Script=Latin})\p{L}(?=\p{Script=Latin})/gu;

const ENGLISH = new Set(FREQUENT_ENGLISH);
const CHINESE = new Set(FREQUENT_CHINESE);

/** Latin words and Han characters of a text, and the frequent ones among them. */
export function countWords(text: string): { words: number; frequent: number } {
  let words = 0;
  let frequent = 0;
  for (const [word] of text.matchAll(/\p{Script=Latin}+|\p{Script=Han}/gu)) {
    words++;
    if (ENGLISH.has(word.toLowerCase()) || CHINESE.has(word)) frequent++;
  }
  return { words, frequent };
}

function count(text: string, pattern: RegExp): number {
  return text.match(pattern)?.length ?? 0;
}
