import { InvalidInputError } from '@pai-cpt/core';
import { isDirectory, listFiles } from '../node.ts';
import { decodeDocuments } from './decode-documents.ts';
import type { Document } from './document.ts';
import { isPattern, patternBase, patternExpression } from './glob.ts';
import { type InputFile, type InputRecord, inputKind, STDIN } from './input-file.ts';
import { fileFacts } from './node.ts';
import { openInput } from './open-input.ts';

export type { InputFile, InputRecord } from './input-file.ts';

const KINDS = '.jsonl, .ndjson, .json, .txt (also .gz and .zst of these), .parquet';
/** A folder gives no .json: it holds the settings of a data set more often than its text. */
const FOLDER_KINDS = '.jsonl, .ndjson, .txt (also .gz and .zst of these), .parquet';

/** What builds leave beside their outputs is no text, should an output lie among its inputs: lists of bad records, journals. */
const LEFT_BY_BUILDS = /\.rejects\.jsonl$|\.build[/\\](?:journal\.ndjson|rejects\.jsonl)$/;

/**
 * The files to read, in order: named files as given, folders and patterns with all they hold, sorted by name, and `-` for JSONL
 * from stdin. Folders and patterns give no list of bad records (`.rejects.jsonl`), and nothing of an unfinished build.
 * @throws InvalidInputError `CPT_INPUT_FILE_MISSING` for a path that is not there, or a folder or pattern without such a file,
 * `CPT_INPUT_INVALID` for a named file of an unknown kind.
 */
export async function listInputs(paths: readonly string[]): Promise<InputFile[]> {
  if (paths.length === 0)
    throw new InvalidInputError('CPT_INPUT_INVALID', 'no input given; name files or folders', { field: 'inputs' });
  if (paths.filter((path) => path === STDIN).length > 1)
    throw new InvalidInputError('CPT_INPUT_INVALID', '"-" is given twice; stdin can be read once', { field: 'inputs' });
  const files: InputFile[] = [];
  for (const path of paths) {
    if (path === STDIN) files.push({ path, byteLength: 0, modifiedMs: 0, format: 'jsonl', packing: 'none' });
    else for (const file of await expand(path)) files.push(await measure(file));
  }
  return files;
}

async function expand(path: string): Promise<string[]> {
  if (await isDirectory(path)) {
    const found = (await listFiles(path)).filter((file) => {
      const kind = inputKind(file);
      return kind !== undefined && kind.format !== 'json' && !LEFT_BY_BUILDS.test(file);
    });
    if (found.length > 0) return found;
    throw new InvalidInputError('CPT_INPUT_FILE_MISSING', `${path}: holds no ${FOLDER_KINDS} file`, { file: path });
  }
  const isThere = await fileFacts(path).then(
    () => true,
    () => false,
  );
  if (isThere || !isPattern(path)) return [path];
  const base = patternBase(path);
  const expression = patternExpression(path.replace(/^\.\//, ''));
  const below = (await isDirectory(base)) ? await listFiles(base) : [];
  const found = below.filter((file) => expression.test(file) && inputKind(file) && !LEFT_BY_BUILDS.test(file));
  if (found.length > 0) return found;
  throw new InvalidInputError('CPT_INPUT_FILE_MISSING', `${path}: no ${KINDS} file has such a name`, { file: path });
}

async function measure(path: string): Promise<InputFile> {
  const facts = await fileFacts(path);
  const kind = inputKind(path);
  if (kind) return { path, ...facts, ...kind };
  throw new InvalidInputError('CPT_INPUT_INVALID', `${path}: the kind of this file is unknown; give ${KINDS}`, {
    file: path,
  });
}

export interface ReadOptions {
  /** JSON key, or parquet column, of the text; `text` when not given. */
  textKey?: string;
  /** Text files: one document per run of lines between blank lines, not one per file. */
  splitParagraphs?: boolean;
  /** Bytes of the longest record; 256 MiB when not given. */
  maxLine?: number;
  signal?: AbortSignal;
}

/**
 * The documents of one file in order, as strings; returns size and sha256 of the bytes that were read, in the same pass.
 * @throws FormatError with file:line:byte for the first bad record.
 */
export async function* readDocuments(path: string, options: ReadOptions = {}): AsyncGenerator<Document, InputRecord> {
  const { textKey = 'text', splitParagraphs = false, ...rest } = options;
  const input = await openInput(await measure(path), { ...rest, textKey, splitParagraphs });
  try {
    yield* decodeDocuments(input.pieces, path, textKey);
    return await input.record();
  } finally {
    await input.close();
  }
}
