import { growTo } from '../dedup/grow.ts';
import { KeyTable } from '../dedup/key-table.ts';
import { createUnitReader, hashNgrams, simplify, spellUnits, type Units } from '../screen/units.ts';
import { classAt, UNSPACED_LETTER, type Writing, widthAt } from '../screen/writing.ts';

/** Neighbouring words, or characters of unspaced text, that make a match. */
export const NGRAM_LENGTH: Record<Writing, number> = { spaced: 13, unspaced: 30 };

/** An evaluation document that shares n-grams with a text. */
export interface Contamination {
  /** The number it was added under. */
  evaluation: number;
  /** The first n-gram that matches, simplified. */
  ngram: string;
  /** Positions of the text at which an n-gram matches. */
  matches: number;
}

/** The n-grams of evaluation texts. */
export interface EvaluationIndex {
  /** Adds a text of an evaluation document; false when it is shorter than one n-gram and can never match. */
  add(text: string, evaluation: number): boolean;
  /** What a text shares with the evaluation, in the order it is met. An n-gram of several documents stands for the first of them. */
  find(text: string): Contamination[];
  /** N-grams added, repeated ones too; about 20 bytes each. */
  readonly ngrams: number;
}

const BASES = [0x2c1b3c6d, 0x297a2d39] as const;

/**
 * An empty index. Texts are compared by `simplify` and units as near-duplicates are: case, punctuation, spacing and width do not
 * matter. N-grams are told apart by 64 bits. Every text is cut both ways, so an English question is found in a Chinese document;
 * an n-gram is kept by the way that suits most of its letters, because 13 Chinese characters in an English text are a phrase.
 */
export function createEvaluationIndex(): EvaluationIndex {
  const parts = { spaced: createPart('spaced'), unspaced: createPart('unspaced') };
  return {
    add(text, evaluation) {
      const simple = simplify(text);
      const isLong = parts.spaced.add(simple, evaluation);
      return (hasUnspacedLetter(simple) && parts.unspaced.add(simple, evaluation)) || isLong;
    },
    find(text) {
      const simple = simplify(text);
      const found = new Map<number, Contamination>();
      parts.spaced.find(simple, found);
      if (parts.unspaced.count > 0 && hasUnspacedLetter(simple)) parts.unspaced.find(simple, found);
      return [...found.values()];
    },
    get ngrams() {
      return parts.spaced.count + parts.unspaced.count;
    },
  };
}

function createPart(writing: Writing) {
  const n = NGRAM_LENGTH[writing];
  const table = new KeyTable();
  /** Evaluation document of each n-gram. */
  let evaluations = new Int32Array(1024);
  const readUnits = createUnitReader();
  let high = new Int32Array(1024);
  let low = new Int32Array(1024);
  /** Fills `high` and `low` and gives how many n-grams there are. */
  const hash = (units: Units): number => {
    if (units.count > high.length) {
      high = new Int32Array(units.count * 2);
      low = new Int32Array(units.count * 2);
    }
    hashNgrams(units, n, BASES[0], high);
    return hashNgrams(units, n, BASES[1], low);
  };
  return {
    get count() {
      return table.count;
    },
    add(simple: string, evaluation: number): boolean {
      const before = table.count;
      const units = readUnits(simple, writing);
      const count = hash(units);
      const isUnspaced = (i: number) => classAt(simple, units.starts[i] as number) === UNSPACED_LETTER;
      let unspaced = 0;
      for (let i = 0; i < Math.min(n - 1, units.count); i++) if (isUnspaced(i)) unspaced++;
      for (let i = 0; i < count; i++) {
        if (isUnspaced(i + n - 1)) unspaced++;
        if (unspaced * 2 > n === (writing === 'unspaced')) {
          evaluations = growTo(evaluations, table.count + 1);
          evaluations[table.count] = evaluation;
          table.add(high[i] as number, low[i] as number);
        }
        if (isUnspaced(i)) unspaced--;
      }
      return table.count > before;
    },
    find(simple: string, found: Map<number, Contamination>): void {
      if (table.count === 0) return;
      const units = readUnits(simple, writing);
      const count = hash(units);
      for (let i = 0; i < count; i++) {
        const entry = table.find(high[i] as number, low[i] as number);
        if (entry < 0) continue;
        const evaluation = evaluations[entry] as number;
        const known = found.get(evaluation);
        if (known) known.matches++;
        else found.set(evaluation, { evaluation, ngram: spellUnits(units, i, i + n, writing), matches: 1 });
      }
    },
  };
}

function hasUnspacedLetter(text: string): boolean {
  for (let at = 0; at < text.length; at += widthAt(text, at)) if (classAt(text, at) === UNSPACED_LETTER) return true;
  return false;
}
