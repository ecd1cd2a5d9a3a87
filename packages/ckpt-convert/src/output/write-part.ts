import { join } from 'node:path';
import { CptError } from '@pai-cpt/core';
import type { ExecuteOptions, WrittenFile } from '../execute.ts';
import type { DiskCalls } from './disk.ts';
import { type JournalStart, requireSameWork, serializeEntry } from './journal.ts';
import { namesIn, pause } from './node.ts';
import {
  hasLeftOver,
  openWorkingOutput,
  removeLeftOver,
  requireNoPart,
  WORK_FOLDER,
  type WorkingOutput,
} from './output-directory.ts';
import type { OutputJob } from './output-job.ts';
import {
  endedFiles,
  endedMark,
  filesOfPart,
  PARTS_FILE,
  type Part,
  type PartResult,
  partFolder,
  partsState,
  requirePart,
} from './parts.ts';
import { readJournal } from './read-journal.ts';
import { workFiles } from './work-files.ts';
import {
  commitOutput,
  makeWeights,
  requireSame,
  requireUnchanged,
  startOf,
  type WrittenOutput,
} from './write-output.ts';

/** A part that comes holds the common lock for a few milliseconds, one that commits for as long as its renames take. */
const WAIT_MS = 10_000;
const RETRY_MS = 50;

/**
 * Writes the files of one part, and commits the whole when no other part is outstanding. Goes on with what an earlier run of the part
 * left: nothing tells a first start from a restart.
 */
export async function writePart(
  given: OutputJob,
  part: Part,
  disk: DiskCalls,
  options: ExecuteOptions,
): Promise<WrittenOutput> {
  requirePart(part);
  const job = { ...given, facts: { ...given.facts, parts: part.of } };
  const names = new Set(filesOfPart(job.weights, part).map(({ name }) => name));
  const shared: Shared = { job, part, start: startOf(job), work: join(job.directory, WORK_FOLDER), disk, options };
  let mayReplace = false;
  let joined = job.isFilled ? undefined : await joinParts(shared, mayReplace);
  if (!joined) {
    const files = await finishedBefore(shared, names);
    if (files) return { files, resumed: true, part: { ...part, whole: true, outstanding: [] } };
    mayReplace = true;
    joined = await joinParts(shared, mayReplace);
  }
  const { own, ended } = joined as Joined;
  try {
    if (ended) {
      const files = [...ended.values()].filter(({ name }) => names.has(name));
      return { files, resumed: true, part: await commitIfLast(shared) };
    }
    const resumed = own.begun !== undefined;
    const finished = await own.start(shared.start, resumed);
    const files = await makeWeights(job, names, own, disk, { ...options, finished });
    requireUnchanged(job, shared.start);
    options.signal?.throwIfAborted();
    putMark(shared, files);
    return { files, resumed, part: await commitIfLast(shared) };
  } finally {
    await own.close();
  }
}

interface Shared {
  readonly job: OutputJob;
  readonly part: Part;
  readonly start: JournalStart;
  readonly work: string;
  readonly disk: DiskCalls;
  readonly options: ExecuteOptions;
}

interface Joined {
  readonly own: WorkingOutput;
  /** The files of this part, and maybe of others, when it ended in an earlier run. */
  readonly ended: ReadonlyMap<string, WrittenFile> | undefined;
}

/**
 * The files of this part in an output that is whole. With `force` too: a part that is run again when all is done must not begin anew.
 * @returns undefined when the output is another one that may be replaced.
 */
async function finishedBefore({ job, disk, options }: Shared, names: ReadonlySet<string>) {
  try {
    const files = await requireSame(job, names, disk, options);
    if (hasLeftOver(job.directory)) await removeLeftOver(job.directory).catch(() => {}); // somebody else tidies up
    return files;
  } catch (error) {
    if (job.force && CptError.isInstance(error) && error.code === 'CPT_INPUT_OUTPUT_EXISTS') return undefined;
    throw error;
  }
}

