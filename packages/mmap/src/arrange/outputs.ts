import type { BuildProgress } from '../build-plan.ts';
import { createDatasetWriter, type DatasetWriter, processorSeconds, staleIndexCache } from '../node.ts';
import { type Sidecar, type SidecarOrigin, serializeSidecar } from '../sidecar.ts';
import type { TokenDtype } from '../token-dtype.ts';
import type { DatasetSummary } from '../write.ts';
import { checkVocabulary, deriveSidecar, type Part, type Taken } from './parts.ts';

/** What merge, split, mix and shuffle have in common. */
export interface ArrangeOptions {
  /** A dataset prefix, or a folder, which gives `dataset.bin` and `dataset.idx` in it. */
  output: string;
  /** Replace an existing dataset. */
  force?: boolean;
  onProgress?: (progress: BuildProgress) => void;
  signal?: AbortSignal;
}

/** One written dataset. */
export interface ArrangedDataset extends DatasetSummary {
  prefix: string;
  dtype: TokenDtype;
}

export interface ArrangeTimes {
  seconds: number;
  /** Processor seconds, all threads. */
  cpuSeconds: number;
}

/** The outputs of a command before anything is written. */
export interface OutputPlan {
  prefixes: readonly string[];
  dtype: TokenDtype;
  hasModes: boolean;
  force: boolean;
  tokenizer: Sidecar['tokenizer'] | undefined;
  origin: Omit<SidecarOrigin, 'parts'>;
}

/**
 * Opens a writer for every output, lets `fill` write the documents, and names all files at the end, those of the first output
 * last: when it is there, the others are too. On any error nothing is left behind.
 * @param fill gives, for each output, what it took from which part.
 */
export async function writeOutputs(
  plan: OutputPlan,
  fill: (writers: readonly DatasetWriter[]) => Promise<Taken[][]>,
): Promise<ArrangedDataset[]> {
  const { prefixes, dtype, hasModes, force, tokenizer, origin } = plan;
  const writers: DatasetWriter[] = [];
  try {
    for (const prefix of prefixes) writers.push(await createDatasetWriter({ prefix, dtype, hasModes, force }));
    const taken = await fill(writers);
    const written: ArrangedDataset[] = [];
    for (const writer of writers) {
      const summary = await writer.prepare();
      checkVocabulary(writer.prefix, summary.maxId, tokenizer);
      written.push({ prefix: writer.prefix, dtype, ...summary });
    }
    for (let i = writers.length - 1; i >= 0; i--) {
      const sidecar = deriveSidecar(taken[i] ?? [], tokenizer, dtype, written[i] as ArrangedDataset, origin);
      await (writers[i] as DatasetWriter).commit(sidecar && serializeSidecar(sidecar));
    }
    return written;
  } catch (error) {
    for (const writer of writers) await writer.abort();
    throw error;
  }
}

/** Told of what was done since the last call. */
export type Report = (documents: number, tokens: number, bytes: number) => void;

const REPORT_BYTES = 1 << 22;

/** Sums up what is done, and tells the caller every now and then and at the end. */
export function startProgress(bytesTotal: number, onProgress: ArrangeOptions['onProgress']): Report {
  const start = performance.now();
  const sum = { documents: 0, tokens: 0, bytesRead: 0 };
  let next = 0;
  return (documents, tokens, bytes) => {
    sum.documents += documents;
    sum.tokens += tokens;
    sum.bytesRead += bytes;
    if (!onProgress || (sum.bytesRead < next && sum.bytesRead < bytesTotal)) return;
    next = sum.bytesRead + REPORT_BYTES;
    onProgress({ ...sum, bytesTotal, seconds: (performance.now() - start) / 1000 });
  };
}

/** Runs a command and says how long it took. */
export async function timed<T extends object>(run: () => Promise<T>): Promise<T & ArrangeTimes> {
  const start = { seconds: performance.now() / 1000, cpuSeconds: processorSeconds() };
  const result = await run();
  return {
    ...result,
    seconds: performance.now() / 1000 - start.seconds,
    cpuSeconds: processorSeconds() - start.cpuSeconds,
  };
}

/** What is unusual about the parts, and Megatron's indices of datasets that were under the names of the outputs before. */
export async function findWarnings(parts: readonly Part[], prefixes: readonly string[]): Promise<string[]> {
  const warnings = parts.flatMap((part) => part.warnings);
  for (const prefix of prefixes) {
    const cache = await staleIndexCache(prefix);
    if (cache)
      warnings.push(`${cache}: Megatron's indices of an earlier dataset, which would be used again; delete the folder`);
  }
  return warnings;
}
