import { relative } from 'node:path';
import { InvalidInputError } from '@pai-cpt/core';
import type { MegatronCheckpoint } from './checkpoint.ts';
import { canonicalPath, listDirectory, pathExists } from './node.ts';
import {
  hasLeftOver,
  readUnfinished,
  removeLeftOver,
  requireNoWriter,
  WORK_FOLDER,
  wayOn,
} from './output/output-directory.ts';
import type { Part } from './output/parts.ts';

/**
 * Refuses an output that is the input, lies inside it, or holds files that were not asked to be replaced. Old shards beside a new
 * index load as a mix of two models.
 * @returns true when it holds files and nothing unfinished, and `resume` or `part` leaves it to be seen whether they are the result.
 * @throws InvalidInputError `CPT_INPUT_OUTPUT_EXISTS`, `CPT_INPUT_INVALID`; CptError `CPT_INPUT_OUTPUT_LOCKED`.
 */
export async function requireUsableOutput(
  directory: string,
  inputs: readonly string[],
  { force, resume, part }: { force: boolean; resume: boolean; part?: Part | undefined },
): Promise<boolean> {
  const output = await canonicalPath(directory);
  const [root, ...inner] = await Promise.all(inputs.map(canonicalPath));
  const isInside = (path: string) => !relative(path, output).startsWith('..');
  if (output === root || inner.some(isInside)) {
    throw new InvalidInputError('CPT_INPUT_INVALID', `${directory}: is the checkpoint itself; choose another output`, {
      file: directory,
    });
  }
  const entries = await listDirectory(directory);
  // Asked again because another part may make the directory at this moment.
  if (!entries && (await pathExists(directory)) && !(await listDirectory(directory))) {
    throw new InvalidInputError('CPT_INPUT_OUTPUT_EXISTS', `${directory}: is a file; choose another output`, {
      file: directory,
    });
  }
  if (!entries || entries.length === 0) return false;
  const others = entries.filter(({ name }) => name !== WORK_FOLDER);
  // A part meets the others of its conversion: who works on what is settled under their common lock.
  if (part) return others.length > 0 && !readUnfinished(directory);
  if (entries.length > others.length) await requireNoWriter(directory);
  if (force) return false;
  // What --resume finds done is finished again in no time and without a doubt about whose files these are.
  if (hasLeftOver(directory) && !(resume && readUnfinished(directory))) await removeLeftOver(directory);
  const unfinished = readUnfinished(directory);
  if (unfinished && (!resume || unfinished.start.facts.parts !== undefined)) {
    const { finished, start } = unfinished;
    const shared = start.facts.parts === undefined ? '' : ` in ${start.facts.parts} parts`;
    throw new InvalidInputError(
      'CPT_INPUT_OUTPUT_EXISTS',
      `${directory}: holds an unfinished conversion${shared}, ${finished.size} of ${start.outputShards} files; go on with ${wayOn(unfinished)} or start over with --force`,
      { file: directory },
    );
  }
  // Once it commits, an output holds its own files; one begun with --force holds those it was allowed to replace.
  if (unfinished?.isCommitting || unfinished?.start.force) return false;
  if (others.length === 0) return false;
  if (resume && !unfinished) return true;
  const some = others.slice(0, 3).map(({ name }) => name);
  const listed = `${some.join(', ')}${others.length > 3 ? ', …' : ''}`;
  throw new InvalidInputError(
    'CPT_INPUT_OUTPUT_EXISTS',
    `${directory}: holds ${listed}; choose an empty directory or replace its weights with --force`,
    { file: directory },
  );
}

/** @throws InvalidInputError `CPT_CONFIG_FAMILY_AMBIGUOUS` where only a config.json can tell the architecture. */
export function requireFamily({ families, directory }: MegatronCheckpoint): void {
  if (families.length < 2) return;
  throw new InvalidInputError(
    'CPT_CONFIG_FAMILY_AMBIGUOUS',
    `${directory}: the tensors fit ${families.join(' and ')}; pass --reference with the config.json of the model`,
    { names: families },
  );
}
