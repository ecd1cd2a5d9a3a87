import { relative } from 'node:path';
import { InvalidInputError } from '@pai-cpt/core';
import { INDEX_FILE } from '@pai-cpt/safetensors';
import type { MegatronCheckpoint } from './checkpoint.ts';
import { canonicalPath, listDirectory, pathExists } from './node.ts';

/**
 * Refuses an output that is the input, lies inside it, or holds files that were not asked to be replaced. Old shards beside a new
 * index load as a mix of two models.
 * @throws InvalidInputError `CPT_INPUT_OUTPUT_EXISTS`, `CPT_INPUT_INVALID`.
 */
export async function requireUsableOutput(directory: string, inputs: readonly string[], force: boolean): Promise<void> {
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
  if (force || !entries || entries.length === 0) return;
  const some = entries.slice(0, 3).map(({ name }) => name);
  const listed = `${some.join(', ')}${entries.length > 3 ? ', …' : ''}`;
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

/** Weights that an earlier conversion left in the output: the index first, so that no index names a removed shard. */
export async function staleFiles(directory: string): Promise<string[]> {
  const names = ((await listDirectory(directory)) ?? []).map(({ name }) => name);
  return [INDEX_FILE, ...names.filter((name) => name.endsWith('.safetensors'))].filter((name) => names.includes(name));
}
