// OUT/.ckpt-convert/   lock-N   journal   model-00001-of-00009.safetensors   iter_0000100/mp_rank_00/model_optim_rng.pt   …
//
// Files lie here until all of them are renamed. What a reader looks for, the index, the single model.safetensors or the tracker file,
// is renamed last; an output without it is not done. Of a conversion in parts see parts.ts.

import { dirname, join } from 'node:path';
import { CptError, InvalidInputError } from '@pai-cpt/core';
import { INDEX_FILE, SINGLE_FILE } from '@pai-cpt/safetensors';
import type { OutputFile, WrittenFile } from '../execute.ts';
import { type DiskCalls, diskError } from './disk.ts';
import { type Journal, type JournalEntry, type JournalStart, serializeEntry } from './journal.ts';
import { acquireLock, requireUnlocked } from './lock.ts';
import {
  describeProcess,
  isDirectory,
  lockFolder,
  makeDirectory,
  namesIn,
  nodeDisk,
  removeEmptyDirectory,
  sizeOf,
  startHeartbeat,
} from './node.ts';
import { unfinishedParts } from './parts.ts';
import { readJournal } from './read-journal.ts';
import { workFiles } from './work-files.ts';

export const WORK_FOLDER = '.ckpt-convert';
const JOURNAL = 'journal';
/** Where a directory goes whose name another one gets. */
const REPLACED = 'replaced';
const LOCK = /^lock-\d+$/;

/** In which order files get their final names: those beside the weights, the weights, `final`. */
export interface CommitOrder {
  /** Every file of weights, also those of an earlier process. */
  readonly weights: readonly string[];
  /** What makes the output whole for a reader. */
  readonly final: string;
  /** True for a name in the output that must not stay beside the new ones. */
  isStale(name: string): boolean;
}

/** An output directory in the making, held by this process. */
export interface WorkingOutput {
  /** What an earlier process left, read under the lock. */
  readonly begun: Journal | undefined;
  /**
   * Begins the journal, or goes on with `begun`; `already` are files that others finished for it.
   * @returns the files of earlier processes that are there in full.
   */
  start(
    start: JournalStart,
    goOn: boolean,
    already?: ReadonlyMap<string, WrittenFile>,
  ): Promise<ReadonlyMap<string, WrittenFile>>;
  /** Where files are before they get their final names. */
  readonly folder: string;
  createOutput(name: string): Promise<OutputFile>;
  /** Notes a file as finished; only after its bytes are on the disk. */
  finishFile(file: WrittenFile): Promise<void>;
  addFile(name: string, content: string | Uint8Array): Promise<void>;
  /** Gives everything its final name. */
  commit(order: CommitOrder): Promise<void>;
  /** Removes what is in the folder of work, the journal last. */
  clear(): void;
  /** Lets go. Removes what is not committed unless a later run can go on with it. */
  close(): Promise<void>;
}

/** What an unfinished conversion left in `directory`; undefined when there is none. */
export function readUnfinished(directory: string): Journal | undefined {
  const work = join(directory, WORK_FOLDER);
  return readJournal(join(work, JOURNAL)) ?? unfinishedParts(work);
}

/** @throws CptError `CPT_INPUT_OUTPUT_LOCKED` when another process works on `directory`. */
export async function requireNoWriter(directory: string): Promise<void> {
  await requireUnlocked(lockFolder(join(directory, WORK_FOLDER)), describeProcess(), directory);
  await requireNoPart(directory);
}

/** @throws CptError `CPT_INPUT_OUTPUT_LOCKED` when another process works on a part of `directory`. */
export async function requireNoPart(directory: string): Promise<void> {
  const mine = describeProcess();
  const work = join(directory, WORK_FOLDER);
  for (const name of namesIn(work).filter((entry) => isDirectory(join(work, entry)))) {
    await requireUnlocked(lockFolder(join(work, name)), mine, directory);
  }
}

/**
 * Refuses a directory without an index or a single file of weights in which a conversion began.
 * @throws InvalidInputError `CPT_INPUT_FILE_MISSING`.
 */
