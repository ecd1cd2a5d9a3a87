import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { InvalidInputError } from '@pai-cpt/core';
import { commitFile } from '@pai-cpt/core/node';
import {
  type Checkpoint,
  findResumePoint,
  type Journal,
  type JournalEntry,
  type JournalStart,
  type Prepared,
  parseJournal,
  serializeEntry,
} from './journal.ts';
import { isLockFile, takeLock } from './lock/node.ts';

const JOURNAL = 'journal.ndjson';

/** Where a build keeps what is not finished: a folder beside its output. */
export const workFolder = (prefix: string): string => `${prefix}.build`;

/** The folder of one build, held by this process. */
export interface WorkFolder {
  path(name: string): string;
  /** Where an earlier run left off. */
  readonly resumed: Checkpoint | Prepared | undefined;
  /** Adds to the journal. @throws InvalidInputError `CPT_INPUT_BUILD_RUNNING` when another process has taken the folder over. */
  note(entry: JournalEntry): Promise<void>;
  /** Lets go of the folder, which stays for a later run. */
  release(): Promise<void>;
  /** Removes the folder. */
  remove(): Promise<void>;
}

/** What an earlier run left beside `prefix`, if anything. */
export async function readJournal(prefix: string): Promise<Journal | undefined> {
  const text = await readFile(join(workFolder(prefix), JOURNAL), 'utf8').catch(() => undefined);
  return text === undefined ? undefined : parseJournal(text);
}

/**
 * Takes the work folder of `prefix`. What an earlier run left there is gone on with when it was asked for the same, and has come as
 * far as a checkpoint; `restart` throws it away.
 * @throws InvalidInputError `CPT_INPUT_BUILD_RUNNING`, `CPT_INPUT_RESUME_MISMATCH`, or `CPT_INPUT_OUTPUT_EXISTS` for a folder of
 * somebody else.
 */
export async function openWorkFolder(prefix: string, start: JournalStart, restart: boolean): Promise<WorkFolder> {
  const folder = workFolder(prefix);
  await mkdir(folder, { recursive: true });
  await refuseForeign(folder);
  const lock = await takeLock(folder);
  let journalFile: FileHandle | undefined;
  const release = async () => {
    await journalFile?.close();
    journalFile = undefined;
    await lock.release();
  };
  try {
    const found = restart ? undefined : await readJournal(prefix);
    const resumed =
      found && (found.prepared || found.checkpoints.length > 0) ? await resume(prefix, found, start) : undefined;
    if (!resumed) await clear(folder);
    journalFile = await open(join(folder, JOURNAL), 'a');
    const note = async (entry: JournalEntry) => {
      if (!(await lock.isHeld())) throw lostError(folder);
      await journalFile?.appendFile(serializeEntry(entry));
    };
    if (resumed)
      await journalFile.appendFile('\n'); // ends a line that a killed process left cut
    else await note(start);
    return {
      path: (name) => join(folder, name),
      resumed,
      note,
      release,
      async remove() {
        await journalFile?.close();
        journalFile = undefined;
        if (await lock.isHeld()) await rm(folder, { recursive: true, force: true }); // with the lock: nobody comes in between
        await release();
      },
    };
  } catch (error) {
    await release();
    throw error;
  }
}

/** A folder of this name with other things in it is not ours to empty. */
async function refuseForeign(folder: string): Promise<void> {
  const names = await readdir(folder);
  if (names.length === 0 || names.includes(JOURNAL) || names.some(isLockFile)) return;
  throw new InvalidInputError(
    'CPT_INPUT_OUTPUT_EXISTS',
    `${folder}: is needed for the unfinished build and holds other files; move them or choose another output`,
    { file: folder },
  );
}

async function clear(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!isLockFile(name)) await rm(join(folder, name), { recursive: true, force: true });
  }
}

async function resume(prefix: string, journal: Journal, start: JournalStart): Promise<Checkpoint | Prepared> {
  const found = await findResumePoint(journal, start, async (path, { sha256 }) => (await digestOf(path)) === sha256);
  if ('checkpoint' in found) return journal.prepared ?? found.checkpoint;
  const shown = found.differences.slice(0, 5).join('; ');
  const more = found.differences.length > 5 ? ` and ${found.differences.length - 5} more` : '';
  throw new InvalidInputError(
    'CPT_INPUT_RESUME_MISMATCH',
    `${workFolder(prefix)}: holds an unfinished build of something else (${shown}${more}); ask for the same to continue it, or drop it with --restart`,
    { file: workFolder(prefix), differences: found.differences },
  );
}

function lostError(folder: string): InvalidInputError {
  return new InvalidInputError(
    'CPT_INPUT_BUILD_RUNNING',
    `${folder}: another process took it over while this one stood still; leave the build to that one`,
    { file: folder },
  );
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/**
 * Gives finished files their names, as far as that has not happened. A dataset's `.idx` comes last and marks it as whole.
 * `obsolete` are files of an earlier build that this one has none of.
 */
export async function giveNames(renames: readonly [string, string][], obsolete: readonly string[]): Promise<void> {
  for (const file of obsolete) await rm(file, { force: true });
  for (const [from, to] of renames) {
    // Without its index an old dataset is no dataset: a crash from here on leaves none, never a mix of old and new.
    const idx = renames.find(([, name]) => name === to.replace(/\.(bin|json)$/, '.idx'));
    if (idx && (await exists(idx[0]))) await rm(idx[1], { force: true });
    if (await exists(from)) await commitFile(from, to);
  }
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}