/** Takes the part, and makes the shared conversion when this part is the first. @returns undefined for an output that is whole. */
async function joinParts(shared: Shared, mayReplace: boolean): Promise<Joined | undefined> {
  const { job, start, part, work, disk } = shared;
  const { directory, force } = job;
  const main = await openWhenFree(shared);
  try {
    const begun = main.begun ?? readJournal(join(work, PARTS_FILE));
    const isOther = begun !== undefined && !isSameWork(begun.start, start);
    if (isOther && !force) requireSameWork(begun.start, start, directory);
    if (isOther) {
      await requireNoPart(directory);
      main.clear();
    }
    if (!begun || isOther) {
      if (!mayReplace && namesIn(directory).some((name) => name !== WORK_FOLDER)) return undefined;
      replaceFile(shared, PARTS_FILE, serializeEntry(start));
    }
    const own = await openWorkingOutput(directory, disk, partFolder(part));
    const isCommitting = !isOther && main.begun !== undefined;
    const ended = isCommitting ? main.begun : readJournal(join(work, endedMark(part)));
    return { own, ended: ended?.finished };
  } finally {
    await main.close();
  }
}

/** The common lock, waited for a while. @throws CptError `CPT_INPUT_OUTPUT_LOCKED`. */
async function openWhenFree({ job, disk, options }: Shared): Promise<WorkingOutput> {
  const until = performance.now() + WAIT_MS;
  for (;;) {
    const failure = await openWorkingOutput(job.directory, disk).catch((error: unknown) => ({ error }));
    if (!('error' in failure)) return failure;
    if (!isLocked(failure.error) || performance.now() > until) throw failure.error;
    await pause(RETRY_MS, options.signal);
  }
}

const isLocked = (error: unknown) => CptError.isInstance(error) && error.code === 'CPT_INPUT_OUTPUT_LOCKED';

function isSameWork(a: JournalStart, b: JournalStart): boolean {
  try {
    requireSameWork(a, b, '');
    return true;
  } catch {
    return false;
  }
}

function replaceFile({ work, disk }: Shared, name: string, content: string): void {
  const files = workFiles(work, disk);
  try {
    files.write(files.path(`${name}.new`), content);
    files.rename(files.path(`${name}.new`), files.path(name));
    files.syncDirectory(work);
  } finally {
    files.closeAll();
  }
}

function putMark(shared: Shared, files: readonly WrittenFile[]): void {
  const entries = [shared.start, ...files.map((shard) => ({ shard }))];
  replaceFile(shared, endedMark(shared.part), entries.map(serializeEntry).join(''));
}

async function commitIfLast(shared: Shared): Promise<PartResult> {
  const { job, part, work, disk, options } = shared;
  const until = performance.now() + WAIT_MS;
  for (;;) {
    const { isGone, outstanding } = partsState(work, part.of);
    if (isGone) return { ...part, whole: true, outstanding };
    if (outstanding.length > 0) return { ...part, whole: false, outstanding };
    const main = await openWorkingOutput(job.directory, disk).catch((error: unknown) => {
      if (isLocked(error)) return undefined;
      throw error;
    });
    if (!main) {
      // Whoever holds it commits, or counts the marks itself when it has let go.
      if (performance.now() > until) return { ...part, whole: false, outstanding };
      await pause(RETRY_MS, options.signal);
      continue;
    }
    try {
      const { isGone: isCommitted, outstanding: left } = partsState(work, part.of);
      if (!isCommitted && left.length === 0) await commitParts(shared, main);
    } finally {
      await main.close();
    }
  }
}

async function commitParts({ job, part, start, work }: Shared, main: WorkingOutput): Promise<void> {
  const already = main.begun ? new Map<string, WrittenFile>() : endedFiles(work, part.of);
  const finished = await main.start(start, main.begun !== undefined, already);
  const lost = job.weights.find(({ name }) => !finished.has(name));
  if (lost) {
    const why = `"${lost.name}" was finished by a part and is not there in full any more`;
    throw new CptError('CPT_DISK_FAILED', `${job.directory}: ${why}; start over with --force`, { file: lost.name });
  }
  await commitOutput(job, main);
}
