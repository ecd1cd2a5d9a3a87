import { createHash } from 'node:crypto';
import { extname } from 'node:path';
import { type ByteSource, InvalidInputError } from '@pai-cpt/core';
import { fileSource } from '@pai-cpt/core/node';
import { isDirectory, listFiles } from '../node.ts';
import type { Document, SourceOptions } from './document.ts';
import { readJsonl } from './jsonl.ts';
import { readText } from './text.ts';

export interface DocumentOptions {
  textKey: string;
  splitParagraphs: boolean;
}

type DocumentReader = (
  source: ByteSource,
  file: string,
  options: SourceOptions & DocumentOptions,
) => AsyncGenerator<Document>;

/** One line for each kind of file; a new source is a new line. */
const READERS: ReadonlyMap<string, DocumentReader> = new Map([
  ['.jsonl', readJsonl],
  ['.ndjson', readJsonl],
  ['.txt', readText],
]);

const KINDS = [...READERS.keys()].join(', ');

export interface InputFile {
  path: string;
  byteLength: number;
}

/**
 * The files to read, in order: named files as given, folders with all files of a known kind below them, sorted by name.
 * @throws InvalidInputError `CPT_INPUT_FILE_MISSING` for a path that is not there or a folder without such a file,
 * `CPT_INPUT_INVALID` for a named file of an unknown kind.
 */
export async function listInputs(paths: readonly string[]): Promise<InputFile[]> {
  if (paths.length === 0)
    throw new InvalidInputError('CPT_INPUT_INVALID', 'no input given; name files or folders', { field: 'inputs' });
  const files: InputFile[] = [];
  for (const path of paths) {
    if (await isDirectory(path)) {
      const found = (await listFiles(path)).filter((file) => READERS.has(kindOf(file)));
      if (found.length === 0)
        throw new InvalidInputError('CPT_INPUT_FILE_MISSING', `${path}: holds no ${KINDS} file`, { file: path });
      for (const file of found) files.push(await measure(file));
    } else {
      const file = await measure(path);
      if (!READERS.has(kindOf(path))) {
        throw new InvalidInputError('CPT_INPUT_INVALID', `${path}: the kind of this file is unknown; give ${KINDS}`, {
          file: path,
        });
      }
      files.push(file);
    }
  }
  return files;
}

async function measure(path: string): Promise<InputFile> {
  const source = await fileSource(path);
  await source.close();
  return { path, byteLength: source.byteLength };
}

function kindOf(path: string): string {
  return extname(path).toLowerCase();
}

/** A file as it was read. */
export interface InputRecord {
  path: string;
  bytes: number;
  sha256: string;
}

/** The documents of one file in order; returns size and sha256 of the bytes that were read, in the same pass. */
export async function* readDocuments(
  path: string,
  options: SourceOptions & DocumentOptions,
): AsyncGenerator<Document, InputRecord> {
  const reader = READERS.get(kindOf(path));
  if (!reader)
    throw new InvalidInputError('CPT_INPUT_INVALID', `${path}: the kind of this file is unknown; give ${KINDS}`, {
      file: path,
    });
  const source = await fileSource(path);
  try {
    const hash = createHash('sha256');
    const hashed: ByteSource = {
      byteLength: source.byteLength,
      async read(offset, length, signal) {
        const bytes = await source.read(offset, length, signal);
        hash.update(bytes);
        return bytes;
      },
    };
    yield* reader(hashed, path, options);
    return { path, bytes: source.byteLength, sha256: hash.digest('hex') };
  } finally {
    await source.close();
  }
}
