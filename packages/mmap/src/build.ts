import { type BuildOptions, type BuildPlan, planBuild } from './build-plan.ts';
import type { Document } from './documents/document.ts';
import { type InputRecord, readDocuments } from './documents/inputs.ts';
import { HELD_OUT_SEED } from './held-out.ts';
import { createDatasetWriter, type DatasetWriter, processorSeconds } from './node.ts';
import { type Sidecar, serializeSidecar } from './sidecar.ts';
import type { TokenDtype } from './token-dtype.ts';
import type { DatasetSummary } from './write.ts';

/** One written dataset. */
export interface BuiltPart extends DatasetSummary {
  prefix: string;
}

/** The counts are those of the dataset itself; the held-out part has its own. */
export interface BuildResult extends BuiltPart {
  dtype: TokenDtype;
  vocabSize: number;
  eodToken: number | undefined;
  /** Documents without text, left out. */
  dropped: number;
  heldOut?: BuiltPart;
  seconds: number;
  /** Processor seconds, all threads. */
  cpuSeconds: number;
  warnings: string[];
}

/**
 * Builds a dataset from raw text: documents → ids → `.bin`, `.idx` and the sidecar. The same inputs and options give the same
 * bytes. Nothing has its final name before everything is written; on any error or abort nothing is left behind.
 * @throws InvalidInputError `CPT_INPUT_…`; FormatError with file, line and byte for a bad input.
 */
export async function buildDataset(options: BuildOptions): Promise<BuildResult> {
  const start = { seconds: performance.now() / 1000, cpuSeconds: processorSeconds() };
  const plan = await planBuild(options);
  const writers: DatasetWriter[] = [];
  try {
    for (const { prefix } of plan.parts) {
      writers.push(await createDatasetWriter({ prefix, dtype: plan.dtype, force: options.force ?? false }));
    }
    const written = await writeDocuments(plan, writers, options, start.seconds);
    const summaries: DatasetSummary[] = [];
    for (const writer of writers) summaries.push(await writer.prepare());
    // The dataset itself last: when it is there, its held-out part is too.
    for (let i = writers.length - 1; i >= 0; i--) {
      const sidecar = describePart(plan, i, summaries[i] as DatasetSummary, written, options);
      await (writers[i] as DatasetWriter).commit(serializeSidecar(sidecar));
    }
    const [main, heldOut] = plan.parts.map(({ prefix }, i) => ({ prefix, ...(summaries[i] as DatasetSummary) }));
    return {
      ...(main as BuiltPart),
      dtype: plan.dtype,
      vocabSize: plan.tokenizer.vocabSize,
      eodToken: plan.eodToken,
      dropped: written.dropped,
      ...(heldOut && { heldOut }),
      seconds: performance.now() / 1000 - start.seconds,
      cpuSeconds: processorSeconds() - start.cpuSeconds,
      warnings: plan.warnings,
    };
  } catch (error) {
    for (const writer of writers) await writer.abort();
    throw error;
  }
}

interface Written {
  inputs: InputRecord[];
  dropped: number;
}

async function writeDocuments(
  plan: BuildPlan,
  writers: DatasetWriter[],
  options: BuildOptions,
  startSeconds: number,
): Promise<Written> {
  const [main, heldOut] = writers as [DatasetWriter, DatasetWriter | undefined];
  const written: Written = { inputs: [], dropped: 0 };
  const bytesTotal = plan.inputs.reduce((sum, input) => sum + input.byteLength, 0);
  let bytesBefore = 0;
  let documents = 0;
  let tokens = 0;
  for (const input of plan.inputs) {
    const source = readDocuments(input.path, {
      textKey: options.textKey ?? 'text',
      splitParagraphs: options.splitParagraphs ?? false,
      ...(options.signal && { signal: options.signal }),
    });
    const onEnd = (record: InputRecord) => written.inputs.push(record);
    for await (const batch of inBatches(source, onEnd)) {
      options.signal?.throwIfAborted();
      const encoded = await Promise.all(batch.map((document) => encodeDocument(document, plan)));
      for (const sequences of encoded) {
        if (sequences.length === 0) {
          written.dropped++;
          continue;
        }
        const writer = heldOut && plan.isHeldOut(documents) ? heldOut : main;
        await writer.addDocument(sequences);
        documents++;
        for (const ids of sequences) tokens += ids.length;
      }
      const bytesRead = bytesBefore + (batch.at(-1)?.byteOffset ?? 0);
      options.onProgress?.({
        documents,
        tokens,
        bytesRead,
        bytesTotal,
        seconds: performance.now() / 1000 - startSeconds,
      });
    }
    bytesBefore += input.byteLength;
  }
  options.onProgress?.({
    documents,
    tokens,
    bytesRead: bytesTotal,
    bytesTotal,
    seconds: performance.now() / 1000 - startSeconds,
  });
  return written;
}

const BATCH_DOCUMENTS = 64;
const BATCH_CHARACTERS = 1 << 20;

/** Neighbouring documents in groups small enough to hold and large enough to keep the encoder's threads busy. */
async function* inBatches(
  source: AsyncGenerator<Document, InputRecord>,
  onEnd: (record: InputRecord) => void,
): AsyncGenerator<Document[]> {
  try {
    let batch: Document[] = [];
    let characters = 0;
    for (let next = await source.next(); ; next = await source.next()) {
      if (next.done) {
        if (batch.length > 0) yield batch;
        onEnd(next.value);
        return;
      }
      batch.push(next.value);
      for (const text of next.value.texts) characters += text.length;
      if (batch.length < BATCH_DOCUMENTS && characters < BATCH_CHARACTERS) continue;
      yield batch;
      batch = [];
      characters = 0;
    }
  } finally {
    // Closes the file when the consumer stops early; the generator's value is not needed then.
    await source.return(undefined as never);
  }
}

/** The sequences of a document as Megatron stores them: none without ids, the end-of-document id at the end of the last one. */
async function encodeDocument(document: Document, { tokenizer, eodToken }: BuildPlan): Promise<Int32Array[]> {
  if (document.texts.every((text) => text.trim() === '')) return [];
  const encoded = await Promise.all(document.texts.map((text) => tokenizer.encode(text)));
  const sequences = encoded.filter((ids) => ids.length > 0);
  const last = sequences.at(-1);
  if (last && eodToken !== undefined) {
    const ended = new Int32Array(last.length + 1);
    ended.set(last);
    ended[last.length] = eodToken;
    sequences[sequences.length - 1] = ended;
  }
  return sequences;
}

function describePart(
  plan: BuildPlan,
  index: number,
  summary: DatasetSummary,
  written: Written,
  options: BuildOptions,
): Sidecar {
  const { part } = plan.parts[index] as BuildPlan['parts'][number];
  const { file, fingerprint, vocabSize } = plan.tokenizer;
  return {
    version: 1,
    tokenizer: { file, fingerprint, vocabSize, eodToken: plan.eodToken ?? null },
    dtype: plan.dtype,
    documents: summary.documents,
    sequences: summary.sequences,
    tokens: summary.tokens,
    maxId: summary.maxId,
    inputs: written.inputs,
    options: { textKey: options.textKey ?? 'text', splitParagraphs: options.splitParagraphs ?? false },
    dropped: { empty: written.dropped },
    heldOut: options.heldOut === undefined ? null : { part, share: options.heldOut, seed: HELD_OUT_SEED },
    sha256: summary.sha256,
  };
}
