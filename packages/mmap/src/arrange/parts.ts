import { InvalidInputError } from '@pai-cpt/core';
import { openDataset, readSidecar, resolvePrefix } from '../node.ts';
import type { MmapDataset } from '../read.ts';
import type { Sidecar, SidecarOrigin } from '../sidecar.ts';
import { TOKEN_DTYPES, type TokenDtype } from '../token-dtype.ts';
import type { DatasetSummary } from '../write.ts';
import { isSameFile } from './node.ts';

/** A dataset that another one is made from: what there is to know without its tokens. */
export interface Part {
  prefix: string;
  dtype: TokenDtype;
  documents: number;
  sequences: number;
  tokens: number;
  hasModes: boolean;
  /** `undefined` when another program made the dataset. */
  sidecar: Sidecar | undefined;
  warnings: readonly string[];
}

/**
 * Opens a dataset, which checks its whole index against its `.bin` file, and closes it again.
 * @throws FormatError as `openDataset`.
 */
export async function inspectPart(path: string): Promise<Part> {
  const prefix = await resolvePrefix(path);
  const dataset = await openDataset(prefix);
  await dataset.close();
  return { ...describePart(dataset), sidecar: await readSidecar(prefix) };
}

function describePart(dataset: MmapDataset): Omit<Part, 'sidecar'> {
  const { prefix, dtype, documentCount, sequenceCount, tokenCount, modes, warnings } = dataset;
  return {
    prefix,
    dtype,
    documents: documentCount,
    sequences: sequenceCount,
    tokens: tokenCount,
    hasModes: modes !== undefined,
    warnings,
  };
}

/** @throws InvalidInputError `CPT_INPUT_INVALID` when writing `output` would remove a dataset that is read. */
export async function refuseOwnInput(output: string, parts: readonly Part[]): Promise<void> {
  for (const { prefix } of parts) {
    if (!(await isSameFile(`${prefix}.bin`, `${output}.bin`))) continue;
    throw new InvalidInputError(
      'CPT_INPUT_INVALID',
      `${output}: is one of the datasets to read; choose another output`,
      { field: 'output' },
    );
  }
}

/**
 * The dtype of a dataset made of these parts: the one they share, or the one that was asked for.
 * @throws InvalidInputError `CPT_INPUT_DTYPES_DIFFER`; `CPT_INPUT_INVALID` for a dtype that does not exist.
 */
export function chooseOutputDtype(parts: readonly Part[], wanted: string | undefined): TokenDtype {
  if (wanted !== undefined) {
    if (Object.hasOwn(TOKEN_DTYPES, wanted)) return wanted as TokenDtype;
    throw new InvalidInputError(
      'CPT_INPUT_INVALID',
      `dtype "${wanted}" is unknown; use ${Object.keys(TOKEN_DTYPES).join(', ')}`,
      { field: 'dtype' },
    );
  }
  const [first] = parts as [Part];
  const other = parts.find(({ dtype }) => dtype !== first.dtype);
  if (!other) return first.dtype;
  throw new InvalidInputError(
    'CPT_INPUT_DTYPES_DIFFER',
    `${first.prefix} stores ${first.dtype}, ${other.prefix} stores ${other.dtype}; give --dtype int32 to store all ids so`,
    { field: 'dtype' },
  );
}

/** The one tokenizer of the parts, and what a person should know about it. */
export interface SharedTokenizer {
  /** `undefined` when none is known, or when different ones were let through. */
  tokenizer: Sidecar['tokenizer'] | undefined;
  warnings: string[];
}

/**
 * Compares the tokenizers that the sidecars name: ids of two tokenizers in one dataset mean two things.
 * @throws InvalidInputError `CPT_INPUT_TOKENIZERS_DIFFER` unless `force` is set.
 */
