import { InvalidInputError } from '@pai-cpt/core';
import { type CorpusDocument, type CorpusFile, type CorpusOptions, readCorpus } from './corpus.ts';
import type { Reject, ScreenOutput } from './node.ts';

export interface ScreenCounts {
  documents: number;
  rejected: number;
  /** UTF-8 bytes of all texts, and of the rejected ones. */
  bytes: number;
  rejectedBytes: number;
}

/** Hands each document of a corpus to `judge`, and the document on to `output`; nothing of it is committed here. */
export async function screenCorpus(
  files: readonly CorpusFile[],
  judge: (document: CorpusDocument) => Reject | undefined,
  options: CorpusOptions & { output?: ScreenOutput | undefined; expectedDigests?: readonly string[] },
): Promise<ScreenCounts> {
  const { output, expectedDigests } = options;
  const counts: ScreenCounts = { documents: 0, rejected: 0, bytes: 0, rejectedBytes: 0 };
  const documents = readCorpus(files, options);
  try {
    let next = await documents.next();
    for (; !next.done; next = await documents.next()) {
      const document = next.value;
      const bytes = Buffer.byteLength(document.text);
      const reject = judge(document);
      counts.documents++;
      counts.bytes += bytes;
      if (reject) {
        counts.rejected++;
        counts.rejectedBytes += bytes;
        await output?.reject(document, reject);
      } else await output?.keep(document);
    }
    checkDigests(files, next.value, expectedDigests);
  } finally {
    await documents.return(undefined as never);
  }
  return counts;
}

function checkDigests(
  files: readonly CorpusFile[],
  found: readonly string[],
  expected: readonly string[] | undefined,
): void {
  const changed = expected && files.find((_, i) => found[i] !== expected[i]);
  if (!changed) return;
  throw new InvalidInputError('CPT_INPUT_INVALID', `${changed.path}: changed between two passes; run again`, {
    file: changed.path,
  });
}
