import { createHash } from 'node:crypto';
import { type ByteSource, CptError, InvalidInputError } from '@pai-cpt/core';
import { type FileSource, fileSource } from '@pai-cpt/core/node';
import { readSidecar, resolvePrefix, staleIndexCache } from '../node.ts';
import { type IndexFile, readIndexFile } from '../read-index.ts';
import type { Sidecar } from '../sidecar.ts';
import { TOKEN_DTYPES, type TokenDtype } from '../token-dtype.ts';
import { loadTokenizer } from '../tokenizer/load-tokenizer.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { type Finding, percent } from './finding.ts';
import { bandShares, createIdStatistics, type IdStatistics } from './id-statistics.ts';
import { judgeTokenizer } from './judge-ends.ts';
import { judgeIndex, judgeSidecar, refusalFinding } from './judge-files.ts';
import { judgeIds } from './judge-ids.ts';
import { judgeText } from './judge-text.ts';
import { decodeSpecimen, runRoundTrip } from './round-trip.ts';
import { createSpecimens, type Specimen } from './specimens.ts';
import { type Target, targetOfModel, targetOfTokenizer } from './target.ts';
import { planReading, readPieces, SAMPLE_BYTES } from './walk.ts';

export interface ExamineOptions {
  /** A model of the table, such as `qwen2-72b`. */
  model?: string;
  /** A tokenizer.json, the folder that holds one, or one that is loaded. */
  tokenizer?: string | Tokenizer;
  /** Read every id, and check the sidecar's sha256. */
  full?: boolean;
  /** Let warnings refuse the dataset as errors do. */
  strict?: boolean;
  /** How many specimens to show; 3 when not given. */
  samples?: number;
  /** Bytes of `.bin` that are read without `full`; 64 MiB when not given. */
  sampleBytes?: number;
  onProgress?: (progress: { doneTokens: number; tokens: number }) => void;
  signal?: AbortSignal;
}

/** What the doctor found. */
export interface Examination {
  /** True when no finding is an error; with `strict`, when none is a warning either. */
  ok: boolean;
  prefix: string;
  /** What the dataset was judged for; `undefined`: only as a dataset. */
  target?: { name: string; vocabSize: number; eodToken: number | undefined };
  findings: Finding[];
  /** Absent when the index was refused. */
  dataset?: {
    dtype: TokenDtype;
    documents: number;
    sequences: number;
    tokens: number;
    binBytes: number;
    idxBytes: number;
  };
  /** How much of the tokens the judgement rests on. */
  read?: { isWhole: boolean; tokens: number; bytes: number; share: number };
  bands?: { from: number; to: number; share: number }[];
  /** Ids that end documents, most frequent first. */
  lastIds?: { id: number; documents: number }[];
  samples: { document: number; ids: number[]; text?: string }[];
  seconds: number;
}

/**
 * Judges a dataset by its files: the index, the ids, the sidecar, and the text behind the ids when a tokenizer is given. What is
 * wrong with the files is a finding and not an error.
 * @throws InvalidInputError `CPT_INPUT_FILE_MISSING` when neither `.bin` nor `.idx` is there or the tokenizer is not,
 * `CPT_INPUT_INVALID` for an unknown model.
 */
export async function examineDataset(path: string, options: ExamineOptions = {}): Promise<Examination> {
  const start = performance.now();
  const prefix = await resolvePrefix(path);
  const sources = await openSources(prefix);
  try {
    const tokenizer =
      typeof options.tokenizer === 'string' ? await loadTokenizer(options.tokenizer) : options.tokenizer;
    const target = await chooseTarget(options.model, tokenizer);
    const examination: Omit<Examination, 'ok' | 'seconds'> = {
      prefix,
      ...(target && { target: { name: target.name, vocabSize: target.vocabSize, eodToken: target.eodToken } }),
      findings: [],
      samples: [],
    };
    if (sources.bin && sources.idx) {
      await examineFiles({ prefix, bin: sources.bin, idx: sources.idx, tokenizer, target, options }, examination);
    } else examination.findings.push(missingFile(prefix, sources.bin === undefined));
    const { findings } = examination;
    const rank = { error: 0, warn: 1, info: 2 };
    findings.sort((a, b) => rank[a.level] - rank[b.level]);
    const ok = findings.every(({ level }) => level === 'info' || (level === 'warn' && !options.strict));
    return { ok, ...examination, seconds: (performance.now() - start) / 1000 };
  } finally {
    await sources.bin?.close();
    await sources.idx?.close();
  }
}