export function requireFinished(directory: string): void {
  const names = namesIn(directory);
  if (!names.includes(WORK_FOLDER) || names.includes(INDEX_FILE) || names.includes(SINGLE_FILE)) return;
  const unfinished = readUnfinished(directory);
  const done = unfinished ? `${unfinished.finished.size} of ${unfinished.start.outputShards} files are written` : '';
  const goOn = `go on with ckpt-convert to-hf … ${unfinished ? wayOn(unfinished) : '--resume'}`;
  throw new InvalidInputError(
    'CPT_INPUT_FILE_MISSING',
    `${directory}: its conversion is not finished${done && `: ${done}`}; ${goOn}`,
    { file: directory },
  );
}

/** The option that goes on with an unfinished conversion. */
export function wayOn({ start }: Journal): string {
  const { parts } = start.facts;
  return parts === undefined ? '--resume' : `--part I/${parts}`;
}

/** Takes away the folder of one that was killed before its first entry in the journal or after its last file was in place. */
export async function removeLeftOver(directory: string): Promise<void> {
  const output = await openWorkingOutput(directory, nodeDisk);
  try {
    output.clear();
  } finally {
    await output.close();
  }
}

/** True when `directory` has a folder of work that is not an unfinished conversion. */
export function hasLeftOver(directory: string): boolean {
  if (!namesIn(directory).includes(WORK_FOLDER)) return false;
  return readUnfinished(directory)?.isDone !== false;
}

/**
 * Makes the directory if need be and takes its lock, or with `part` that of one part: a folder in the folder of work.
 * @throws CptError `CPT_INPUT_OUTPUT_LOCKED`, `CPT_DISK_…`.
 */
