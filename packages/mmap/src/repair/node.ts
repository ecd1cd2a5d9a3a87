import { createHash } from 'node:crypto';
import { link, mkdir, open, realpath, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { type ByteSource, InvalidInputError } from '@pai-cpt/core';
import { commitFile, replaceFile, temporaryPath } from '@pai-cpt/core/node';
import { refuseExisting } from '../node.ts';

export interface WrittenFile {
  sha256: string;
  bytes: number;
}

/** Writes pieces to a temporary file beside `path`, synced. The caller commits or removes it. */
export async function writeTemporary(
  path: string,
  pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<WrittenFile & { temporary: string }> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = temporaryPath(path);
  const hash = createHash('sha256');
  let bytes = 0;
  const handle = await open(temporary, 'wx');
  try {
    for await (const piece of pieces) {
      hash.update(piece);
      await handle.writeFile(piece);
      bytes += piece.byteLength;
    }
    await handle.sync();
  } catch (error) {
    await handle.close();
    await rm(temporary, { force: true });
    throw error;
  }
  await handle.close();
  return { temporary, sha256: hash.digest('hex'), bytes };
}

/** A second name for a file under a temporary name; `undefined` where the file system has none, or not across its borders. */
export async function linkTemporary(from: string, path: string): Promise<string | undefined> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = temporaryPath(path);
  try {
    await link(from, temporary);
    return temporary;
  } catch {
    return undefined;
  }
}

/** Gives a dataset its names, `.idx` last, and takes an older index away first. */
export async function commitPair(
  prefix: string,
  temporary: { bin: string; idx: string },
  sidecar: string | undefined,
): Promise<void> {
  await rm(`${prefix}.idx`, { force: true });
  await rm(`${prefix}.json`, { force: true });
  await commitFile(temporary.bin, `${prefix}.bin`);
  if (sidecar !== undefined) await replaceFile(`${prefix}.json`, sidecar);
  await commitFile(temporary.idx, `${prefix}.idx`);
}

/** Removes what was not renamed; a second name of the file that is there already stays behind a rename, as POSIX has it. */
export async function removeTemporary(...paths: (string | undefined)[]): Promise<void> {
  for (const path of paths) if (path !== undefined) await rm(path, { force: true });
}

/** The bytes of a source from its start, in large pieces. */
export async function* readStart(
  source: ByteSource,
  byteLength: number,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const chunk = 4 << 20;
  for (let offset = 0; offset < byteLength; offset += chunk) {
    yield await source.read(offset, Math.min(chunk, byteLength - offset), signal);
  }
}

/** @throws InvalidInputError `CPT_INPUT_INVALID` when both prefixes are one, `CPT_INPUT_OUTPUT_EXISTS` without `force`. */
export async function checkOutput(prefix: string, output: string, force: boolean): Promise<void> {
  if ((await realPrefix(prefix)) === (await realPrefix(output))) {
    throw new InvalidInputError(
      'CPT_INPUT_INVALID',
      `${output}: is the dataset itself, which is never changed; choose another output`,
      {
        field: 'output',
      },
    );
  }
  if (!force) await refuseExisting(output);
}

/** A prefix with the links of its folder followed. */
async function realPrefix(prefix: string): Promise<string> {
  const folder = dirname(resolve(prefix));
  return join(await realpath(folder).catch(() => folder), basename(prefix));
}
