import type { CptError } from '@pai-cpt/core';
import { createBadLog } from './build/bad-log.ts';
import { type BuildCounts, badCount, NO_COUNTS } from './build/counts.ts';
import { describeStart } from './build/describe-start.ts';
import { emptyDatasetError, explainError, hasCode, listedIn } from './build/explain-failure.ts';
import { LOCAL_FILES } from './build/files/build-files.ts';
import { startFilesThread } from './build/files/node.ts';
import { type FinishedParts, finishParts } from './build/finish.ts';
import { openPool } from './build/open-pool.ts';
import { copyOver, type GrowingFile, openGrowing } from './build/output/node.ts';
import { openPartWriter, type PartWriter } from './build/output/part-writer.ts';
import type { EncoderPool } from './build/pool.ts';
import { RANGE_BYTES } from './build/range/line-range.ts';
import type { Checkpoint, Prepared, RunState } from './build/resume/journal.ts';
import { giveNames, openWorkFolder, type WorkFolder, workFolder } from './build/resume/node.ts';
import { encodeInputs } from './build/run.ts';
import { writtenWarnings } from './build/written-warnings.ts';
import { type BuildOptions, type BuildPlan, bytesOf, planBuild, rejectsName } from './build-plan.ts';
import { BATCH_BYTES } from './documents/batch.ts';
import { STDIN } from './documents/input-file.ts';
import { processorSeconds, refuseExisting } from './node.ts';
import type { SidecarInput } from './sidecar.ts';
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
  /** Records left out, for whatever reason; by reason in `droppedByReason`. */
  dropped: number;
  droppedByReason: BuildCounts['dropped'];
  /** The list of bad records, when there were any. */
  rejects?: string;
  /** Documents of more than `maxDocTokens` tokens, which became several. */
  splitDocuments: number;
  /** Documents in which U+FFFD stands for wrong bytes. */
  replaced: number;
  /** How often texts spelt an added token, and in how many documents. */
  addedTokens: { count: number; documents: number };
  /** Files that began with a byte order mark, which was left out. */
  byteOrderMarks: number;
  heldOut?: BuiltPart;
  /** Of this run: what an interrupted one did before is not in it. */
  seconds: number;
  /** Processor seconds of this run, all threads. */
  cpuSeconds: number;
  warnings: string[];
}

/** What tests and measurements set. */
export interface BuildTuning {
  batchBytes?: number;
  /** Time between two points where a later run could go on. */
  checkpointMs?: number;
  /** Options of Node for worker threads. */
  execArgv?: string[];
}

const CHECKPOINT_MS = 5000;
const REJECTS = 'rejects.jsonl';

/**
 * Builds a dataset from raw text: documents → ids → `.bin`, `.idx` and the sidecar. The same inputs and options give the same
 * bytes, whatever the number of workers. Until everything is written it lies in the folder `PREFIX.build`; nothing has its final
 * name before that. An error or abort removes the folder, unless the build had come as far as a checkpoint: then the same call
 * goes on from there.
 * @throws InvalidInputError `CPT_INPUT_…`; FormatError with file, line and byte for a bad input.
 */
export async function buildDataset(options: BuildOptions, tuning: BuildTuning = {}): Promise<BuildResult> {
  const start = { seconds: performance.now() / 1000, cpuSeconds: processorSeconds() };
  const plan = await planBuild(options);
  const work = await openWorkFolder(plan.prefix, describeStart(plan, options), options.restart ?? false);
  let keeps = work.resumed !== undefined;
  const onKept = () => {
    keeps = true;
  };
  try {
    const { resumed } = work;
    // Whoever held the folder until now may have finished the very dataset.
    if (!options.force && resumed?.kind !== 'prepared')
      for (const part of plan.parts) await refuseExisting(part.prefix);
    const prepared =
      resumed?.kind === 'prepared' ? resumed : await prepare({ plan, options, tuning, work, onKept, resumed });
    const result = prepared.result as BuildResult;
    await giveNames(prepared.renames, result.rejects === undefined ? [rejectsName(plan.prefix)] : []);
    await work.remove();
    return {
      ...result,
      eodToken: plan.eodToken,
      seconds: performance.now() / 1000 - start.seconds,
      cpuSeconds: processorSeconds() - start.cpuSeconds,
    };
  } catch (error) {
    const known = explainError(error, plan.prefix);
    if (!keeps || hasCode(known, 'CPT_INPUT_EMPTY_DATASET')) await work.remove();
    else {
      await work.release();
      options.onNotice?.(
        `${workFolder(plan.prefix)} keeps what is done: the same command continues it, --restart drops it`,
      );
    }
    throw known;
  }
}