export function shareTokenizer(parts: readonly Part[], force: boolean): SharedTokenizer {
  const known = parts.filter((part): part is Part & { sidecar: Sidecar } => part.sidecar !== undefined);
  const unknown = parts.filter(({ sidecar }) => !sidecar).map(({ prefix }) => prefix);
  const [first] = known;
  const other = known.find(({ sidecar }) => sidecar.tokenizer.fingerprint !== first?.sidecar.tokenizer.fingerprint);
  if (first && other) {
    const name = (part: Part & { sidecar: Sidecar }) =>
      `${part.prefix} with ${part.sidecar.tokenizer.fingerprint.slice(0, 12)}… (${part.sidecar.tokenizer.vocabSize} entries)`;
    const found = `${name(first)} and ${name(other)} were made with different tokenizers`;
    if (force) {
      return { tokenizer: undefined, warnings: [`${found}; no sidecar is written, because none would be true`] };
    }
    throw new InvalidInputError(
      'CPT_INPUT_TOKENIZERS_DIFFER',
      `${found}; build one of them again, or give --force-tokenizers when you know that their ids agree`,
      { names: [first.prefix, other.prefix] },
    );
  }
  if (unknown.length === 0 || !first) return { tokenizer: first?.sidecar.tokenizer, warnings: [] };
  const warning = `${unknown.join(', ')}: no sidecar says which tokenizer it was made with; taken to be that of ${first.prefix}`;
  return { tokenizer: first.sidecar.tokenizer, warnings: [warning] };
}

/** @throws InvalidInputError `CPT_INPUT_TOKEN_RANGE` when an id was copied that the tokenizer does not have. */
export function checkVocabulary(output: string, maxId: number, tokenizer: Sidecar['tokenizer'] | undefined): void {
  if (!tokenizer || maxId < tokenizer.vocabSize) return;
  throw new InvalidInputError(
    'CPT_INPUT_TOKEN_RANGE',
    `${output}: would hold id ${maxId}, the tokenizer has ${tokenizer.vocabSize} entries; one of the datasets was made with another tokenizer or is damaged`,
    { id: maxId },
  );
}

/** What was taken from a part. */
export interface Taken {
  part: Part;
  documents: number;
  tokens: number;
}

/** The sidecar of a dataset made of parts; `undefined` when no tokenizer is known to be theirs. */
export function deriveSidecar(
  taken: readonly Taken[],
  tokenizer: Sidecar['tokenizer'] | undefined,
  dtype: TokenDtype,
  summary: DatasetSummary,
  origin: Omit<SidecarOrigin, 'parts'>,
): Sidecar | undefined {
  const sidecars = taken.flatMap(({ part }) => part.sidecar ?? []);
  const [first] = sidecars;
  if (!first || !tokenizer) return undefined;
  const inputs = unique(sidecars.flatMap((sidecar) => sidecar.inputs));
  const { documents, sequences, tokens, maxId, sha256 } = summary;
  return {
    ...first,
    tokenizer,
    dtype,
    documents,
    sequences,
    tokens,
    maxId,
    inputs,
    options: sharedOptions(sidecars),
    dropped: sumCounts(sidecars),
    heldOut: unique(sidecars.map(({ heldOut }) => heldOut)).length === 1 ? first.heldOut : null,
    sha256,
    origin: {
      ...origin,
      parts: taken.map(({ part, documents, tokens }) => ({
        path: part.prefix,
        documents,
        tokens,
        fingerprint: part.sidecar?.tokenizer.fingerprint ?? null,
        sha256: part.sidecar?.sha256 ?? null,
      })),
    },
  };
}

/** Choices that all builds made alike: of parts 1/8 to 8/8, merged, none is the part of the whole. */
function sharedOptions(sidecars: readonly Sidecar[]): Sidecar['options'] {
  const [first, ...others] = sidecars.map(({ options }) => options) as [Sidecar['options'], ...Sidecar['options'][]];
  const shared = Object.entries(first).filter(([name, value]) =>
    others.every((options) => (options as unknown as Record<string, unknown>)[name] === value),
  );
  const { textKey, splitParagraphs } = first;
  return { textKey, splitParagraphs, ...Object.fromEntries(shared) };
}

/** Documents left out by the builds, by reason; once for the two halves of one build, which both tell of the whole. */
function sumCounts(sidecars: readonly Sidecar[]): Sidecar['dropped'] {
  const builds = unique(sidecars.map(({ inputs, dropped }) => ({ inputs, dropped })));
  const sums: Record<string, number> = {};
  for (const { dropped } of builds) {
    for (const [reason, count] of Object.entries(dropped)) sums[reason] = (sums[reason] ?? 0) + count;
  }
  return sums as Sidecar['dropped'];
}

function unique<T>(values: readonly T[]): T[] {
  return [...new Map(values.map((value) => [JSON.stringify(value), value])).values()];
}
