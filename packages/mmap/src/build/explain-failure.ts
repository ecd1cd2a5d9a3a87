import { CptError, InvalidInputError } from '@pai-cpt/core';
import { BAD_REASONS, type BadReason } from '../documents/bad-record.ts';
import { type BuildCounts, badCount } from './counts.ts';

/** What was left out, by reason: `2 empty, 7 text-missing`. */
export function describeDropped({ dropped }: BuildCounts): string {
  const bad = Object.keys(BAD_REASONS).map((reason) => ({ reason, count: dropped[reason as BadReason] ?? 0 }));
  return [{ reason: 'empty', count: dropped.empty }, ...bad]
    .filter(({ count }) => count > 0)
    .map(({ reason, count }) => `${count} ${reason}`)
    .join(', ');
}

/** A build that gave no token: what became of the records. `rejects` is where the bad ones are listed. */
export function emptyDatasetError(prefix: string, counts: BuildCounts, rejects: string): InvalidInputError {
  const { records } = counts;
  const found =
    records === 0
      ? 'the inputs hold no record; check that they are the right files'
      : `none of the ${records} records gave a token (${describeDropped(counts) || 'all without text'}); check --text-key and the inputs`;
  const listed = badCount(counts) > 0 ? `; the bad records are listed in ${rejects}` : '';
  return new InvalidInputError('CPT_INPUT_EMPTY_DATASET', `${prefix}: ${found}${listed}`, { file: prefix, records });
}

/** The error of too many bad records, with the file that lists them. */
export function listedIn(error: CptError, rejects: string): InvalidInputError {
  const details = { ...error.details, file: rejects };
  return new InvalidInputError(error.code, `${error.message}; they are listed in ${rejects}`, details);
}

/** A full disk as an error of ours; any other error as it is. */
export function explainError(error: unknown, prefix: string): unknown {
  if ((error as NodeJS.ErrnoException | undefined)?.code !== 'ENOSPC') return error;
  return new InvalidInputError(
    'CPT_INPUT_DISK_SPACE',
    `${prefix}: no room is left on the disk; free some and run the same command again`,
    { file: prefix },
    { cause: error },
  );
}

export const hasCode = (error: unknown, code: string): boolean => CptError.isInstance(error) && error.code === code;