async function openSources(prefix: string): Promise<{ bin?: FileSource; idx?: FileSource }> {
  const bin = await openIfThere(`${prefix}.bin`);
  const idx = await openIfThere(`${prefix}.idx`).catch(async (error: unknown) => {
    await bin?.close();
    throw error;
  });
  if (bin || idx) return { ...(bin && { bin }), ...(idx && { idx }) };
  throw new InvalidInputError(
    'CPT_INPUT_FILE_MISSING',
    `${prefix}: neither ${prefix}.bin nor ${prefix}.idx is there; check the path`,
    { file: prefix },
  );
}

async function openIfThere(file: string): Promise<FileSource | undefined> {
  try {
    return await fileSource(file);
  } catch (error) {
    if (CptError.isInstance(error)) return undefined;
    throw error;
  }
}

function missingFile(prefix: string, isBin: boolean): Finding {
  const file = `${prefix}.${isBin ? 'bin' : 'idx'}`;
  return {
    code: 'CPT_INPUT_FILE_MISSING',
    level: 'error',
    message: `${file}: does not exist or is not a regular file`,
    advice: isBin
      ? 'copy it; nothing of it can be had from .idx'
      : 'copy it; or, when an id ends each document, make it anew: cpt-mmap repair PREFIX OUT --reindex-eod ID',
  };
}

/** The model decides where both are given: the tokenizer then only says what the ids mean. */
async function chooseTarget(model: string | undefined, tokenizer: Tokenizer | undefined): Promise<Target | undefined> {
  if (model !== undefined) return targetOfModel(model);
  return tokenizer && (await targetOfTokenizer(tokenizer));
}

interface Case {
  prefix: string;
  bin: ByteSource;
  idx: ByteSource;
  tokenizer: Tokenizer | undefined;
  target: Target | undefined;
  options: ExamineOptions;
}

async function examineFiles(given: Case, examination: Omit<Examination, 'ok' | 'seconds'>): Promise<void> {
  const { prefix, bin, idx, target, options } = given;
  const { findings } = examination;
  const files = { bin: `${prefix}.bin`, idx: `${prefix}.idx` };
  const index = await readIndexFile(idx, files.idx, options.signal).catch((error: unknown) => {
    findings.push(refusalFinding(error));
    return undefined;
  });
  if (!index) return;
  const judged = judgeIndex(index, bin.byteLength, files, target !== undefined);
  findings.push(...judged.findings);
  if (!judged.checked) return;
  const { tokenCount: tokens } = judged.checked;
  const { header } = index;
  examination.dataset = {
    dtype: header.dtype,
    documents: header.documentIndexLength - 1,
    sequences: header.sequenceCount,
    tokens,
    binBytes: bin.byteLength,
    idxBytes: idx.byteLength,
  };
  const cache = await staleIndexCache(prefix);
  if (cache) {
    const message = `${cache}: Megatron's indices of this prefix; they do not notice when the dataset is replaced`;
    findings.push({ code: 'index-cache', level: 'info', message, advice: 'delete it after a rebuild' });
  }
  const sidecar = await openSidecar(prefix, findings);
  const read = await readIds({ ...given, index: { ...index, findings: judged.checked } }, findings);
  if (!read) return;
  examination.read = read.extent;
  examination.bands = bandShares(read.statistics);
  examination.lastIds = mostFrequent(read.statistics.lastIds, 5);
  if (sidecar) {
    const sha256 = options.full
      ? { bin: await hashSource(bin, options.signal), idx: await hashSource(idx, options.signal) }
      : undefined;
    findings.push(judgeSidecar(sidecar, index, { tokens, maxId: read.statistics.max, sha256 }));
  }
  await judgeContent({ ...given, index, sidecar, ...read }, examination);
}

async function openSidecar(prefix: string, findings: Finding[]): Promise<Sidecar | undefined> {
  try {
    const sidecar = await readSidecar(prefix);
    if (!sidecar) {
      const message = `no ${prefix}.json says which tokenizer made the dataset`;
      findings.push({ code: 'no-sidecar', level: 'info', message });
    }
    return sidecar;
  } catch (error) {
    findings.push({ ...refusalFinding(error), level: 'warn' });
    return undefined;
  }
}

interface IdsRead {
  statistics: IdStatistics;
  specimens: Specimen[];
  extent: NonNullable<Examination['read']>;
}