interface Preparation {
  plan: BuildPlan;
  options: BuildOptions;
  tuning: BuildTuning;
  work: WorkFolder;
  /** Called when there is something that a later run can go on with. */
  onKept(): void;
  resumed: Checkpoint | undefined;
}

/** Writes all files into the work folder. */
async function prepare(preparation: Preparation): Promise<Prepared> {
  const { plan, options, tuning, work, onKept, resumed } = preparation;
  const isResumable = plan.inputs.every(({ path }) => path !== STDIN);
  if (!isResumable)
    options.onNotice?.(
      'stdin is read once: an interrupted build of it cannot be continued and keeps nothing; one of files can',
    );
  const state: RunState = resumed
    ? structuredClone({ ...resumed, counts: resumed.counts })
    : { input: 0, lines: 0, documents: 0, counts: structuredClone(NO_COUNTS) };
  if (resumed) options.onNotice?.(`continues an unfinished build: ${resumed.documents} documents are there`);
  const records: SidecarInput[] = [...(resumed?.records ?? [])];
  const writers: PartWriter[] = [];
  let rejects: GrowingFile | undefined;
  let pool: EncoderPool | undefined;
  const files = plan.workers === 0 ? LOCAL_FILES : startFilesThread(tuning.execArgv);
  const { openBin } = files;
  try {
    for (const [i, { part, prefix }] of plan.parts.entries()) {
      const [binPath, lengthsPath] = [work.path(`${part}.bin`), work.path(`${part}.lengths`)];
      const known = resumed?.parts[i];
      writers.push(
        await openPartWriter({
          name: prefix,
          dtype: plan.dtype,
          binPath,
          lengthsPath,
          openBin,
          ...(known && { state: known }),
        }),
      );
    }
    rejects = await openGrowing(work.path(REJECTS), resumed?.rejectsBytes ?? 0);
    const { rules, maxBad } = plan;
    const badLog = createBadLog({
      rules,
      maxBad,
      counts: state.counts,
      file: rejects,
      fileBytes: resumed?.rejectsBytes ?? 0,
    });
    const checkpoint = createCheckpoint({ state, records, writers, work, flushRejects: badLog.flush, resumed });
    const earlier = resumed && {
      bytesRead: bytesDone(plan, resumed),
      tokens: tokensOf(writers),
    };
    const startMs = performance.now();
    let lastMs = startMs;
    const isDone = state.input === plan.inputs.length;
    if (!isDone) {
      pool = await openPool(plan, rules, tuning.execArgv);
      await encodeInputs({
        inputs: plan.inputs,
        read: {
          textKey: rules.textKey,
          splitParagraphs: options.splitParagraphs ?? false,
          maxLine: plan.maxLine,
          batchBytes: tuning.batchBytes ?? BATCH_BYTES,
          rangeBytes: tuning.batchBytes ?? RANGE_BYTES,
        },
        limit: plan.limit,
        pool,
        files,
        parts: writers,
        isHeldOut: caughtUp(plan.createHeldOutChoice(), state.documents),
        badLog,
        state,
        records,
        onProgress: (progress) => {
          const seconds = (performance.now() - startMs) / 1000;
          options.onProgress?.({ ...progress, bytesTotal: plan.bytesTotal, seconds, ...(earlier && { earlier }) });
        },
        async onSafePoint() {
          if (!isResumable || performance.now() - lastMs < (tuning.checkpointMs ?? CHECKPOINT_MS)) return;
          await checkpoint();
          onKept();
          lastMs = performance.now();
        },
        signal: options.signal,
      });
      await pool.close();
      state.input = plan.inputs.length; // also where a limit ended the build
      if (isResumable) await checkpoint();
    }
    if (tokensOf(writers) === 0) {
      if ((await badLog.flush()) > 0) await copyOver(work.path(REJECTS), rejectsName(plan.prefix));
      throw emptyDatasetError(plan.prefix, state.counts, rejectsName(plan.prefix));
    }
    const finished = await finishParts(plan, options, work, writers, { records, counts: state.counts });
    const rejectsBytes = await badLog.flush();
    if (rejectsBytes > 0) finished.renames.unshift([work.path(REJECTS), rejectsName(plan.prefix)]);
    const prepared: Prepared = { kind: 'prepared', ...toResult(plan, finished, state.counts, rejectsBytes > 0) };
    options.signal?.throwIfAborted();
    if (isResumable) await work.note(prepared);
    onKept();
    return prepared;
  } catch (error) {
    if (hasCode(error, 'CPT_INPUT_TOO_MANY_BAD')) {
      await copyOver(work.path(REJECTS), rejectsName(plan.prefix));
      throw listedIn(error as CptError, rejectsName(plan.prefix));
    }
    throw error;
  } finally {
    await pool?.close();
    await Promise.all(writers.map((writer) => writer.close()));
    await rejects?.close();
    await files.close();
  }
}

