import { writeSync } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { InvalidInputError } from '@pai-cpt/core';
import { commitFile, type FileSource, fileSource, replaceFile, temporaryPath } from '@pai-cpt/core/node';
import { type MmapDataset, openDatasetSources } from './read.ts';
import { parseSidecar, type Sidecar } from './sidecar.ts';
import type { TokenDtype } from './token-dtype.ts';
import { type ByteSink, createPairWriter, type DatasetSummary, type PairWriter } from './write.ts';

/**
 * The dataset prefix a person means: a folder gives `folder/dataset`, the name PAI QuickStart asks for, and a trailing `.idx` or
 * `.bin` is dropped.
 */
export async function resolvePrefix(path: string): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory() || path.endsWith('/')) return join(path, 'dataset');
  return path.replace(/\.(idx|bin)$/, '');
}

/**
 * Opens `prefix.idx` and `prefix.bin`; see `openDatasetSources`. Close it.
 * @throws InvalidInputError `CPT_INPUT_FILE_MISSING` when one of the two is not there.
 */
export async function openDataset(prefix: string, signal?: AbortSignal): Promise<MmapDataset> {
  const opened: FileSource[] = [];
  const close = async () => {
    await Promise.all(opened.map((source) => source.close()));
  };
  try {
    const idx = await fileSource(`${prefix}.idx`);
    opened.push(idx);
    const bin = await fileSource(`${prefix}.bin`);
    opened.push(bin);
    return await openDatasetSources({ prefix, idx, bin, close }, signal);
  } catch (error) {
    await close();
    throw error;
  }
}

/** What `cpt-mmap build` noted about a dataset, from `prefix.json`; `undefined` when another program made the dataset. */
export async function readSidecar(prefix: string): Promise<Sidecar | undefined> {
  const file = `${prefix}.json`;
  const source = await fileSource(file).catch(() => undefined);
  if (!source) return undefined;
  try {
    return parseSidecar(await source.read(0, source.byteLength), file);
  } finally {
    await source.close();
  }
}

/** Writes one dataset to temporary names; nothing has a final name before `commit`. */
export interface DatasetWriter {
  readonly prefix: string;
  addDocument: PairWriter['addDocument'];
  addDocuments: PairWriter['addDocuments'];
  /** Ends both files and syncs them, still under temporary names. */
  prepare(): Promise<DatasetSummary>;
  /** Gives the files their names: `.bin`, then the sidecar, then `.idx`, which marks the dataset as whole. */
  commit(sidecar?: string): Promise<void>;
  /** `prepare` and `commit` for a dataset without a sidecar. */
  finish(): Promise<DatasetSummary>;
  /** Removes the temporary files; harmless after `commit`. */
  abort(): Promise<void>;
}

export interface DatasetWriterOptions {
  prefix: string;
  dtype: TokenDtype;
  /** End the index with one mode per sequence: a multimodal set. */
  hasModes?: boolean;
  /** Replace an existing dataset. */
  force?: boolean;
}

/**
 * Opens a writer for `prefix.bin` and `prefix.idx`, creating missing folders.
 * @throws InvalidInputError `CPT_INPUT_OUTPUT_EXISTS` when a file of the dataset is there and `force` is not set.
 */
export async function createDatasetWriter(options: DatasetWriterOptions): Promise<DatasetWriter> {
  const { prefix, dtype, hasModes = false, force = false } = options;
  if (!force) await refuseExisting(prefix);
  await mkdir(dirname(prefix), { recursive: true });
  const temporary = { bin: temporaryPath(`${prefix}.bin`), idx: temporaryPath(`${prefix}.idx`) };
  const bin = await open(temporary.bin, 'wx');
  const pair = createPairWriter({ name: prefix, dtype, hasModes, bin: handleSink(bin) });

  const prepare = async () => {
    const idx = await open(temporary.idx, 'wx');
    try {
      const summary = await pair.finish(handleSink(idx));
      await bin.sync();
      await idx.sync();
      return summary;
    } finally {
      await idx.close();
      await bin.close();
    }
  };
  const commit = async (sidecar?: string) => {
    // Without its index an old dataset is no dataset: a crash from here on leaves none, never a mix of old and new.
    await rm(`${prefix}.idx`, { force: true });
    await rm(`${prefix}.json`, { force: true });
    await commitFile(temporary.bin, `${prefix}.bin`);
    if (sidecar !== undefined) await replaceFile(`${prefix}.json`, sidecar);
    await commitFile(temporary.idx, `${prefix}.idx`);
  };
  return {
    prefix,
    addDocument: pair.addDocument,
    addDocuments: pair.addDocuments,
    prepare,
    commit,
    async finish() {
      const summary = await prepare();
      await commit();
      return summary;
    },
    async abort() {
      await bin.close().catch(() => undefined);
      await rm(temporary.bin, { force: true });
      await rm(temporary.idx, { force: true });
    },
  };
}

/** Writes in the foreground: into the system's cache, less than asking another thread to do it. */
function handleSink({ fd }: FileHandle): ByteSink {
  return {
    write(bytes) {
      for (let done = 0; done < bytes.byteLength; ) done += writeSync(fd, bytes, done);
      return undefined;
    },
  };
}

/** @throws InvalidInputError `CPT_INPUT_OUTPUT_EXISTS`, naming the file that is in the way. */
export async function refuseExisting(prefix: string): Promise<void> {
  const file = await existingFile(prefix);
  if (!file) return;
  throw new InvalidInputError(
    'CPT_INPUT_OUTPUT_EXISTS',
    `${file}: already exists; choose another output or replace it with --force`,
    { file },
  );
}

/** The first file of a dataset that is there. */
export async function existingFile(prefix: string): Promise<string | undefined> {
  for (const file of [`${prefix}.bin`, `${prefix}.idx`, `${prefix}.json`]) if (await exists(file)) return file;
  return undefined;
}

/** Megatron's index cache beside a dataset. Its names do not depend on the tokens, so after a rewrite it serves wrong offsets. */
export async function staleIndexCache(prefix: string): Promise<string | undefined> {
  const folder = join(prefix, 'cache', 'GPTDataset_indices');
  return (await exists(folder)) ? folder : undefined;
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

/** All files below a folder, sorted by name at each level; hidden ones are left out. */
export async function listFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const files: string[] = [];
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (entry.name.startsWith('.')) continue;
    const path = join(folder, entry.name);
    const isFolder = entry.isDirectory() || (entry.isSymbolicLink() && (await isDirectory(path)));
    if (isFolder) files.push(...(await listFiles(path)));
    else files.push(path);
  }
  return files;
}

/** True for a folder, also behind a symbolic link. */
export async function isDirectory(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
}

/** Processor seconds of this process so far, user and system, all threads. */
export function processorSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}
