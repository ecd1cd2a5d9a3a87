import type { EncodedBatch } from './encode-batch.ts';
import type { DocumentPiece } from './output/part-writer.ts';

/** A run of documents of a batch that go to the same part. */
export interface RoutedPiece extends DocumentPiece {
  part: number;
}

/**
 * The first `count` documents of a batch in runs of neighbours that go to one part. `partOf` is asked for each in order.
 */
export function* routeDocuments(
  encoded: EncodedBatch,
  count: number,
  partOf: (document: number) => number,
): Generator<RoutedPiece> {
  const { ids, lengths, perDocument, largest } = encoded;
  let document = 0;
  let id = 0;
  let sequence = 0;
  let part = count > 0 ? partOf(0) : 0;
  while (document < count) {
    const [firstDocument, firstId, firstSequence] = [document, id, sequence];
    const runPart = part;
    let most = -1;
    do {
      const sequences = perDocument?.[document] ?? 1;
      for (let i = 0; i < sequences; i++) id += lengths[sequence++] as number;
      most = Math.max(most, largest[document] as number);
      document++;
      if (document < count) part = partOf(document);
    } while (document < count && part === runPart);
    yield {
      part: runPart,
      ids: ids.subarray(firstId, id),
      lengths: lengths.subarray(firstSequence, sequence),
      perDocument: perDocument?.subarray(firstDocument, document),
      documents: document - firstDocument,
      largest: most,
    };
  }
}
