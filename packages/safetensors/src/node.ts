import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type ByteSource, FormatError, InvalidInputError } from '@pai-cpt/core';
import { fileSource } from '@pai-cpt/core/node';
import type { TensorInfo } from './header.ts';
import { openSafetensors, type SafetensorsFile, tensorNamed } from './read.ts';
import { INDEX_FILE, parseIndex, SINGLE_FILE } from './shards.ts';

/** A model directory: its tensors under one roof, whichever file they lie in. */
export interface SafetensorsDirectory {
  readonly directory: string;
  /** `file` is the name of the shard. */
  readonly tensors: ReadonlyMap<string, TensorInfo & { readonly file: string }>;
  read(name: string, signal?: AbortSignal): Promise<Uint8Array>;
  tensorSource(name: string): ByteSource;
  close(): Promise<void>;
}

/** Opens one file on disk. Close it. */
export async function openSafetensorsFile(path: string): Promise<SafetensorsFile & { close(): Promise<void> }> {
  const source = await fileSource(path);
  try {
    const file = await openSafetensors(source, path);
    return { ...file, close: () => source.close() };
  } catch (error) {
    await source.close();
    throw error;
  }
}

/**
 * Opens the index and all shards that it names, or the single `model.safetensors`; the index wins where both exist, as in
 * transformers. Index and shards must hold exactly the same tensors.
 * @throws FormatError `CPT_FORMAT_SHARD_MISSING`, `CPT_FORMAT_INDEX_MISMATCH`, and what `parseIndex` and `parseHeader` throw.
 * @throws InvalidInputError `CPT_INPUT_FILE_MISSING` when the directory holds neither.
 */
export async function openSafetensorsDirectory(directory: string): Promise<SafetensorsDirectory> {
  const index = await readIndex(directory);
  const names = index ? [...new Set(index.values())].sort() : [SINGLE_FILE];
  const shards: OpenShard[] = [];
  const close = async () => {
    await Promise.all(shards.map((shard) => shard.close()));
  };
  try {
    for (const name of names) shards.push({ name, ...(await openShard(directory, name, index !== undefined)) });
    const owners = new Map(
      shards.flatMap((shard) => [...shard.tensors.keys()].map((tensor) => [tensor, shard] as const)),
    );
    if (index) compareIndex(index, shards, join(directory, INDEX_FILE));
    const tensors = new Map([...owners].map(([tensor, shard]) => [tensor, placed(shard, tensor)] as const));
    return {
      directory,
      tensors,
      read: async (name, signal) => tensorNamed(owners, name, directory).read(name, signal),
      tensorSource: (name) => tensorNamed(owners, name, directory).tensorSource(name),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

type OpenShard = SafetensorsFile & { name: string; close(): Promise<void> };

function placed(shard: OpenShard, tensor: string): TensorInfo & { file: string } {
  return { ...tensorNamed(shard.tensors, tensor, shard.file), file: shard.name };
}

async function readIndex(directory: string): Promise<Map<string, string> | undefined> {
  const path = join(directory, INDEX_FILE);
  if (await isFile(path)) return parseIndex(await readFile(path), path).weightMap;
  if (await isFile(join(directory, SINGLE_FILE))) return undefined;
  throw new InvalidInputError(
    'CPT_INPUT_FILE_MISSING',
    `${directory}: holds neither ${INDEX_FILE} nor ${SINGLE_FILE}`,
    {
      file: directory,
    },
  );
}

async function openShard(directory: string, name: string, isIndexed: boolean) {
  const path = join(directory, name);
  if (isIndexed && !(await isFile(path))) {
    const why = `${INDEX_FILE} names ${name}, which is not in ${directory}; copy it there`;
    throw new FormatError('CPT_FORMAT_SHARD_MISSING', why, { file: path });
  }
  return openSafetensorsFile(path);
}

/** Every tensor lies in the one shard that the index names, and in no other: a stale shard beside the new ones shows here. */
function compareIndex(index: Map<string, string>, shards: OpenShard[], file: string): void {
  const faults: string[] = [];
  for (const shard of shards) {
    for (const tensor of shard.tensors.keys()) {
      const listed = index.get(tensor);
      if (listed !== shard.name)
        faults.push(`"${tensor}" lies in ${shard.name}, the index says ${listed ?? 'nothing'}`);
    }
  }
  const byName = new Map(shards.map((shard) => [shard.name, shard]));
  for (const [tensor, name] of index) {
    if (!byName.get(name)?.tensors.has(tensor)) faults.push(`"${tensor}" is not in ${name}, where the index puts it`);
  }
  if (faults.length === 0) return;
  const more = faults.length > 5 ? `; and ${faults.length - 5} more` : '';
  throw new FormatError('CPT_FORMAT_INDEX_MISMATCH', `${file}: ${faults.slice(0, 5).join('; ')}${more}`, {
    file,
    names: faults,
  });
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() === true;
}
