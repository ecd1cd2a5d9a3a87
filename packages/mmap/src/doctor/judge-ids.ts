import type { TokenDtype } from '../token-dtype.ts';
import { type Finding, percent } from './finding.ts';
import { bandShares, type IdPlace, type IdStatistics, LARGEST_VOCABULARY, sumCounts } from './id-statistics.ts';
import type { Target } from './target.ts';

/** Below this many ids, the look of their distribution says nothing. */
const ENOUGH_TOKENS = 5000;
const MOST_EFFECTIVE_IDS = 2000;
const LEAST_EFFECTIVE_IDS = 400;

export interface IdContext {
  dtype: TokenDtype;
  target: Target | undefined;
  /** Vocabulary that the sidecar names, when there is no target. */
  sidecarVocabSize: number | undefined;
  /** Sequences all have one length. */
  isPacked: boolean;
}

/** What the ids themselves say: range, width, sign and distribution. A wrong width or a fine-tuning file explains the rest, so it stands alone. */
export function judgeIds(statistics: IdStatistics, context: IdContext): Finding[] {
  if (statistics.tokens === 0) return [];
  const findings = [describeIds(statistics)];
  const width = judgeWidth(statistics, context);
  if (width) return [...findings, width];
  const negative = judgeNegative(statistics, context);
  if (negative) return [...findings, negative];
  for (const judge of [judgeRange, judgeSpread, judgeOneId]) {
    const finding = judge(statistics, context);
    if (finding) findings.push(finding);
  }
  return findings;
}

function describeIds(statistics: IdStatistics): Finding {
  const { min, max, tokens, distinct, effective } = statistics as IdStatistics & { min: number; max: number };
  const bands = bandShares(statistics).map(({ from, to, share }) => `${from} to ${to - 1}: ${percent(share)}`);
  return {
    code: 'ids',
    level: 'info',
    message: `ids from ${min} to ${max}, ${distinct} different ones; ${bands.join(', ')}`,
    numbers: { min, max, tokens, distinct, effective: Math.round(effective) },
  };
}

/** A program that used another width reads two ids as one, or one as two: half of them are then the upper half of an id. */
function judgeWidth(statistics: IdStatistics, { dtype, target }: IdContext): Finding | undefined {
  const { tokens, smallShares, beyondAll, negative } = statistics;
  if (tokens < 1000) return undefined;
  const wrong = (real: TokenDtype, why: string, numbers: Record<string, number>): Finding => ({
    code: 'wrong-width',
    level: 'error',
    message: `the ids look like ${real} read as ${dtype}: ${why}`,
    advice: `build the dataset again, or tell the program that wrote the index that tokens are ${real}`,
    numbers,
  });
  const { even, odd } = smallShares;
  if (odd > 0.95 && even < 0.5 && (dtype === 'uint16' || dtype === 'int32')) {
    const real = dtype === 'uint16' ? 'int32' : 'int64';
    return wrong(real, `${percent(odd)} of the values at odd places are upper halves, ${percent(even)} at even ones`, {
      odd,
      even,
    });
  }
  const limit = Math.min(target?.vocabSize ?? LARGEST_VOCABULARY, LARGEST_VOCABULARY);
  const beyond = (outside(statistics, limit) + negative) / tokens;
  if (dtype === 'int32' && beyond > 0.5 && (beyondAll + negative) / tokens > 0.25) {
    return wrong('uint16', `${percent(beyond)} of them are ${limit} and more, or negative`, { beyond, limit });
  }
  return undefined;
}

/** How many ids are `limit` and more. */
function outside({ counts, beyondCounts, beyondAll }: IdStatistics, limit: number): number {
  if (limit > counts.length) return beyondAll;
  return beyondCounts + sumCounts(counts, limit);
}

function judgeNegative(statistics: IdStatistics, { target, isPacked }: IdContext): Finding | undefined {
  const { negative, ignoredLabels, tokens } = statistics;
  if (negative === 0) return undefined;
  const level = target ? 'error' : 'warn';
  const numbers = { negative, ignoredLabels, tokens };
  if (ignoredLabels > 0) {
    const packs = isPacked ? ', all sequences of one length' : '';
    return {
      code: 'sft-file',
      level,
      message: `looks like a Pai SFT file: ${negative} of ${tokens} ids are negative, ${ignoredLabels} of them -100 (no label)${packs}; it holds ids and labels in one sequence and ends samples with -1 - id`,
      advice: 'continued pre-training wants plain text: build it with cpt-mmap build',
      numbers,
    };
  }
  return {
    code: 'negative-ids',
    level,
    message: `${negative} of ${tokens} ids are negative, the least ${statistics.min}${at(statistics.minPlace)}; no token has such an id`,
    advice: 'build the dataset again',
    numbers,
  };
}

function judgeRange(statistics: IdStatistics, { target, sidecarVocabSize }: IdContext): Finding | undefined {
  const limit = target?.vocabSize ?? sidecarVocabSize;
  const max = statistics.max ?? -1;
  if (limit === undefined || max < limit) return undefined;
  const beyond = outside(statistics, limit);
  const name = target?.label ?? 'the tokenizer that PREFIX.json names';
  const inPadding = target?.rows !== undefined && max < target.rows;
  const effect = inPadding
    ? `they meet rows of the embedding table (${target?.rows}) that no training has touched`
    : 'tensor parallel training does not stop at them, it masks them and learns nothing';
  return {
    code: 'id-outside-vocabulary',
    level: 'error',
    message: `${beyond} of ${statistics.tokens} ids are ${limit} and more, up to ${max}${at(statistics.maxPlace)}; ${name} has ${limit} tokens; ${effect}`,
    advice: 'tokenise with the tokenizer of the model to be trained',
    numbers: { max, vocabSize: limit, beyond, tokens: statistics.tokens },
  };
}

const at = (place: IdPlace | undefined): string =>
  place ? ` in document ${place.document}, sequence ${place.sequence}, at byte ${place.byteOffset} of .bin` : '';

/** Text repeats a few ids all the time; ids that are nearly all equally frequent are noise. */
function judgeSpread({ tokens, distinct, effective }: IdStatistics): Finding | undefined {
  if (tokens < ENOUGH_TOKENS) return undefined;
  if (effective < MOST_EFFECTIVE_IDS && effective < Math.max(LEAST_EFFECTIVE_IDS, distinct / 2)) return undefined;
  return {
    code: 'random-ids',
    level: 'error',
    message: `ids are spread like random numbers: two of them are equal as seldom as among ${Math.round(effective)} equally frequent ones; text of any language gives 50 to 300`,
    advice: 'look at the samples; the dataset was not made from text',
    numbers: { effective: Math.round(effective), distinct },
  };
}

/** No text is half one id: a file that was laid out and never filled is, and one padded to a length. */
function judgeOneId({ mostFrequent, tokens }: IdStatistics): Finding | undefined {
  const { id, count } = mostFrequent;
  const share = count / tokens;
  if (tokens < ENOUGH_TOKENS || share < 0.5) return undefined;
  return {
    code: 'one-id',
    level: share > 0.95 ? 'error' : 'warn',
    message: `${percent(share)} of the ids are ${id}: padding, or a .bin that was not written to its end`,
    advice: 'look at the samples, and copy or build the dataset again',
    numbers: { id, share },
  };
}