/** Bytes of the inputs that need not be read again. */
function bytesDone({ inputs }: BuildPlan, { input, resumeAt }: RunState): number {
  const from = inputs[input]?.range?.from ?? 0;
  return inputs
    .slice(0, input)
    .reduce((sum, done) => sum + bytesOf(done), resumeAt === undefined ? 0 : resumeAt - from);
}

const tokensOf = (writers: readonly PartWriter[]): number => writers.reduce((sum, { tokens }) => sum + tokens, 0);

/** The choice as it stands after `documents` documents: it is asked for each in order. */
function caughtUp(isHeldOut: (document: number) => boolean, documents: number): (document: number) => boolean {
  for (let i = 0; i < documents; i++) isHeldOut(i);
  return isHeldOut;
}

/** Notes how far the build has come, so that a later run can go on from here. */
function createCheckpoint(run: {
  state: RunState;
  records: SidecarInput[];
  writers: readonly PartWriter[];
  work: WorkFolder;
  flushRejects(): Promise<number>;
  resumed: Checkpoint | undefined;
}): () => Promise<void> {
  const { state, records, writers, work } = run;
  let noted = run.resumed?.records.length ?? 0;
  return async () => {
    const parts = await Promise.all(writers.map((writer) => writer.checkpoint()));
    const rejectsBytes = await run.flushRejects();
    await work.note({ ...state, kind: 'checkpoint', records: records.slice(noted), parts, rejectsBytes });
    noted = records.length;
  };
}

function toResult(
  plan: BuildPlan,
  { summaries, renames }: FinishedParts,
  counts: BuildCounts,
  hasRejects: boolean,
): Omit<Prepared, 'kind'> {
  const [main, heldOut] = plan.parts.map(({ prefix }, i) => ({ prefix, ...(summaries[i] as DatasetSummary) }));
  const result: Omit<BuildResult, 'seconds' | 'cpuSeconds'> = {
    ...(main as BuiltPart),
    dtype: plan.dtype,
    vocabSize: plan.tokenizer.vocabSize,
    eodToken: plan.eodToken,
    dropped: counts.dropped.empty + badCount(counts),
    droppedByReason: counts.dropped,
    ...(hasRejects && { rejects: rejectsName(plan.prefix) }),
    splitDocuments: counts.splitDocuments,
    replaced: counts.replaced,
    addedTokens: { count: counts.addedTokens, documents: counts.addedTokenDocuments },
    byteOrderMarks: counts.byteOrderMarks,
    ...(heldOut && { heldOut }),
    warnings: [...plan.warnings, ...writtenWarnings(plan, counts, main as BuiltPart)],
  };
  return { renames, result };
}
