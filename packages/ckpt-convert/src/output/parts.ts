// A conversion that several processes share, on several machines if they see the same file system:
//
//   OUT/.ckpt-convert/parts                  what is converted, as the first line of a journal; made by the first part that comes
//                     part-2-of-4/lock-N     who works on part 2
//                     part-2-of-4/journal    which of its files it finished
//                     part-2-of-4.ended      part 2 is done: its files, as lines of a journal; renamed into place
//                     lock-N                 held for a moment by a part that comes, and by the one that commits
//                     journal                of the commit: as in a conversion that is not shared
//
// The commit. A part puts its own mark `.ended` first and counts the marks after; so of two that end at the same moment at least one
// sees both (and where a file server caches names: making a name in a directory makes its next listing a fresh one). Who sees all
// takes the lock, of which there is one, counts again under it, and does what the end of any conversion does. A part that is killed
// there has not exited with 0 and is run again like any other; whichever comes next finds the journal and finishes the commit.

import { join } from 'node:path';
import { InvalidInputError } from '@pai-cpt/core';
import type { WrittenFile } from '../execute.ts';
import type { Journal } from './journal.ts';
import { namesIn } from './node.ts';
import { readJournal } from './read-journal.ts';

/** The `index`-th of `of` parts, from 1. */
export interface Part {
  readonly index: number;
  readonly of: number;
}

export interface PartResult extends Part {
  /** All parts are done and the output is in place. */
  readonly whole: boolean;
  /** Parts that have not ended. */
  readonly outstanding: readonly number[];
}

export const PARTS_FILE = 'parts';

export const partFolder = ({ index, of }: Part): string => `part-${index}-of-${of}`;
export const endedMark = (part: Part): string => `${partFolder(part)}.ended`;

/** @throws InvalidInputError `CPT_INPUT_INVALID`. */
export function requirePart({ index, of }: Part): void {
  const isCount = (value: number) => Number.isSafeInteger(value) && value >= 1;
  if (isCount(index) && isCount(of) && index <= of) return;
  throw new InvalidInputError(
    'CPT_INPUT_INVALID',
    `part {"index":${index},"of":${of}} cannot be; it is I/N with I from 1 to N`,
    { field: 'part' },
  );
}

/** The files of one part: a run of them with about its share of the bytes. The parts together are all, each once. */
export function filesOfPart<T extends { readonly byteLength: number }>(files: readonly T[], { index, of }: Part): T[] {
  const total = files.reduce((sum, { byteLength }) => sum + byteLength, 0);
  let before = 0;
  return files.filter(({ byteLength }) => {
    const middle = before + byteLength / 2;
    before += byteLength;
    return Math.min(of, Math.floor((middle / Math.max(total, 1)) * of) + 1) === index;
  });
}

/** How far a shared conversion is. */
export interface PartsState {
  /** Its folder is gone: another part committed it. */
  readonly isGone: boolean;
  readonly isCommitting: boolean;
  readonly outstanding: readonly number[];
}

/**
 * Looks in this order, marks, journal, `parts`, because they are removed in that order but for the journal, which goes last: a list of
 * marks that is short because some are removed already must not pass for one of parts at work.
 */
export function partsState(work: string, of: number): PartsState {
  const names = new Set(namesIn(work));
  const isCommitting = readJournal(join(work, 'journal')) !== undefined;
  const isGone = readJournal(join(work, PARTS_FILE)) === undefined && !isCommitting;
  const all = Array.from({ length: of }, (_, at) => at + 1);
  const outstanding = all.filter((index) => !names.has(endedMark({ index, of })));
  return { isGone, isCommitting, outstanding: isCommitting || isGone ? [] : outstanding };
}

/** Every file that the parts which ended have made. */
export function endedFiles(work: string, of: number): Map<string, WrittenFile> {
  const all = Array.from({ length: of }, (_, at) => ({ index: at + 1, of }));
  return new Map(all.flatMap((part) => [...(readJournal(join(work, endedMark(part)))?.finished ?? [])]));
}

/** A shared conversion as one journal: what its parts have finished. Undefined when none has begun. */
export function unfinishedParts(work: string): Journal | undefined {
  const begun = readJournal(join(work, PARTS_FILE));
  const of = Number(begun?.start.facts.parts);
  if (!begun || !Number.isSafeInteger(of)) return undefined;
  const all = Array.from({ length: of }, (_, at) => ({ index: at + 1, of }));
  const finished = all.flatMap((part) => [...(readJournal(join(work, partFolder(part), 'journal'))?.finished ?? [])]);
  return { ...begun, finished: new Map(finished) };
}
