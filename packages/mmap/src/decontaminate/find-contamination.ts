import type { Contamination, EvaluationIndex } from './evaluation-index.ts';

/** A text that shares n-grams with evaluation documents. */
export interface ContaminatedText {
  /** Its number among the texts, 0 for the first. */
  document: number;
  hits: Contamination[];
}

/** The texts that share n-grams with the evaluation, in order; the others are passed over. */
export async function* findContamination(
  texts: AsyncIterable<string> | Iterable<string>,
  index: EvaluationIndex,
  options: { signal?: AbortSignal } = {},
): AsyncGenerator<ContaminatedText> {
  let document = 0;
  for await (const text of texts) {
    options.signal?.throwIfAborted();
    const hits = index.find(text);
    if (hits.length > 0) yield { document, hits };
    document++;
  }
}
