import { type Finding, percent } from './finding.ts';
import { findLikelyFamily, frequentShare } from './frequent-words.ts';
import type { IdStatistics } from './id-statistics.ts';
import { KNOWN_ENDS } from './known-models.ts';
import type { Target } from './target.ts';

/**
 * Which tokenizer the ids are of, without having it: by the id that ends documents and by the ids of frequent words. A range check
 * cannot tell: all ids of Llama-3 are ids of Qwen too, and Qwen's Chinese text seldom and its English never leaves their range.
 * @param isEndless the sidecar says that the dataset was built without an end of documents.
 */
export function judgeTokenizer(statistics: IdStatistics, target: Target | undefined, isEndless: boolean): Finding[] {
  const { counts, tokens, documentEnds } = statistics;
  if (tokens === 0) return [];
  const likely = findLikelyFamily(counts, tokens, target?.frequentIds);
  const ends = documentEnds === 0 ? undefined : judgeEnds(statistics, target, isEndless);
  const findings = ends ? [ends] : [];
  const foreign = judgeForeignEnds(statistics, target);
  if (foreign) findings.push(foreign);
  const inside = judgeInside(statistics, target);
  if (inside) findings.push(inside);
  if (!likely) return target ? [...findings, ...judgeFamiliar(statistics, target)] : findings;
  const { family, share, targetShare } = likely;
  const numbers = { share, targetShare };
  if (!target) {
    const message = `the most frequent words are those of ${family} ids (${percent(share)} of all)`;
    return [...findings, { code: 'looks-like', level: 'info', message, numbers }];
  }
  // An end that only the target has outweighs the words: a rare language may use another family's ids often.
  const level = ends?.code === 'eod' ? 'warn' : 'error';
  const words: Finding = {
    code: 'other-tokenizer',
    level,
    message: `the ids are those of ${family}: its frequent words are ${percent(share)} of them, those of ${target.label} ${percent(targetShare)}`,
    advice: 'tokenise the text again with the tokenizer of the model to be trained',
    numbers,
  };
  return [...findings, words];
}

const ENOUGH_TOKENS = 5000;
const LEAST_FREQUENT = 0.005;

/** A tokenizer that is not in the table, judged only where no tokenizer is at hand to tell. */
function judgeFamiliar({ counts, tokens }: IdStatistics, target: Target): Finding[] {
  const share = frequentShare(target.frequentIds, counts, tokens);
  if (target.rows === undefined || tokens < ENOUGH_TOKENS || share >= LEAST_FREQUENT) return [];
  const message = `the frequent words of English, Chinese and code are ${percent(share)} of the ids as ${target.label} numbers them: another language, or a tokenizer that is not known here`;
  const advice = 'give --tokenizer: decoding and encoding again tells';
  return [{ code: 'unfamiliar-ids', level: 'warn', message, advice, numbers: { share, tokens } }];
}

function judgeEnds(statistics: IdStatistics, target: Target | undefined, isEndless: boolean): Finding {
  const { documentEnds, lastIds, counts, max } = statistics;
  const [top, topCount] = [...lastIds].reduce((most, entry) => (entry[1] > most[1] ? entry : most), [-1, 0]);
  const topShare = topCount / documentEnds;
  const spelled = (id: number) => {
    const known = KNOWN_ENDS.get(id);
    return known ? `${id} (${known.spelling} of ${known.family})` : `${id}`;
  };
  const numbers: Record<string, number> = { documents: documentEnds, lastId: top, lastIdShare: topShare };
  const wanted = target?.eodToken;
  if (!target || wanted === undefined) {
    const what =
      topShare >= 0.5 ? `end with ${spelled(top)} in ${percent(topShare)} of cases` : 'end with different ids';
    return { code: 'ends', level: 'info', message: `documents ${what}`, numbers };
  }
  const share = (lastIds.get(wanted) ?? 0) / documentEnds;
  numbers.eodShare = share;
  if (share >= 0.9) {
    return { code: 'eod', level: 'info', message: `${percent(share)} of documents end with ${wanted}`, numbers };
  }
  const known = KNOWN_ENDS.get(top);
  const range = (max ?? 0) < target.vocabSize ? ` and no id is above ${max}, so a range check passes` : '';
  if (topShare >= 0.5 && top === target.turnToken) {
    return {
      code: 'turn-token',
      level: 'warn',
      message: `documents end with ${top}, which ends a turn of a chat; ${target.label} ends documents with ${wanted}`,
      advice: `the tokenizer of a chat model was used; build with --eod ${wanted}`,
      numbers,
    };
  }
  const isOther = known ? topShare >= 0.9 || (topShare >= 0.5 && topCount >= 10) : topShare >= 0.9 && !isEndless;
  if (top !== wanted && isOther) {
    return {
      code: known ? 'other-tokenizer' : 'other-end',
      level: 'error',
      message: `${percent(topShare)} of documents end with ${spelled(top)}${range}; ${target.label} ends documents with ${wanted}`,
      advice: known
        ? `the data was tokenised for ${known.family}; tokenise the text again with the tokenizer of the model to be trained`
        : `when ${top} is a token of the text, build with --eod ${wanted}; else find out which tokenizer made the data`,
      numbers,
    };
  }
  const occurs = (counts[wanted] ?? 0) > 0 ? '' : ', and it occurs nowhere';
  return {
    code: 'eod-missing',
    level: share > 0 || isEndless ? 'warn' : 'error',
    message: `${percent(share)} of documents end with ${wanted}${occurs}; the others run into the next one in training`,
    advice: `build with --eod ${wanted}`,
    numbers,
  };
}

/** Fewer than this can be texts that were cut off. */
const LEAST_FOREIGN = { documents: 3, share: 0.001 };

/** Some documents end as another tokenizer ends them, most as this one: two datasets were joined. */
function judgeForeignEnds({ documentEnds, lastIds }: IdStatistics, target: Target | undefined): Finding | undefined {
  const wanted = target?.eodToken;
  if (wanted === undefined) return undefined;
  const share = (lastIds.get(wanted) ?? 0) / documentEnds;
  if (!(share >= 0.5)) return undefined;
  const [found] = [...KNOWN_ENDS]
    .filter(([id]) => id !== wanted && id !== target?.turnToken)
    .map(([id, known]) => ({ id, ...known, documents: lastIds.get(id) ?? 0 }))
    .sort((a, b) => b.documents - a.documents);
  if (!found || found.documents < Math.max(LEAST_FOREIGN.documents, LEAST_FOREIGN.share * documentEnds))
    return undefined;
  const { id, spelling, family, documents } = found;
  return {
    code: 'other-tokenizer',
    level: 'error',
    message: `${percent(documents / documentEnds)} of documents end with ${id} (${spelling} of ${family}) and ${percent(share)} with ${wanted}: datasets of two tokenizers were joined`,
    advice: `leave the documents of ${family} out, or tokenise their text again with the tokenizer of the model to be trained`,
    numbers: { documents: documentEnds, foreignId: id, foreignDocuments: documents, eodShare: share },
  };
}

/** The end of documents in the middle of one: joined documents, or a text that spells the token. */
function judgeInside({ counts, lastIds }: IdStatistics, target: Target | undefined): Finding | undefined {
  const eod = target?.eodToken;
  if (eod === undefined) return undefined;
  const inside = (counts[eod] ?? 0) - (lastIds.get(eod) ?? 0);
  if (inside <= 0) return undefined;
  return {
    code: 'eod-inside',
    level: 'warn',
    message: `${eod} ends documents and occurs ${inside} times inside of them`,
    advice: 'documents were joined, or texts spell out the token',
    numbers: { inside },
  };
}
