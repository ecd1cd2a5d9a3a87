import { InvalidInputError } from '@pai-cpt/core';
import type { Writing } from '../screen/writing.ts';
import { REPEATED_NGRAMS, TOP_NGRAMS } from './repetition.ts';
import type { TextStatistics } from './text-statistics.ts';

export type RuleGroup = 'gopher' | 'repetition' | 'c4' | 'fineweb' | 'characters';

interface Limits {
  min?: number;
  max?: number;
}

/** One named question about a text, with the least and the greatest answer that passes. */
export interface QualityRule extends Limits {
  name: string;
  group: RuleGroup;
  /** What the number counts, for a person. */
  what: string;
  /** The only kind of writing it applies to; both when not given. */
  only?: Writing;
  /** The number; `undefined` when the text has nothing to measure. */
  measure(statistics: TextStatistics): number | undefined;
}

/** A rule that a text does not pass. */
export interface RuleFailure {
  rule: string;
  value: number;
  /** The limit that the value is beyond. */
  limit: number;
  reason: string;
}

const share = (count: number, of: number): number | undefined => (of === 0 ? undefined : count / of);

/**
 * Sources of the limits: Gopher, arXiv 2112.11446, A1.1 and table A1; C4, arXiv 1910.10683, 2.2; FineWeb, arXiv 2406.17557; all
 * as in huggingface/datatrove@a649de7. `characters` and `c4-boilerplate-lines` (C4 deletes such lines) have limits of our own.
 */
export const QUALITY_RULES: readonly QualityRule[] = [
  { name: 'gopher-words', group: 'gopher', what: 'words', min: 50, max: 100_000, measure: (s) => s.words },
  {
    name: 'gopher-word-length',
    group: 'gopher',
    what: 'characters in the mean word',
    only: 'spaced',
    min: 3,
    max: 10,
    measure(s) {
      const length = share(s.wordCharacters, s.words);
      // A syllable of Hangul is one character, where other alphabets have two or three.
      return length !== undefined && length < 3 && s.alphabet === 'hangul' ? undefined : length;
    },
  },
  {
    name: 'gopher-hash-signs',
    group: 'gopher',
    what: '# per word',
    max: 0.1,
    measure: (s) => share(s.hashSigns, s.tokens),
  },
  {
    name: 'gopher-ellipses',
    group: 'gopher',
    what: 'ellipses per word',
    max: 0.1,
    measure: (s) => share(s.ellipses, s.tokens),
  },
  {
    name: 'gopher-bullet-lines',
    group: 'gopher',
    what: 'of the lines begin with a bullet',
    max: 0.9,
    measure: (s) => share(s.bulletLines, s.lineCount),
  },
  {
    name: 'gopher-ellipsis-lines',
    group: 'gopher',
    what: 'of the lines end with an ellipsis',
    max: 0.3,
    measure: (s) => share(s.ellipsisLines, s.lineCount),
  },
  {
    name: 'gopher-letter-words',
    group: 'gopher',
    what: 'of the words have a letter',
    only: 'spaced',
    min: 0.8,
    measure: (s) => share(s.letterWords, s.tokens),
  },
  {
    name: 'gopher-stop-words',
    group: 'gopher',
    what: 'different English stop words',
    only: 'spaced',
    min: 2,
    measure: (s) => (s.stopWords >= 2 || s.alphabet === 'latin' ? s.stopWords : undefined),
  },

  {
    name: 'repetition-lines',
    group: 'repetition',
    what: 'of the lines repeat an earlier one',
    max: 0.3,
    measure: (s) => share(s.repeatedLines, s.lineCount),
  },
  {
    name: 'repetition-line-characters',
    group: 'repetition',
    what: 'of the characters are in repeated lines',
    max: 0.2,
    measure: (s) => share(s.repeatedLineCharacters, s.characters),
  },
  {
    name: 'repetition-paragraphs',
    group: 'repetition',
    what: 'of the paragraphs repeat an earlier one',
    max: 0.3,
    measure: (s) => s.repetition.paragraphs,
  },
  {
    name: 'repetition-paragraph-characters',
    group: 'repetition',
    what: 'of the characters are in repeated paragraphs',
    max: 0.2,
    measure: (s) => s.repetition.paragraphCharacters,
  },
  ...TOP_NGRAMS.map(
    (n, i): QualityRule => ({
      name: `repetition-top-${n}-gram`,
      group: 'repetition',
      what: `of the characters are the most frequent ${n}-gram`,
      max: [0.2, 0.18, 0.16][i] as number,
      measure: (s) => s.repetition.top.get(n),
    }),
  ),
  ...REPEATED_NGRAMS.map(
    (n, i): QualityRule => ({
      name: `repetition-${n}-grams`,
      group: 'repetition',
      what: `of the characters are in repeated ${n}-grams`,
      max: [0.15, 0.14, 0.13, 0.12, 0.11, 0.1][i] as number,
      measure: (s) => s.repetition.repeated.get(n),
    }),
  ),

  {
    name: 'c4-sentences',
    group: 'c4',
    what: 'sentences in lines worth keeping',
    min: 5,
    measure: (s) => s.keptSentences,
  },
  { name: 'c4-curly-brackets', group: 'c4', what: 'curly brackets', max: 0, measure: (s) => s.curlyBrackets },
  { name: 'c4-lorem-ipsum', group: 'c4', what: 'times "lorem ipsum"', max: 0, measure: (s) => s.loremIpsum },
  {
    name: 'c4-boilerplate-lines',
    group: 'c4',
    what: 'of the lines are about JavaScript, cookies or terms of use',
    max: 0.1,
    measure: (s) => share(s.boilerplateLines, s.lineCount),
  },
  {
    name: 'c4-word-length',
    group: 'c4',
    what: 'characters in the longest word',
    only: 'spaced',
    max: 1000,
    measure: (s) => s.longestWord,
  },

  {
    name: 'fineweb-terminal-lines',
    group: 'fineweb',
    what: 'of the lines end a sentence',
    min: 0.12,
    measure: (s) => share(s.terminalLines, s.lineCount),
  },
  {
    name: 'fineweb-short-lines',
    group: 'fineweb',
    what: 'of the lines are short',
    max: 0.67,
    measure: (s) => share(s.shortLines, s.lineCount),
  },
  {
    name: 'fineweb-repeated-characters',
    group: 'fineweb',
    what: 'of the characters are in repeated lines',
    max: 0.01,
    measure: (s) => share(s.repeatedLineCharacters, s.characters - s.newlines),
  },
  {
    name: 'fineweb-newlines',
    group: 'fineweb',
    what: 'line breaks per word',
    max: 0.3,
    measure: (s) => share(s.newlines, s.tokens),
  },

  {
    name: 'replacement-characters',
    group: 'characters',
    what: 'of the characters are U+FFFD: another encoding was read as UTF-8',
    max: 0.001,
    measure: (s) => share(s.replacementCharacters, s.characters),
  },
  {
    name: 'control-characters',
    group: 'characters',
    what: 'of the characters are control characters',
    max: 0.001,
    measure: (s) => share(s.controlCharacters, s.characters),
  },
  {
    name: 'mojibake',
    group: 'characters',
    what: 'of the characters are UTF-8 that was read in another encoding',
    max: 0.002,
    measure: (s) => share(s.mojibake, s.characters),
  },
  { name: 'byte-order-marks', group: 'characters', what: 'byte order marks', max: 0, measure: (s) => s.byteOrderMarks },
  {
    name: 'long-lines',
    group: 'characters',
    what: 'characters in the longest line',
    max: 20_000,
    measure: (s) => s.longestLine,
  },
];

