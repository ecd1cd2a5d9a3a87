import { InvalidInputError } from '@pai-cpt/core';
import { type CorpusDocument, type CorpusOptions, documentId, listCorpus } from '../screen/corpus.ts';
import { openScreenOutput, type Reject, type ScreenFiles } from '../screen/node.ts';
import { type ScreenCounts, screenCorpus } from '../screen/screen-corpus.ts';
import { createEvaluationIndex, type EvaluationIndex, NGRAM_LENGTH } from './evaluation-index.ts';
import { readEvaluations } from './read-evaluations.ts';

export interface DecontaminateOptions extends CorpusOptions {
  /** Files and folders, as for `buildDataset`. */
  inputs: readonly string[];
  /** Evaluation files, JSONL. */
  against: readonly string[];
  /** Folder for the documents without a match; without it nothing is dropped. */
  drop?: string;
  /** File for the others; with `drop` it is `FOLDER.rejects.jsonl` when not given. */
  rejects?: string;
}

export interface EvaluationCounts {
  evaluations: number;
  /** Strings in them, and those too short to ever match. */
  texts: number;
  shortTexts: number;
  ngrams: number;
}

/** A document and one evaluation document that it shares n-grams with. */
export interface ContaminationHit {
  /** `file:line`, as `evaluation`. */
  document: string;
  evaluation: string;
  ngram: string;
  matches: number;
}

export interface DecontaminationReport extends ScreenCounts, EvaluationCounts {
  /** Evaluation documents that some document contains a part of. */
  contaminatedEvaluations: number;
  examples: ContaminationHit[];
  output?: ScreenFiles;
  seconds: number;
}

const EXAMPLES = 5;

/**
 * Reports the documents of a corpus that share an n-gram with evaluation files, and with `drop` or `rejects` parts them from the
 * others. Outputs have temporary names until all are written.
 * @throws InvalidInputError `CPT_INPUT_INVALID` when no evaluation text is long enough to match; `CPT_INPUT_OUTPUT_EXISTS`.
 */
export async function decontaminateFiles(options: DecontaminateOptions): Promise<DecontaminationReport> {
  const start = performance.now();
  const files = await listCorpus(options.inputs);
  const output = await openScreenOutput(files, options);
  const { index, ids, counts } = await indexEvaluations(options.against, options.signal);
  const met = new Set<number>();
  const examples: ContaminationHit[] = [];
  const judge = (document: CorpusDocument): Reject | undefined => {
    const found = index.find(document.text);
    if (found.length === 0) return undefined;
    const id = documentId(document);
    const hits = found.map(({ evaluation, ngram, matches }) => {
      met.add(evaluation);
      return { evaluation: ids[evaluation] as string, ngram, matches };
    });
    for (const hit of hits) if (examples.length < EXAMPLES) examples.push({ document: id, ...hit });
    return { reason: `shares an n-gram with ${hits.map(({ evaluation }) => evaluation).join(', ')}`, hits };
  };
  try {
    const screened = await screenCorpus(files, judge, { ...options, output });
    const written = await output?.commit();
    return {
      ...screened,
      ...counts,
      contaminatedEvaluations: met.size,
      examples,
      ...(written && { output: written }),
      seconds: (performance.now() - start) / 1000,
    };
  } catch (error) {
    await output?.abort();
    throw error;
  }
}

async function indexEvaluations(
  paths: readonly string[],
  signal: AbortSignal | undefined,
): Promise<{ index: EvaluationIndex; ids: string[]; counts: EvaluationCounts }> {
  const index = createEvaluationIndex();
  const ids: string[] = [];
  let texts = 0;
  let shortTexts = 0;
  for await (const evaluation of readEvaluations(paths, signal)) {
    for (const text of evaluation.texts) {
      texts++;
      if (!index.add(text, ids.length)) shortTexts++;
    }
    ids.push(evaluation.id);
  }
  if (index.ngrams === 0) {
    throw new InvalidInputError(
      'CPT_INPUT_INVALID',
      `${paths.join(', ')}: none of ${texts} texts has ${NGRAM_LENGTH.spaced} words or ${NGRAM_LENGTH.unspaced} Chinese characters, so nothing could be found; give evaluation files with longer texts`,
      { field: 'against' },
    );
  }
  return { index, ids, counts: { evaluations: ids.length, texts, shortTexts, ngrams: index.ngrams } };
}