export async function openWorkingOutput(directory: string, disk: DiskCalls, part?: string): Promise<WorkingOutput> {
  const work = join(directory, WORK_FOLDER);
  const own = part === undefined ? work : join(work, part);
  const files = workFiles(work, disk);
  const journalPath = join(own, JOURNAL);
  const isNew = makeDirectory(directory);
  makeDirectory(own);
  const lock = await acquireLock(lockFolder(own), describeProcess(), directory).catch((error: unknown) => {
    throw diskError(own, 'taking the lock', error);
  });
  const stopHeartbeat = startHeartbeat(own, lock.number);
  const pending = new Set<string>();
  const finished = new Map<string, WrittenFile>();
  let begun: Journal | undefined;
  let state: 'opened' | 'cleared' | 'writing' | 'committing' | 'committed' = 'opened';

  const requireLock = async () => {
    if (await lock.isHeld()) return;
    const why = 'another process took this one for dead and writes here now; leave the work to it';
    throw new CptError('CPT_INPUT_OUTPUT_LOCKED', `${directory}: ${why}`, { file: directory });
  };
  const append = async (entry: JournalEntry) => {
    await requireLock();
    files.append(journalPath, serializeEntry(entry));
  };
  const release = async () => {
    stopHeartbeat();
    await lock.release();
    removeEmptyDirectory(own);
  };
  const removeAll = () => {
    for (const name of withJournalLast(namesIn(work))) if (!LOCK.test(name)) files.remove(files.path(name));
  };
  /** A part removes only what it began; the folder is not its own. */
  const removeUnfinished = (keepsJournal: boolean) => {
    const keeps = (name: string) => finished.has(name) || (name === JOURNAL && keepsJournal);
    if (part === undefined) {
      const top = new Set([...finished.keys()].map(topOf));
      for (const name of withJournalLast(namesIn(work))) {
        if (!LOCK.test(name) && !keeps(name) && !top.has(name)) files.remove(files.path(name));
      }
    } else if (!keepsJournal) files.remove(journalPath);
    for (const name of pending) if (!keeps(name)) files.remove(files.path(name));
  };

  try {
    begun = readJournal(journalPath);
  } catch (error) {
    await release();
    throw error;
  }
  return {
    begun,
    folder: work,
    async start(start, goOn, already = new Map()) {
      const before = goOn ? begun : undefined;
      for (const [name, file] of [...(before?.finished ?? []), ...already]) {
        const isInWork = sizeOf(files.path(name)) === file.bytes;
        // Only after the commit began is a file under a final name ours; before that it may be an older one of equal size.
        const isInPlace = before?.isCommitting === true && sizeOf(join(directory, name)) === file.bytes;
        if (isInWork) pending.add(name);
        if (isInWork || isInPlace) finished.set(name, file);
      }
      state = before?.isCommitting ? 'committing' : 'writing';
      if (already.size === 0) removeUnfinished(true);
      const entries: JournalEntry[] = [before?.start ?? start, ...[...finished.values()].map((shard) => ({ shard }))];
      if (state === 'committing') entries.push({ commit: true });
      // Whole and by renaming: a line that a kill cut in two must not have another one put behind it.
      files.write(`${journalPath}.new`, entries.map(serializeEntry).join(''));
      files.rename(`${journalPath}.new`, journalPath);
      files.syncDirectory(own);
      return new Map(finished);
    },
    async createOutput(name) {
      await requireLock(); // opening empties the file, which an heir may have finished
      pending.add(name);
      return files.create(files.path(name));
    },
    async finishFile(file) {
      for (let at = dirname(files.path(file.name)); at.startsWith(work); at = dirname(at)) files.syncDirectory(at);
      pending.add(file.name);
      await append({ shard: file });
      finished.set(file.name, file);
    },
    async addFile(name, content) {
      const parent = dirname(files.path(name));
      // A directory gets its name as a whole: where it is not here any more, it is in its place with all that belongs in it.
      if (parent !== work && !isDirectory(parent)) return;
      pending.add(name);
      files.write(files.path(name), content);
      if (parent !== work) files.syncDirectory(parent);
    },
    async commit({ weights, final, isStale }) {
      files.syncDirectory(work);
      if (state === 'writing') await append({ commit: true });
      await requireLock();
      state = 'committing';
      const entries = new Set([...pending].map(topOf));
      const isInPlace = (name: string) => weights.includes(name) && !pending.has(name);
      const stale = namesIn(directory).filter((name) => isStale(name) && !isInPlace(name));
      // The index first, so that none names a removed file.
      for (const name of stale.sort((a, b) => Number(b === INDEX_FILE) - Number(a === INDEX_FILE))) {
        files.remove(join(directory, name));
      }
      const ofWeights = new Set(weights.map(topOf));
      const order = [...entries].filter((name) => !ofWeights.has(name) && name !== final);
      order.push(...[...ofWeights].filter((name) => entries.has(name) && name !== final));
      const rename = (name: string) => {
        const path = join(directory, name);
        if (isDirectory(path) && isDirectory(files.path(name))) {
          files.remove(files.path(REPLACED));
          files.rename(path, files.path(REPLACED));
        }
        files.rename(files.path(name), path);
      };
      for (const name of order) rename(name);
      files.syncDirectory(directory);
      if (entries.has(final)) rename(final);
      files.syncDirectory(directory);
      state = 'committed';
      await append({ done: true });
    },
    clear() {
      removeAll();
      state = 'cleared';
    },
    async close() {
      files.closeAll();
      const canGoOn = state === 'committing' || (state === 'writing' && finished.size > 0);
      const isOurs = await lock.isHeld();
      try {
        if (isOurs && state === 'committed') removeAll();
        // What was there when this one was refused is not this one's to remove.
        else if (isOurs && state !== 'opened') removeUnfinished(canGoOn);
      } finally {
        await release();
      }
      if (isOurs && isNew && state !== 'committed' && !canGoOn) removeEmptyDirectory(directory);
    },
  };
}

/** The directory or file of the output in which a file lies. */
const topOf = (name: string): string => name.slice(0, `${name}/`.indexOf('/'));

/** Whoever comes after a kill in between knows by the journal what the files under final names are. */
function withJournalLast(names: readonly string[]): string[] {
  return [...names.filter((name) => name !== JOURNAL), ...names.filter((name) => name === JOURNAL)];
}