async function readIds(
  given: Case & { index: Parameters<typeof readPieces>[0] },
  findings: Finding[],
): Promise<IdsRead | undefined> {
  const { prefix, bin, index, options } = given;
  const { dtype } = index.header;
  const { bytes: width } = TOKEN_DTYPES[dtype];
  const { tokenCount: tokens } = index.findings;
  const plan = planReading(tokens, width, options.full ?? false, options.sampleBytes ?? SAMPLE_BYTES);
  const statistics = createIdStatistics(dtype, width);
  const specimens = createSpecimens();
  let doneTokens = 0;
  try {
    const where = { binFile: `${prefix}.bin`, ...(options.signal && { signal: options.signal }) };
    for await (const piece of readPieces(index, bin, plan, where)) {
      statistics.add(piece);
      specimens.add(piece);
      doneTokens += piece.ids.length;
      options.onProgress?.({ doneTokens, tokens: plan.tokens });
    }
  } catch (error) {
    const hint = 'ids of 32 bits that were stored as int64 look like this; build the dataset again';
    findings.push(refusalFinding(error, dtype === 'int64' ? hint : undefined));
    return undefined;
  }
  const share = tokens === 0 ? 1 : plan.tokens / tokens;
  return {
    statistics: statistics.result(),
    specimens: specimens.result(),
    extent: { isWhole: plan.isWhole, tokens: plan.tokens, bytes: plan.tokens * width, share },
  };
}

/** What the ids, their ends, their repeats and their text say. */
async function judgeContent(
  given: Case & IdsRead & { index: IndexFile; sidecar: Sidecar | undefined },
  examination: Omit<Examination, 'ok' | 'seconds'>,
): Promise<void> {
  const { statistics, specimens, index, sidecar, target, tokenizer, options } = given;
  const { findings } = examination;
  const { lengths } = index.arrays;
  const idFindings = judgeIds(statistics, {
    dtype: index.header.dtype,
    target,
    sidecarVocabSize: sidecar?.tokenizer.vocabSize,
    isPacked: lengths.length > 0 && lengths.every((length) => length === lengths[0]),
  });
  findings.push(...idFindings);
  // Half ids, noise and labels have no ends, and no text worth a word more.
  const isText = !idFindings.some(({ code }) =>
    ['wrong-width', 'sft-file', 'negative-ids', 'random-ids'].includes(code),
  );
  if (isText) findings.push(...judgeTokenizer(statistics, target, sidecar?.tokenizer.eodToken === null));
  const repeated = judgeRepeats(statistics, given.extent.isWhole);
  if (repeated) findings.push(repeated);
  if (tokenizer && isText && specimens.length > 0) {
    findings.push(...judgeText(await runRoundTrip(specimens, tokenizer), tokenizer, sidecar));
  }
  const step = Math.max(1, Math.floor(specimens.length / Math.max(1, options.samples ?? 3)));
  const shown = specimens.filter((_, i) => i % step === 0).slice(0, options.samples ?? 3);
  for (const specimen of shown) {
    const text = tokenizer && (await decodeSpecimen(specimen, tokenizer));
    examination.samples.push({
      document: specimen.document,
      ids: Array.from(specimen.ids.subarray(0, 32)),
      ...(text !== undefined && { text: text.slice(0, 400) }),
    });
  }
}

function judgeRepeats({ repeats }: IdStatistics, isWhole: boolean): Finding | undefined {
  const { compared, repeats: count } = repeats;
  if (compared === 0) return undefined;
  const share = count / compared;
  const bound = isWhole ? '' : '; among all documents there are more, as most were not read';
  return {
    code: 'duplicates',
    level: share >= 0.05 && count > 1 ? 'warn' : 'info',
    message: `${percent(share)} of ${compared} documents compared repeat another one${count > 0 ? bound : ''}`,
    ...(share >= 0.05 && count > 1 && { advice: 'leave them out before building: cpt-mmap dedup' }),
    numbers: { compared, repeats: count, share },
  };
}

function mostFrequent(counts: ReadonlyMap<number, number>, limit: number): { id: number; documents: number }[] {
  return [...counts]
    .map(([id, documents]) => ({ id, documents }))
    .sort((a, b) => b.documents - a.documents || a.id - b.id)
    .slice(0, limit);
}

async function hashSource(source: ByteSource, signal: AbortSignal | undefined): Promise<string> {
  const hash = createHash('sha256');
  const chunk = 4 << 20;
  for (let offset = 0; offset < source.byteLength; offset += chunk) {
    hash.update(await source.read(offset, Math.min(chunk, source.byteLength - offset), signal));
  }
  return hash.digest('hex');
}
