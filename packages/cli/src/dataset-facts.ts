import { openDataset, readSidecar } from '@pai-cpt/mmap';
import type { PlanFacts } from '@pai-cpt/sdk';

/** What a plan needs to know of a dataset, read from its index and sidecar; each fact says where it came from. */
export async function datasetFacts(datasetPrefix: string): Promise<NonNullable<PlanFacts['dataset']>> {
  const dataset = await openDataset(datasetPrefix);
  try {
    const sidecar = await readSidecar(datasetPrefix);
    return {
      tokens: dataset.tokenCount,
      sequences: dataset.sequenceCount,
      documents: dataset.documentCount,
      source: `${datasetPrefix}.idx`,
      ...(sidecar ? { maxId: sidecar.maxId, vocabSize: sidecar.tokenizer.vocabSize } : {}),
    };
  } finally {
    await dataset.close();
  }
}
