// OUT/.ckpt-convert/   lock-N   journal   model-00001-of-00009.safetensors   …
//
// Files lie here until all of them are renamed. What a reader looks for, the index or the single model.safetensors, is renamed
// last; an output without it is not done.

import { join } from 'node:path';
import { CptError, InvalidInputError } from '@pai-cpt/core';
import { INDEX_FILE } from '@pai-cpt/safetensors';
import type { OutputFile, WrittenFile } from '../execute.ts';
import { type DiskCalls, diskError, naming } from './disk.ts';
import { type Journal, type JournalEntry, type JournalStart, parseJournal, serializeEntry } from './journal.ts';
import { acquireLock, requireUnlocked } from './lock.ts';
import {
  describeProcess,
  lockFolder,
  makeDirectory,
  namesIn,
  nodeDisk,
  readBytes,
  removeEmptyDirectory,
  removeFile,
  sizeOf,
  startHeartbeat,
} from './node.ts';
import { workFiles } from './work-files.ts';

export const WORK_FOLDER = '.ckpt-convert';
const JOURNAL = 'journal';
const LOCK = /^lock-\d+$/;

/** An output directory in the making, held by this process. */
export interface WorkingOutput {
  /** What an earlier process left, read under the lock. */
  readonly begun: Journal | undefined;
  /**
   * Begins the journal, or goes on with `begun`.
   * @returns the shards of an earlier process that are there in full.
   */
  start(start: JournalStart, goOn: boolean): Promise<ReadonlyMap<string, WrittenFile>>;
  createOutput(name: string): Promise<OutputFile>;
  /** Notes a shard as finished; only after its bytes are on the disk. */
  finishShard(file: WrittenFile): Promise<void>;
  addFile(name: string, content: string | Uint8Array): Promise<void>;
  /** Gives everything its final name: weights of `shards` after the rest, the last of `last` at the very end. */
  commit(last: readonly string[]): Promise<void>;
  /** Lets go. Removes what is not committed unless a later run can go on with it. */
  close(): Promise<void>;
}

/** What an unfinished conversion left in `directory`; undefined when there is none. */
export function readUnfinished(directory: string): Journal | undefined {
  const path = join(directory, WORK_FOLDER, JOURNAL);
  if (sizeOf(path) === undefined) return undefined;
  return parseJournal(Buffer.from(readBytes(path)).toString('utf8'), path);
}

/** @throws CptError `CPT_INPUT_OUTPUT_LOCKED` when another process works on `directory`. */
export async function requireNoWriter(directory: string): Promise<void> {
  const work = join(directory, WORK_FOLDER);
  await requireUnlocked(lockFolder(work), await describeProcess(), directory);
}

/**
 * Refuses a directory without an index or a single file of weights in which a conversion began.
 * @throws InvalidInputError `CPT_INPUT_FILE_MISSING`.
 */
export function requireFinished(directory: string): void {
  const names = namesIn(directory);
  if (!names.includes(WORK_FOLDER) || names.includes(INDEX_FILE) || names.includes('model.safetensors')) return;
  const unfinished = readUnfinished(directory);
  const done = unfinished ? `${unfinished.finished.size} of ${unfinished.start.outputShards} files are written` : '';
  throw new InvalidInputError(
    'CPT_INPUT_FILE_MISSING',
    `${directory}: its conversion is not finished${done && `: ${done}`}; go on with ckpt-convert to-hf … --resume`,
    { file: directory },
  );
}

/** Takes away the folder of one that was killed before its first entry in the journal or after its last file was in place. */
export async function removeLeftOver(directory: string): Promise<void> {
  const output = await openWorkingOutput(directory, nodeDisk);
  await output.close();
}

