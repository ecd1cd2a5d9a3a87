import { countUp } from '../../arrange/choose-documents.ts';
import { rearrangeFiles } from '../../arrange/rearrange.ts';
import { createRandomState } from '../../mersenne-twister.ts';
import { createDatasetWriter, openDataset } from '../../node.ts';
import type { TokenDtype } from '../../token-dtype.ts';
import type { DatasetSummary } from '../../write.ts';

/** The documents of the dataset `prefix` in random order, as a dataset beside it: the order of `shuffleDataset`. */
export async function shufflePart(
  prefix: string,
  dtype: TokenDtype,
  { shuffle, signal }: { shuffle?: number; signal?: AbortSignal },
): Promise<{ prefix: string; summary: DatasetSummary }> {
  const random = createRandomState(shuffle as number);
  const dataset = await openDataset(prefix);
  const order = countUp(dataset.documentCount);
  await dataset.close();
  random.shuffle(order);
  const output = `${prefix}.shuffled`;
  const writer = await createDatasetWriter({ prefix: output, dtype, force: true });
  try {
    await rearrangeFiles([prefix], output, { order, dtype, writer, ...(signal && { signal }) });
    return { prefix: output, summary: await writer.finish() };
  } catch (error) {
    await writer.abort();
    throw error;
  }
}
