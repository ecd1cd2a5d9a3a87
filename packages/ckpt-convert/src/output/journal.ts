// OUT/.ckpt-convert/journal, one JSON object a line:
//
//   {"journal":1,"plan":"<sha256>","facts":{…},"source":[{"file","bytes","modifiedMs","tailSha256"},…],"outputShards":N,"force":false}
//   {"shard":{"name","bytes","sha256"}}          appended and synced after the shard itself is on the disk
//   {"commit":true}                              from here on files take their final names
//   {"done":true}                                all have them; what remains is to remove this folder
//
// A killed process may leave the last line cut; a line counts once its line feed is there.

import { createHash } from 'node:crypto';
import { relative } from 'node:path';
import { type Dtype, InvalidInputError, type Shape } from '@pai-cpt/core';
import type { PlacedShard } from '../checkpoint.ts';
import type { StridedCopy } from '../copies.ts';
import type { WrittenFile } from '../execute.ts';

/** One file of the source as it was when a conversion began. */
export interface SourceFile {
  /** Relative to the checkpoint's directory, so that another mount point is no other source. */
  readonly file: string;
  readonly bytes: number;
  readonly modifiedMs: number;
  /** Of the last MiB: in a zip that is the central directory, with the checksum of each entry. */
  readonly tailSha256: string;
}

/** What a conversion is of; two with equal starts write equal files. */
export interface JournalStart {
  readonly journal: 1;
  /** Digest of every output shard, its tensors and their copies. */
  readonly plan: string;
  /** Options behind the plan, so that a refusal can name the one that changed. */
  readonly facts: Readonly<Record<string, string | number>>;
  readonly source: readonly SourceFile[];
  readonly outputShards: number;
  /** Files that the output held before may be replaced. */
  readonly force: boolean;
}

export interface Journal {
  readonly start: JournalStart;
  readonly finished: ReadonlyMap<string, WrittenFile>;
  /** Some files may have their final names already. */
  readonly isCommitting: boolean;
  /** All of them have. */
  readonly isDone: boolean;
}

export type JournalEntry =
  | JournalStart
  | { readonly shard: WrittenFile }
  | { readonly commit: true }
  | { readonly done: true };

export function serializeEntry(entry: JournalEntry): string {
  return `${JSON.stringify(entry)}\n`;
}

/**
 * What a journal says; undefined when not even its first line is whole, which is before any shard was finished.
 * @throws InvalidInputError `CPT_INPUT_RESUME_MISMATCH` for whole lines that this program did not write.
 */
export function parseJournal(text: string, path: string): Journal | undefined {
  const lines = text.split('\n').slice(0, -1);
  if (lines.length === 0) return undefined;
  const entries = lines.map((line, at) => parseLine(line, at === 0, `${path} line ${at + 1}`));
  const finished = entries.flatMap((entry) => ('shard' in entry ? [[entry.shard.name, entry.shard] as const] : []));
  return {
    start: entries[0] as JournalStart,
    finished: new Map(finished),
    isCommitting: entries.some((entry) => 'commit' in entry),
    isDone: entries.some((entry) => 'done' in entry),
  };
}

function parseLine(line: string, isFirst: boolean, where: string): JournalEntry {
  try {
    const entry = JSON.parse(line);
    const isKnown = isFirst
      ? entry.journal === 1 && Array.isArray(entry.source)
      : isShard(entry.shard) || entry.commit || entry.done;
    if (isKnown) return entry;
  } catch {
    // Not JSON, or null: the same answer as for foreign JSON.
  }
  throw new InvalidInputError(
    'CPT_INPUT_RESUME_MISMATCH',
    `${where}: is not what this version writes; start the conversion over with --force`,
    { file: where },
  );
}

function isShard(value: Partial<WrittenFile> | undefined): boolean {
  const isDigest = value?.sha256 === null || typeof value?.sha256 === 'string';
  return typeof value?.name === 'string' && typeof value.bytes === 'number' && isDigest;
}

/**
 * Refuses to go on with a conversion of something else: shards of two sources or two plans would load as one model.
 * @throws InvalidInputError `CPT_INPUT_RESUME_MISMATCH` naming the file or the option that changed.
 */
export function requireSameWork(begun: JournalStart, now: JournalStart, directory: string): void {
  const changes = [...changedSource(begun.source, now.source), ...changedFacts(begun.facts, now.facts)];
  if (changes.length === 0 && begun.plan !== now.plan) changes.push('the plan of copies is another one');
  if (changes.length === 0) return;
  const shown = changes.slice(0, 3).join('; ');
  const more = changes.length > 3 ? ` and ${changes.length - 3} more` : '';
  throw new InvalidInputError(
    'CPT_INPUT_RESUME_MISMATCH',
    `${directory}: holds an unfinished conversion of something else: ${shown}${more}; give the same source and options, or start over with --force`,
    { file: directory, differences: changes },
  );
}

/** How the source differs from what it was, a line for each file. */
export function changedSource(before: readonly SourceFile[], now: readonly SourceFile[]): string[] {
  const found = new Map(now.map((file) => [file.file, file]));
  const changes = before.flatMap(({ file, bytes, modifiedMs, tailSha256 }) => {
    const other = found.get(file);
    found.delete(file);
    if (!other) return [`${file} is no longer read`];
    if (other.bytes !== bytes) return [`${file} had ${bytes} bytes, now ${other.bytes}`];
    if (other.tailSha256 !== tailSha256) return [`${file} has other content`];
    if (other.modifiedMs === modifiedMs) return [];
    return [`${file} was modified ${dateOf(modifiedMs)}, now ${dateOf(other.modifiedMs)}`];
  });
  return [...changes, ...[...found.keys()].map((file) => `${file} was not read before`)];
}

const dateOf = (ms: number): string => new Date(ms).toISOString();

function changedFacts(before: JournalStart['facts'], now: JournalStart['facts']): string[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(now)])];
  return names
    .filter((name) => before[name] !== now[name])
    .map((name) => `${name} was ${before[name] ?? 'not given'}, now ${now[name] ?? 'not given'}`);
}

/** A file of weights as far as its bytes are decided: tensors, where they lie, and the copies that fill them. */
export interface PlannedFile {
  readonly name: string;
  readonly tensors: readonly {
    readonly name: string;
    readonly dtype: Dtype;
    readonly sourceDtype?: Dtype;
    readonly shape: Shape;
    readonly sources: readonly PlacedShard[];
    readonly copies: readonly StridedCopy[];
  }[];
}

/** Every file that a plan reads, in order of first use. */
export function sourcePaths(files: readonly PlannedFile[]): string[] {
  const tensors = files.flatMap((file) => file.tensors);
  return [...new Set(tensors.flatMap(({ sources }) => sources.map(({ file }) => file)))];
}

/** The sha256 of what a plan will write and from where, with paths relative to the source; `more` is what else decides the bytes. */
export function planDigest(files: readonly PlannedFile[], directory: string, more = ''): string {
  const digest = createHash('sha256').update(more);
  for (const { name, tensors } of files) {
    digest.update(`${name}\n`);
    for (const { name: tensor, dtype, sourceDtype, shape, sources, copies } of tensors) {
      const placed = sources.map((source) => ({ ...source, file: relative(directory, source.file) }));
      digest.update(`${JSON.stringify([tensor, dtype, sourceDtype, shape, placed, copies])}\n`);
    }
  }
  return digest.digest('hex');
}
