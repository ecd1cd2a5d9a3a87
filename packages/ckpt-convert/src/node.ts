import { createHash } from 'node:crypto';
import { closeSync, createReadStream, fdatasyncSync, openSync, readSync, writeSync } from 'node:fs';
import { mkdir, readdir, readFile, realpath, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { FormatError, InvalidInputError } from '@pai-cpt/core';
import { commitFile, type FileSource, fileSource, replaceFile, temporaryPath } from '@pai-cpt/core/node';
import type { ReadInto } from './checkpoint.ts';

export interface DirectoryEntry {
  readonly name: string;
  readonly isDirectory: boolean;
}

/** The entries of a directory, links followed; undefined when `path` is not a directory. */
export async function listDirectory(path: string): Promise<DirectoryEntry[] | undefined> {
  const names = await readdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
    throw error;
  });
  if (!names) return undefined;
  const isDirectory = async (name: string) => (await stat(join(path, name)).catch(() => undefined))?.isDirectory();
  return Promise.all(names.sort().map(async (name) => ({ name, isDirectory: (await isDirectory(name)) === true })));
}

/** The text of a file; undefined when there is none. */
export async function readTextFile(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
    throw error;
  });
}

/** True for an existing file or directory. */
export async function pathExists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

/** The files directly in a directory, links followed, by name. */
export async function fileSizes(directory: string): Promise<{ name: string; bytes: number }[]> {
  const names = (await readdir(directory)).sort();
  const found = await Promise.all(names.map((name) => stat(join(directory, name)).catch(() => undefined)));
  return names.flatMap((name, at) => (found[at]?.isFile() ? [{ name, bytes: found[at].size }] : []));
}

/** The SHA-256 of a file in hex, read piece by piece. */
export async function fileSha256(path: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 4 * 1024 * 1024, signal })) hash.update(chunk);
  return hash.digest('hex');
}

/** When a file was last changed, in whole milliseconds since 1970. */
export const modifiedMs = async (path: string): Promise<number> => Math.floor((await stat(path)).mtimeMs);

/** Removes a file; nothing happens when there is none. */
export async function removeFile(path: string): Promise<void> {
  await rm(path, { force: true });
}

/** `path` with every link resolved as far as it exists, so that two spellings of one directory are equal. */
export async function canonicalPath(path: string): Promise<string> {
  return realpath(path).catch(async (error: NodeJS.ErrnoException) => {
    const parent = dirname(resolve(path));
    if (error.code !== 'ENOENT' || parent === resolve(path)) throw error;
    return join(await canonicalPath(parent), resolve(path).slice(parent.length));
  });
}

/** Files kept open for synchronous positional reads. */
export interface FilePool {
  open(path: string): Promise<FileSource>;
  readInto: ReadInto;
  close(): Promise<void>;
}

export function openFilePool(): FilePool {
  const files = new Map<string, FileSource>();
  return {
    async open(path) {
      const known = files.get(path);
      if (known) return known;
      const source = await fileSource(path);
      files.set(path, source);
      return source;
    },
    readInto(path, position, target) {
      const file = files.get(path);
      if (!file) throw new RangeError(`${path} was not opened`);
      for (let done = 0; done < target.byteLength; ) {
        const count = readSync(file.fd, target, done, target.byteLength - done, position + done);
        if (count === 0) {
          const need = `bytes ${position} to ${position + target.byteLength} are needed`;
          throw new FormatError('CPT_FORMAT_TRUNCATED', `${path}: ${need}, the file ends at ${position + done}`, {
            file: path,
            byteOffset: position + done,
          });
        }
        done += count;
      }
    },
    async close() {
      const open = [...files.values()];
      files.clear();
      await Promise.all(open.map((file) => file.close()));
    },
  };
}

/** Writes one file in whole or not at all, in chunks; its directory is made. */
export async function writeFileStream(
  path: string,
  produce: (write: (bytes: Uint8Array) => Promise<void>) => Promise<void>,
): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = temporaryPath(path);
  const fd = openSync(temporary, 'wx');
  try {
    try {
      await produce(async (bytes) => {
        for (let done = 0; done < bytes.byteLength; ) done += writeSync(fd, bytes, done, bytes.byteLength - done);
      });
      fdatasyncSync(fd);
    } finally {
      closeSync(fd);
    }
    await commitFile(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** A small file replaced atomically. */
export const writeTextFile = (path: string, content: string | Uint8Array): Promise<void> => replaceFile(path, content);

/** A file that must exist, parsed as a JSON object. */
export async function readJsonObject(path: string): Promise<Record<string, unknown>> {
  const text = await readTextFile(path);
  if (text === undefined) {
    throw new InvalidInputError('CPT_INPUT_FILE_MISSING', `${path}: does not exist; check the path`, { file: path });
  }
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new InvalidInputError('CPT_CONFIG_MODEL', `${path}: is not JSON: ${why}`, { file: path }, { cause });
  }
  throw new InvalidInputError('CPT_CONFIG_MODEL', `${path}: is not a JSON object`, { file: path });
}

export interface ResourceUse {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly peakRssBytes: number;
}

/** Measures from now on; `peakRssBytes` is the process's peak since its start. */
export function startMeter(): () => ResourceUse {
  const begin = performance.now();
  const cpu = process.cpuUsage();
  return () => {
    const { user, system } = process.cpuUsage(cpu);
    return {
      seconds: (performance.now() - begin) / 1000,
      cpuSeconds: (user + system) / 1e6,
      peakRssBytes: process.resourceUsage().maxRSS * 1024,
    };
  };
}
