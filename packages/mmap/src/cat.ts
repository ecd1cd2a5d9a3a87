import { InvalidInputError } from '@pai-cpt/core';
import pc from 'picocolors';
import { readSidecar } from './node.ts';
import { count, type Output } from './progress.ts';
import type { MmapDataset } from './read.ts';
import { loadTokenizer } from './tokenizer/load-tokenizer.ts';
import type { Tokenizer } from './tokenizer/tokenizer.ts';

export interface PrintOptions {
  ids?: boolean;
  from: number;
  to?: number;
  tokenizer?: string;
  json?: boolean;
  signal?: AbortSignal;
}

/** Prints documents `from` to `to` (not included): their text, with `ids` a JSON array of ids a sequence and line, with `json` one object a document. */
export async function printDocuments(dataset: MmapDataset, options: PrintOptions, output: Output): Promise<void> {
  const { from, to = dataset.documentCount, ids: withIds = false, json = false, signal } = options;
  if (from > to || to > dataset.documentCount) {
    throw new InvalidInputError(
      'CPT_INPUT_INVALID',
      `${dataset.prefix}: documents ${from} to ${to} do not exist; it has ${dataset.documentCount}`,
      { field: 'from' },
    );
  }
  const tokenizer = withIds ? undefined : await tokenizerFor(dataset, options.tokenizer);
  const foreign = { count: 0, first: '' };
  for (let document = from; document < to; document++) {
    signal?.throwIfAborted();
    const sequences: Int32Array[] = [];
    for (let i = dataset.documentIndex[document] as number; i < (dataset.documentIndex[document + 1] as number); i++) {
      sequences.push(await dataset.get(i, signal));
    }
    if (tokenizer) countForeign(sequences, tokenizer.vocabSize, document, foreign);
    const shown = tokenizer
      ? await Promise.all(sequences.map((ids) => tokenizer.decode(ids)))
      : sequences.map((ids) => `[${ids.join(',')}]`);
    if (json) {
      const value = tokenizer
        ? { document, texts: shown }
        : { document, sequences: sequences.map((ids) => Array.from(ids)) };
      output.write(`${JSON.stringify(value)}\n`);
      continue;
    }
    const tokens = sequences.reduce((sum, ids) => sum + ids.length, 0);
    if (tokenizer) output.write(pc.dim(`--- document ${document}: ${count(tokens)} tokens ---\n`));
    for (const text of shown) output.write(`${text}\n`);
  }
  if (foreign.count === 0) return;
  const what = `${count(foreign.count)} ids are no token of ${tokenizer?.file} and give no text, the first ${foreign.first}`;
  output.log(`${pc.yellow('warning:')} ${what}; ask cpt-mmap doctor --tokenizer whose they are`);
}

/** Ids that a decoder passes over in silence. */
function countForeign(
  sequences: readonly Int32Array[],
  vocabSize: number,
  document: number,
  foreign: { count: number; first: string },
): void {
  for (const id of sequences.flatMap((ids) => Array.from(ids.filter((id) => id < 0 || id >= vocabSize)))) {
    if (foreign.count++ === 0) foreign.first = `${id} in document ${document}`;
  }
}

/** The tokenizer given, or the one the sidecar names when it is still the same file. */
async function tokenizerFor(dataset: MmapDataset, path: string | undefined): Promise<Tokenizer> {
  const sidecar = await readSidecar(dataset.prefix);
  const file = path ?? sidecar?.tokenizer.file;
  if (file === undefined) {
    throw new InvalidInputError(
      'CPT_INPUT_INVALID',
      `${dataset.prefix}: no ${dataset.prefix}.json says which tokenizer it was built with; give --tokenizer, or --ids`,
      { field: 'tokenizer' },
    );
  }
  const tokenizer = await loadTokenizer(file);
  if (sidecar && sidecar.tokenizer.fingerprint !== tokenizer.fingerprint) {
    throw new InvalidInputError(
      'CPT_INPUT_INVALID',
      `${tokenizer.file}: has sha256 ${tokenizer.fingerprint.slice(0, 12)}…, the dataset was built with ${sidecar.tokenizer.fingerprint.slice(0, 12)}…; give that one with --tokenizer, or --ids`,
      { field: 'tokenizer' },
    );
  }
  return tokenizer;
}
