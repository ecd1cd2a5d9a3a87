import type { Finding } from '../schemas.ts';
import { grouped, percent } from './format.ts';
import type { PlanInput } from './plan-input.ts';

/** Qwen's tokenizers have 151,643 tokens before the added ones. A dataset with fewer was made by another tokenizer. */
const QWEN_BASE_VOCABULARY = 151_643;

const LEAST_VALID = 0.999;
/** Ids of the tokenizer come back to the last one; those of another about nine in ten. */
const LEAST_REPRODUCED = 0.99;
const LEAST_ENDED = 0.9;

const AGAIN = 'tokenise again with the model’s own tokenizer';

type Dataset = NonNullable<PlanInput['facts']['dataset']>;

/** P7: every token id has a row in the embedding table, and the ids are text in the model's tokenizer. */
export function checkVocabulary(input: PlanInput): Finding[] {
  const { dataset } = input.facts;
  if (!dataset) return [];
  const ids = [...checkRange(input, dataset), ...checkMaker(input, dataset), ...checkEnds(dataset)];
  return dataset.decoded ? [...ids, ...checkDecoded(dataset, dataset.decoded)] : ids;
}

function checkRange({ spec, model }: PlanInput, { maxId, vocabSize }: Dataset): Finding[] {
  const rows = model.vocabSize ?? vocabSize;
  if (maxId === undefined || rows === undefined) return [];
  const isInside = maxId < rows;
  const message = `largest token id ${grouped(maxId)} ${isInside ? '<' : '≥'} ${grouped(rows)} rows of the embedding table of ${spec.model}`;
  const numbers = { maxId, vocabSize: rows };
  if (isInside) return [{ check: 'P7', level: 'info', message, numbers }];
  return [{ check: 'P7', level: 'block', message, numbers, advice: `${AGAIN}; with TP > 1 Megatron would not stop` }];
}

/** Whose ids they are. All ids of Llama-3 are ids of Qwen too, so their range tells nothing. */
function checkMaker({ spec, model }: PlanInput, { vocabSize, otherTokenizer, source }: Dataset): Finding[] {
  const findings: Finding[] = [];
  const noise = 'the ids are in range but mean other text, and the run would train on noise';
  if (vocabSize !== undefined && model.vocabSize !== undefined && vocabSize < QWEN_BASE_VOCABULARY) {
    const name = vocabSize === 128_256 ? ', as many as Llama-3’s' : '';
    const message = `the tokenizer of ${source} has ${grouped(vocabSize)} entries${name}; that of ${spec.model} has ${grouped(QWEN_BASE_VOCABULARY)} and more: ${noise}`;
    const numbers = { vocabSize, expected: QWEN_BASE_VOCABULARY };
    findings.push({ check: 'P7', level: 'block', message, numbers, advice: AGAIN });
  }
  if (otherTokenizer !== undefined) {
    const message = `${source}: ${otherTokenizer}; ${noise}`;
    findings.push({ check: 'P7', level: 'block', message, numbers: {}, advice: AGAIN });
  }
  return findings;
}

function checkEnds({ eodShare, source }: Dataset): Finding[] {
  if (eodShare === undefined) return [];
  const level = eodShare >= LEAST_ENDED ? 'info' : eodShare > 0 ? 'warn' : 'block';
  const sign = level === 'info' ? '≥' : '<';
  const message = `${percent(eodShare)} ${sign} ${percent(LEAST_ENDED)} of the documents read of ${source} end with the model’s end of document`;
  const numbers = { eodShare, least: LEAST_ENDED };
  if (level === 'info') return [{ check: 'P7', level, message, numbers }];
  const advice = 'build with cpt-mmap build --eod: without it documents run into each other in training';
  return [{ check: 'P7', level, message, numbers, advice }];
}

/** What a sample reads like in the model's tokenizer. Files of one vocabulary may differ, so unequal files alone do not block. */
function checkDecoded({ fingerprint: made }: Dataset, decoded: NonNullable<Dataset['decoded']>): Finding[] {
  const { fingerprint, characters, validShare, reproducedShare, source } = decoded;
  const comesBack = reproducedShare !== undefined && reproducedShare >= LEAST_REPRODUCED;
  const bad = comesBack ? 'warn' : 'block';
  const findings: Finding[] = [];
  const isValid = validShare >= LEAST_VALID;
  const message = `${percent(validShare)} ${isValid ? '≥' : '<'} ${percent(LEAST_VALID)} of ${grouped(characters)} characters are valid UTF-8 (${source})`;
  const numbers = { validShare, characters, least: LEAST_VALID };
  const fix = comesBack ? 'clean the text before building' : AGAIN;
  findings.push({ check: 'P7', level: isValid ? 'info' : bad, message, numbers, ...(isValid ? {} : { advice: fix }) });
  if (reproducedShare !== undefined && !comesBack) {
    const text = `decoded and encoded again ${percent(reproducedShare)} < ${percent(LEAST_REPRODUCED)} of the ids come back (${source})`;
    const shares = { reproducedShare, least: LEAST_REPRODUCED };
    findings.push({ check: 'P7', level: 'block', message: text, numbers: shares, advice: AGAIN });
  }
  if (made === undefined || fingerprint === undefined) return findings;
  const short = (sha256: string) => `${sha256.slice(0, 12)}…`;
  if (made === fingerprint) {
    const text = `the dataset was built with the model’s tokenizer, sha256 ${short(made)}`;
    return [...findings, { check: 'P7', level: 'info', message: text, numbers: {} }];
  }
  const text = `the dataset was built with the tokenizer ${short(made)}, the model’s is ${short(fingerprint)}${comesBack ? '; the ids read are equal in both' : ''}`;
  return [...findings, { check: 'P7', level: bad, message: text, numbers: {}, advice: AGAIN }];
}