/** Makes the directory if need be and takes its lock. @throws CptError `CPT_INPUT_OUTPUT_LOCKED`, `CPT_DISK_…`. */
export async function openWorkingOutput(directory: string, disk: DiskCalls): Promise<WorkingOutput> {
  const work = join(directory, WORK_FOLDER);
  const files = workFiles(work, disk);
  const isNew = await makeDirectory(directory);
  await makeDirectory(work);
  const lock = await acquireLock(lockFolder(work), await describeProcess(), directory).catch((error: unknown) => {
    throw diskError(work, 'taking the lock', error);
  });
  const stopHeartbeat = startHeartbeat(work, lock.number);
  const pending = new Set<string>();
  const finished = new Map<string, WrittenFile>();
  let begun: Journal | undefined;
  let state: 'opened' | 'writing' | 'committing' | 'committed' = 'opened';

  const requireLock = async () => {
    if (await lock.isHeld()) return;
    const why = 'another process took this one for dead and writes here now; leave the work to it';
    throw new CptError('CPT_INPUT_OUTPUT_LOCKED', `${directory}: ${why}`, { file: directory });
  };
  const append = async (entry: JournalEntry) => {
    await requireLock();
    files.append(JOURNAL, serializeEntry(entry));
  };
  const release = async () => {
    stopHeartbeat();
    await lock.release();
    await removeEmptyDirectory(work);
  };
  const removeWork = (keep: (name: string) => boolean) => {
    for (const name of namesIn(work)) if (!LOCK.test(name) && !keep(name)) removeFile(files.path(name));
  };

  try {
    begun = readUnfinished(directory);
  } catch (error) {
    await release();
    throw error;
  }
  return {
    begun,
    async start(start, goOn) {
      const before = goOn ? begun : undefined;
      for (const [name, file] of before?.finished ?? []) {
        const isInWork = sizeOf(files.path(name)) === file.bytes;
        // Only after the commit began is a file under a final name ours; before that it may be an older one of equal size.
        const isInPlace = before?.isCommitting === true && sizeOf(join(directory, name)) === file.bytes;
        if (isInWork) pending.add(name);
        if (isInWork || isInPlace) finished.set(name, file);
      }
      state = before?.isCommitting ? 'committing' : 'writing';
      removeWork((name) => name === JOURNAL || finished.has(name));
      const entries: JournalEntry[] = [before?.start ?? start, ...[...finished.values()].map((shard) => ({ shard }))];
      if (state === 'committing') entries.push({ commit: true });
      // Whole and by renaming: a line that a kill cut in two must not have another one put behind it.
      files.write('journal.new', entries.map(serializeEntry).join(''));
      files.rename(files.path('journal.new'), files.path(JOURNAL));
      files.syncDirectory(work);
      return new Map(finished);
    },
    async createOutput(name) {
      pending.add(name);
      return files.create(name);
    },
    async finishShard(file) {
      files.syncDirectory(work);
      await append({ shard: file });
      finished.set(file.name, file);
    },
    async addFile(name, content) {
      pending.add(name);
      files.write(name, content);
    },
    async commit(last) {
      files.syncDirectory(work);
      if (state === 'writing') await append({ commit: true });
      await requireLock();
      state = 'committing';
      for (const name of staleFiles(namesIn(directory), last, pending)) {
        naming(join(directory, name), 'removing the file', () => removeFile(join(directory, name)));
      }
      const rest = [...pending].filter((name) => !last.includes(name));
      const order = [...rest, ...last.filter((name) => pending.has(name))];
      const final = order.pop();
      for (const name of order) files.rename(files.path(name), join(directory, name));
      files.syncDirectory(directory);
      if (final !== undefined) files.rename(files.path(final), join(directory, final));
      files.syncDirectory(directory);
      state = 'committed';
    },
    async close() {
      files.closeAll();
      // What was there when this one was refused is not this one's to remove.
      const isRefused = state === 'opened' && begun !== undefined;
      const canGoOn = isRefused || state === 'committing' || (state === 'writing' && finished.size > 0);
      const isOurs = await lock.isHeld();
      if (isOurs && !isRefused) removeWork((name) => canGoOn && (name === JOURNAL || finished.has(name)));
      await release();
      if (isOurs && isNew && state !== 'committed' && !canGoOn) await removeEmptyDirectory(directory);
    },
  };
}

/** Weights of an earlier conversion: the index first, so that no index names a removed file. Files in place already are not among them. */
function staleFiles(names: readonly string[], ours: readonly string[], pending: ReadonlySet<string>): string[] {
  const weights = names.filter((name) => name.endsWith('.safetensors') && !(ours.includes(name) && !pending.has(name)));
  return [...names.filter((name) => name === INDEX_FILE), ...weights];
}
