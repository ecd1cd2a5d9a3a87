import { createHash } from 'node:crypto';
import { InvalidInputError } from '@pai-cpt/core';
import type { FolderView } from './folder.ts';
import { omitUndefined } from './omit-undefined.ts';

/** A converted checkpoint that is whole. */
export interface FinishedConversion {
  /** Files of weights. */
  readonly files: number;
  /** Of all files of weights. */
  readonly bytes: number;
  /** Such as Qwen2ForCausalLM. */
  readonly architecture?: string;
  /** SHA-256 of config and index, and of name and size of every file of weights: two conversions of one run agree. */
  readonly digest: string;
}

const INDEX_FILE = 'model.safetensors.index.json';
const SINGLE_FILE = 'model.safetensors';
const CONFIG_FILE = 'config.json';

/**
 * The conversion in `folder`. The converter gives the index, or the only file of weights, its name after everything else, so
 * a folder without either is one in which it has not finished; and a copy of a folder may lack files that the index names.
 * @throws InvalidInputError `CPT_INPUT_CHECKPOINT_MISSING`
 */
export async function readConversion(uri: string, folder: FolderView): Promise<FinishedConversion> {
  const listed = await folder.list();
  const sizes = new Map(listed.map(({ name, bytes }) => [name, bytes]));
  if (!sizes.has(CONFIG_FILE)) throw unfinished(uri, `it has no ${CONFIG_FILE}`);
  const config = await readJson(uri, folder, CONFIG_FILE);
  const index = sizes.has(INDEX_FILE) ? await readJson(uri, folder, INDEX_FILE) : undefined;
  if (!index && !sizes.has(SINGLE_FILE)) throw unfinished(uri, `it has neither ${INDEX_FILE} nor ${SINGLE_FILE}`);
  const names = index ? weightFiles(uri, index) : [SINGLE_FILE];
  const missing = names.filter((name) => !((sizes.get(name) ?? 0) > 0));
  if (missing.length > 0) {
    const which = missing.slice(0, 3).join(', ');
    throw unfinished(uri, `${missing.length} of its ${names.length} files of weights are missing or empty: ${which}`);
  }
  const weights = names.map((name) => [name, sizes.get(name) as number] as const);
  const digest = createHash('sha256')
    .update(JSON.stringify([config, index ?? null, weights]))
    .digest('hex');
  const [architecture] = Array.isArray(config.architectures) ? config.architectures : [];
  return omitUndefined({
    files: names.length,
    bytes: weights.reduce((sum, [, bytes]) => sum + bytes, 0),
    architecture: typeof architecture === 'string' ? architecture : undefined,
    digest: `sha256:${digest}`,
  });
}

function weightFiles(uri: string, { weight_map: map }: Record<string, unknown>): string[] {
  const names = typeof map === 'object' && map !== null ? Object.values(map) : [];
  if (names.length > 0 && names.every((name) => typeof name === 'string')) return [...new Set(names)].sort();
  throw unfinished(uri, `${INDEX_FILE} names no files of weights`);
}

async function readJson(uri: string, folder: FolderView, name: string): Promise<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(await folder.readText(name));
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // The same refusal as for JSON of another kind.
  }
  throw unfinished(uri, `${name} is not a JSON object`);
}

function unfinished(uri: string, why: string): InvalidInputError {
  return new InvalidInputError(
    'CPT_INPUT_CHECKPOINT_MISSING',
    `${uri}: no finished conversion lies here: ${why}; convert the checkpoint (ckpt-convert to-hf), or go on with --resume`,
    { uri },
  );
}
