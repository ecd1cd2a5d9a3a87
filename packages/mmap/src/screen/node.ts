import { type FileHandle, mkdir, open, rm, stat } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { InvalidInputError } from '@pai-cpt/core';
import { commitFile, temporaryPath } from '@pai-cpt/core/node';
import type { CorpusDocument, CorpusFile } from './corpus.ts';

/** Why a document was refused; further keys are the details. */
export interface Reject {
  reason: string;
  [detail: string]: unknown;
}

export interface ScreenOutputOptions {
  /** Folder for the kept documents. Without it nothing is dropped. */
  drop?: string;
  /** File for the refused documents; with `drop` it is `FOLDER.rejects.jsonl` when not given. */
  rejects?: string;
  /** Key of the text of a document that comes from no JSONL file. */
  textKey?: string;
}

/** What a screening wrote. */
export interface ScreenFiles {
  folder?: string;
  files: string[];
  rejects?: string;
}

/** Where screened documents go. Everything has a temporary name until `commit`. */
export interface ScreenOutput {
  keep(document: CorpusDocument): Promise<void>;
  reject(document: CorpusDocument, reject: Reject): Promise<void>;
  commit(): Promise<ScreenFiles>;
  /** Removes the temporary files; harmless after `commit`. */
  abort(): Promise<void>;
}

/**
 * Prepares the output of a screening: one .jsonl file in `drop` for each file of the corpus, and the rejects.
 * @throws InvalidInputError `CPT_INPUT_OUTPUT_EXISTS` when a file is already there, `CPT_INPUT_INVALID` when two files of the
 * corpus would have one name or the rejects would lie among the kept documents, where the next command would read them.
 */
export async function openScreenOutput(
  files: readonly CorpusFile[],
  options: ScreenOutputOptions,
): Promise<ScreenOutput | undefined> {
  const { drop, textKey = 'text' } = options;
  const rejectsPath = options.rejects ?? (drop === undefined ? undefined : `${resolve(drop)}.rejects.jsonl`);
  if (rejectsPath === undefined) return undefined;
  const paths = drop === undefined ? new Map<string, string>() : keptPaths(files, drop);
  if (drop !== undefined) refuseWithin(drop, rejectsPath);
  for (const path of [...paths.values(), rejectsPath]) await refuseExisting(path);

  const rejects = createAppender(rejectsPath);
  const kept = new Map([...paths].map(([file, path]) => [file, createAppender(path)]));
  const appenders = [rejects, ...kept.values()];
  let current: Appender | undefined;
  return {
    async keep(document) {
      const appender = kept.get(document.file.path);
      if (!appender) return;
      if (appender !== current) await current?.end();
      current = appender;
      await appender.append(keptLine(document, textKey));
    },
    reject: (document, { reason, ...details }) => {
      const { file, line, texts } = document;
      const text = texts.length === 1 ? texts[0] : texts;
      return rejects.append(`${JSON.stringify({ file: file.path, line, reason, ...details, text })}\n`);
    },
    async commit() {
      for (const appender of appenders) await appender.end();
      for (const appender of appenders) await appender.commit();
      return { ...(drop !== undefined && { folder: drop }), files: [...paths.values()], rejects: rejectsPath };
    },
    async abort() {
      for (const appender of appenders) await appender.abort();
    },
  };
}

/** Output file by input file. */
function keptPaths(files: readonly CorpusFile[], drop: string): Map<string, string> {
  const paths = new Map<string, string>();
  const sources = new Map<string, string>();
  for (const file of files) {
    const path = join(drop, keptName(file.name));
    const other = sources.get(path);
    if (other !== undefined) {
      throw new InvalidInputError(
        'CPT_INPUT_INVALID',
        `${other} and ${file.path}: both would be written to ${path}; give a folder that holds both, or screen them apart`,
        { file: file.path },
      );
    }
    sources.set(path, file.path);
    paths.set(file.path, path);
  }
  return paths;
}

/** `a.jsonl`, `a.ndjson` and `a.jsonl.gz` give `a.jsonl`; every other kind keeps its name: `a.txt.jsonl`. */
export function keptName(name: string): string {
  const plain = name.replace(/\.(gz|zst)$/i, '');
  return /\.(jsonl|ndjson)$/i.test(plain) ? plain.replace(/\.[^.]*$/, '.jsonl') : `${plain}.jsonl`;
}

/** A line of a JSONL file stays as it is, with all its keys. */
function keptLine({ source, texts }: CorpusDocument, textKey: string): string | Uint8Array {
  if (!source) return `${JSON.stringify({ [textKey]: texts.length === 1 ? texts[0] : texts })}\n`;
  return source.at(-1) === 0x0a ? source : Buffer.concat([source, Buffer.from('\n')]);
}

function refuseWithin(folder: string, path: string): void {
  const below = relative(resolve(folder), resolve(path));
  if (below.startsWith('..') || below === '') return;
  throw new InvalidInputError(
    'CPT_INPUT_INVALID',
    `${path}: lies in ${folder}, where the rejects would be read as documents; choose another place with --rejects`,
    { field: 'rejects' },
  );
}

async function refuseExisting(path: string): Promise<void> {
  if (!(await stat(path).catch(() => undefined))) return;
  throw new InvalidInputError(
    'CPT_INPUT_OUTPUT_EXISTS',
    `${path}: already exists; choose another output or remove it`,
    {
      file: path,
    },
  );
}

interface Appender {
  append(line: string | Uint8Array): Promise<void>;
  /** Writes what is left and closes; an appender that got nothing leaves an empty file. */
  end(): Promise<void>;
  commit(): Promise<void>;
  abort(): Promise<void>;
}

const FLUSH_BYTES = 1 << 20;

function createAppender(path: string): Appender {
  const temporary = temporaryPath(path);
  let handle: FileHandle | undefined;
  let pending: Uint8Array[] = [];
  let pendingBytes = 0;
  let isOpen = true;
  const flush = async () => {
    if (!handle) {
      await mkdir(dirname(path), { recursive: true });
      handle = await open(temporary, 'wx');
    }
    const bytes = Buffer.concat(pending);
    pending = [];
    pendingBytes = 0;
    await handle.writeFile(bytes);
  };
  return {
    async append(line) {
      const bytes = typeof line === 'string' ? Buffer.from(line) : line;
      pending.push(bytes);
      pendingBytes += bytes.byteLength;
      if (pendingBytes >= FLUSH_BYTES) await flush();
    },
    async end() {
      if (!isOpen) return;
      isOpen = false;
      try {
        await flush();
        await handle?.sync();
      } finally {
        await handle?.close();
      }
    },
    async commit() {
      await commitFile(temporary, path);
    },
    async abort() {
      if (isOpen) await handle?.close();
      isOpen = false;
      await rm(temporary, { force: true });
    },
  };
}
