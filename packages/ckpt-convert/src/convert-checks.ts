import { relative } from 'node:path';
import { InvalidInputError } from '@pai-cpt/core';
import type { MegatronCheckpoint } from './checkpoint.ts';
import { canonicalPath, listDirectory, pathExists } from './node.ts';
import { readUnfinished, removeLeftOver, requireNoWriter, WORK_FOLDER } from './output/output-directory.ts';

/**
 * Refuses an output that is the input, lies inside it, or holds files that were not asked to be replaced. Old shards beside a new
 * index load as a mix of two models.
 * @throws InvalidInputError `CPT_INPUT_OUTPUT_EXISTS`, `CPT_INPUT_INVALID`; CptError `CPT_INPUT_OUTPUT_LOCKED`.
 */
export async function requireUsableOutput(
  directory: string,
  inputs: readonly string[],
  { force, resume }: { force: boolean; resume: boolean },
): Promise<void> {
  const output = await canonicalPath(directory);
  const [root, ...inner] = await Promise.all(inputs.map(canonicalPath));
  const isInside = (path: string) => !relative(path, output).startsWith('..');
  if (output === root || inner.some(isInside)) {
    throw new InvalidInputError('CPT_INPUT_INVALID', `${directory}: is the checkpoint itself; choose another output`, {
      file: directory,
    });
  }
  const entries = await listDirectory(directory);
  if (!entries && (await pathExists(directory))) {
    throw new InvalidInputError('CPT_INPUT_OUTPUT_EXISTS', `${directory}: is a file; choose another output`, {
      file: directory,
    });
  }
  if (!entries || entries.length === 0) return;
  if (entries.some(({ name }) => name === WORK_FOLDER)) await requireNoWriter(directory);
  if (force) return;
  const unfinished = readUnfinished(directory);
  if (entries.some(({ name }) => name === WORK_FOLDER) && !unfinished) await removeLeftOver(directory);
  if (unfinished && !resume) {
    const { finished, start } = unfinished;
    throw new InvalidInputError(
      'CPT_INPUT_OUTPUT_EXISTS',
      `${directory}: holds an unfinished conversion, ${finished.size} of ${start.outputShards} files; go on with --resume or start over with --force`,
      { file: directory },
    );
  }
  // Once it commits, an output holds its own files; one begun with --force holds those it was allowed to replace.
  if (unfinished?.isCommitting || unfinished?.start.force) return;
  const others = entries.filter(({ name }) => name !== WORK_FOLDER);
  if (others.length === 0) return;
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