/** Why a text does not pass a rule; `undefined` when it does, or when the rule is for other writing. */
export function applyRule(rule: QualityRule, statistics: TextStatistics): RuleFailure | undefined {
  if (rule.only !== undefined && rule.only !== statistics.writing) return undefined;
  const value = rule.measure(statistics);
  if (value === undefined) return undefined;
  const isShare = rule.what.startsWith('of ');
  const show = (number: number) => (isShare ? `${round(100 * number)}%` : `${round(number)}`);
  const fail = (limit: number, word: string): RuleFailure => ({
    rule: rule.name,
    value,
    limit,
    reason: `${show(value)} ${rule.what}, ${word} ${show(limit)}`,
  });
  if (rule.min !== undefined && value < rule.min) return fail(rule.min, 'less than');
  if (rule.max !== undefined && value > rule.max) return fail(rule.max, 'more than');
  return undefined;
}

/** Three significant digits, for a person. */
function round(number: number): number {
  return Number.isInteger(number) ? number : Number(number.toPrecision(3));
}

/**
 * The rules that names choose: a name, a group, or `all`; with a leading `-` left out again. Without a positive name all rules
 * are chosen first.
 * @throws InvalidInputError `CPT_INPUT_INVALID` for an unknown name, listing the known ones, and when no rule is left.
 */
export function selectRules(names: readonly string[]): QualityRule[] {
  const chosen = new Set<QualityRule>(names.every((name) => name.startsWith('-')) ? QUALITY_RULES : []);
  for (const name of names) {
    const wanted = name.replace(/^-/, '');
    const rules = QUALITY_RULES.filter((rule) => wanted === 'all' || rule.name === wanted || rule.group === wanted);
    if (rules.length === 0) {
      const known = [...new Set(QUALITY_RULES.map((rule) => rule.group)), ...QUALITY_RULES.map((rule) => rule.name)];
      throw new InvalidInputError(
        'CPT_INPUT_INVALID',
        `no quality rule is named "${wanted}"; use all, ${known.join(', ')}`,
        {
          field: 'rules',
        },
      );
    }
    for (const rule of rules) {
      if (name.startsWith('-')) chosen.delete(rule);
      else chosen.add(rule);
    }
  }
  if (chosen.size === 0) {
    throw new InvalidInputError('CPT_INPUT_INVALID', 'no quality rule is left; name at least one', { field: 'rules' });
  }
  return QUALITY_RULES.filter((rule) => chosen.has(rule));
}
