import { type ByteSource, FormatError, InvalidInputError } from '@pai-cpt/core';
import { type FileSource, fileSource } from '@pai-cpt/core/node';
import { serializeIndex } from '../index-format.ts';
import { readSidecar, resolvePrefix } from '../node.ts';
import { readIndexFile } from '../read-index.ts';
import { type Sidecar, serializeSidecar } from '../sidecar.ts';
import { decodeTokens, TOKEN_DTYPES, type TokenDtype } from '../token-dtype.ts';
import { checkOutput, commitPair, linkTemporary, readStart, removeTemporary, writeTemporary } from './node.ts';
import { createReindex, indexContent, planRepair, type RepairCounts, type RepairPlan } from './plan-repair.ts';

export interface RepairOptions {
  /** The broken dataset, never changed. */
  prefix: string;
  output: string;
  /** Lay the pointers anew from the lengths; `.bin` must have exactly their size. */
  pointers?: boolean;
  /** Keep the documents that are whole in `.bin`, and no byte after them. */
  truncate?: boolean;
  /** Make the index anew: this id ends each document. */
  reindexEod?: number;
  /** Of a `.bin` without index; the sidecar's, else int32, when not given. */
  dtype?: TokenDtype;
  force?: boolean;
  signal?: AbortSignal;
}

export interface RepairResult {
  prefix: string;
  dtype: TokenDtype;
  kept: RepairCounts;
  lost: RepairCounts;
  /** How the new `.bin` came to be: a second name of the old one's bytes, or a copy of what is kept of them. */
  bin: 'linked' | 'copied';
  sha256: { idx: string };
  /** Whether a sidecar was there and went along, with counts and digests of the new files. */
  hasSidecar: boolean;
}

/**
 * Writes a dataset from what is sound in a broken one. Nothing has its final name before everything is written.
 * @throws InvalidInputError `CPT_INPUT_INVALID` for options that do not go together or when nothing is broken,
 * `CPT_INPUT_FILE_MISSING`, `CPT_INPUT_OUTPUT_EXISTS`, `CPT_INPUT_EMPTY_DATASET`.
 * @throws FormatError `CPT_FORMAT_MMAP_UNREPAIRABLE`, or the code of what no repair can set right.
 */
export async function repairDataset(options: RepairOptions): Promise<RepairResult> {
  checkOptions(options);
  const { signal } = options;
  const prefix = await resolvePrefix(options.prefix);
  const output = await resolvePrefix(options.output);
  await checkOutput(prefix, output, options.force ?? false);
  const bin = await fileSource(`${prefix}.bin`);
  try {
    const sidecar = await readSidecar(prefix).catch(() => undefined);
    const plan = await makePlan(prefix, bin, options, sidecar);
    return await writeRepaired({ plan, bin, output, sidecar, signal });
  } finally {
    await bin.close();
  }
}

function checkOptions({ pointers, truncate, reindexEod }: RepairOptions): void {
  const fail = (why: string) => new InvalidInputError('CPT_INPUT_INVALID', why, { field: 'repair' });
  if (!pointers && !truncate && reindexEod === undefined)
    throw fail(
      'say what to repair: --pointers, --truncate or --reindex-eod ID; cpt-mmap doctor names the one that fits',
    );
  if (reindexEod !== undefined && (pointers || truncate))
    throw fail('--reindex-eod makes the whole index anew; leave --pointers and --truncate out');
}

async function makePlan(
  prefix: string,
  bin: FileSource,
  { pointers = false, truncate = false, reindexEod, dtype, signal }: RepairOptions,
  sidecar: Sidecar | undefined,
): Promise<RepairPlan> {
  const files = { idx: `${prefix}.idx`, bin: `${prefix}.bin` };
  if (reindexEod !== undefined) {
    return scanForEnds(bin, { eod: reindexEod, dtype: dtype ?? sidecar?.dtype ?? 'int32', file: files.bin, signal });
  }
  const idx = await fileSource(files.idx);
  try {
    return planRepair(await readIndexFile(idx, files.idx, signal), bin.byteLength, { pointers, truncate }, files);
  } finally {
    await idx.close();
  }
}

async function scanForEnds(
  bin: ByteSource,
  { eod, dtype, file, signal }: { eod: number; dtype: TokenDtype; file: string; signal: AbortSignal | undefined },
): Promise<RepairPlan> {
  const { bytes: width } = TOKEN_DTYPES[dtype];
  const reindex = createReindex({ eod, dtype, binBytes: bin.byteLength, file });
  const wholeIds = Math.floor(bin.byteLength / width) * width;
  for await (const piece of readStart(bin, wholeIds, signal)) reindex.add(idsOf(piece, dtype, file));
  return reindex.finish();
}

function idsOf(bytes: Uint8Array, dtype: TokenDtype, file: string): Int32Array {
  const ids = decodeTokens(bytes, dtype);
  if (ids instanceof Int32Array) return ids;
  throw new FormatError(
    'CPT_FORMAT_MMAP_TOKEN_RANGE',
    `${file}: an id is outside 32 bits when it is read as ${dtype}; check --dtype`,
    { file },
  );
}

async function writeRepaired(given: {
  plan: RepairPlan;
  bin: FileSource;
  output: string;
  sidecar: Sidecar | undefined;
  signal: AbortSignal | undefined;
}): Promise<RepairResult> {
  const { plan, bin, output, sidecar, signal } = given;
  const linked = plan.binBytes === bin.byteLength ? await linkTemporary(bin.path, `${output}.bin`) : undefined;
  let copied: Awaited<ReturnType<typeof writeTemporary>> | undefined;
  let idx: Awaited<ReturnType<typeof writeTemporary>> | undefined;
  try {
    let maxId = -1;
    const copy = async function* () {
      for await (const piece of readStart(bin, plan.binBytes, signal)) {
        for (const id of idsOf(piece, plan.dtype, bin.path)) if (id > maxId) maxId = id;
        yield piece;
      }
    };
    if (!linked) copied = await writeTemporary(`${output}.bin`, copy());
    idx = await writeTemporary(`${output}.idx`, serializeIndex(indexContent(plan)));
    const binSha256 = copied?.sha256 ?? sidecar?.sha256.bin;
    const noted = sidecar &&
      binSha256 !== undefined && {
        ...sidecar,
        dtype: plan.dtype,
        documents: plan.kept.documents,
        sequences: plan.kept.sequences,
        tokens: plan.kept.tokens,
        maxId: copied ? maxId : sidecar.maxId,
        sha256: { bin: binSha256, idx: idx.sha256 },
      };
    const temporary = { bin: linked ?? (copied?.temporary as string), idx: idx.temporary };
    await commitPair(output, temporary, noted ? serializeSidecar(noted) : undefined);
    return {
      prefix: output,
      dtype: plan.dtype,
      kept: plan.kept,
      lost: plan.lost,
      bin: linked ? 'linked' : 'copied',
      sha256: { idx: idx.sha256 },
      hasSidecar: Boolean(noted),
    };
  } finally {
    await removeTemporary(linked, copied?.temporary, idx?.temporary);
  }
}
