import { basename, dirname, join } from 'node:path';
import { type ByteSource, CptError, InvalidInputError, sliceSource } from '@pai-cpt/core';
import {
  type AuditedGlobal,
  type AuditedPickle,
  auditPickle,
  auditTorchFile,
  type DistItem,
  readDistMetadata,
} from '@pai-cpt/torch-checkpoint';
import pc from 'picocolors';
import { type IterationChoice, locateCheckpoint } from './locate-checkpoint.ts';
import { listDirectory, openFilePool, pathExists } from './node.ts';

/** The globals of the pickles of one file. The thousands of items of a `.distcp` file are counted together. */
export interface FileAudit {
  /** From the checkpoint's directory on. */
  readonly file: string;
  readonly pickles: readonly AuditedPickle[];
  /** Why the file cannot be read at all. */
  readonly problem?: string;
}

export interface SecurityReport {
  /** No global is refused, and every pickle can be read. */
  readonly ok: boolean;
  readonly directory: string;
  readonly files: readonly FileAudit[];
  /** `os.system`, in the order of the files. */
  readonly refused: readonly string[];
}

/** What torch and Megatron write with pickles in it. */
const PICKLED = /\.(pt|pth|pkl|ckpt|distcp)$|^\.metadata$|^pytorch_model.*\.bin$/;
const METADATA = '.metadata';
/** Deeper than any checkpoint: root, iteration, rank. */
const MAX_DEPTH = 6;

/**
 * Lists every global that the pickles of a checkpoint name, and what each builds. It reads what nothing else would: files of the
 * optimizer, and files that are no checkpoint. Nothing is executed, and no tensor is read.
 * @throws InvalidInputError `CPT_INPUT_CHECKPOINT_MISSING` when nothing there has a pickle.
 */
export async function inspectSecurity(
  path: string,
  options: { readonly iteration?: IterationChoice; readonly signal?: AbortSignal } = {},
): Promise<SecurityReport> {
  const directory = await directoryOf(path, options.iteration);
  const names = await pickledFiles(directory);
  if (names.length === 0) {
    const why = 'holds no file of torch.save and no .metadata; name a checkpoint';
    throw new InvalidInputError('CPT_INPUT_CHECKPOINT_MISSING', `${path}: ${why}`, { file: path });
  }
  const items = itemIndex();
  const files: FileAudit[] = [];
  for (const name of names) files.push(await auditFile(directory, name, items, options.signal));
  const pickles = files.flatMap((file) => file.pickles);
  const refused = pickles.flatMap(({ globals }) => globals.filter(isRefused).map(({ name }) => name));
  const isReadable = [...files, ...pickles].every(({ problem }) => problem === undefined);
  return { ok: refused.length === 0 && isReadable, directory, files, refused: [...new Set(refused)] };
}

const isRefused = ({ builds }: AuditedGlobal) => builds === 'refused';

/** The iteration that a conversion would take; all of `path` where its files are no checkpoint in order. */
async function directoryOf(path: string, iteration: IterationChoice | undefined): Promise<string> {
  try {
    return (await locateCheckpoint(path, iteration)).directory;
  } catch (error) {
    const exists = await pathExists(path);
    if (!CptError.isInstance(error) || iteration !== undefined || !exists) throw error;
    return path;
  }
}

/** Files with pickles, `.metadata` before the `.distcp` files that it describes. */
async function pickledFiles(directory: string, depth = 0): Promise<string[]> {
  const entries = await listDirectory(directory);
  if (!entries) return depth === 0 ? [''] : [];
  const found: string[] = [];
  for (const { name, isDirectory } of entries) {
    if (!isDirectory && PICKLED.test(name)) found.push(name);
    if (!isDirectory || depth === MAX_DEPTH) continue;
    found.push(...(await pickledFiles(join(directory, name), depth + 1)).map((inner) => join(name, inner)));
  }
  return found;
}

async function auditFile(
  directory: string,
  name: string,
  items: ItemIndex,
  signal: AbortSignal | undefined,
): Promise<FileAudit> {
  const path = name === '' ? directory : join(directory, name);
  const file = name === '' ? basename(path) : name;
  const pool = openFilePool();
  try {
    const source = await pool.open(path);
    if (name.endsWith('.distcp')) return { file, pickles: await auditItems(source, await items(path), path, signal) };
    const isBare = name.endsWith('.pkl') || basename(path) === METADATA;
    return {
      file,
      pickles: isBare ? [await auditPickle(source, file, signal)] : await auditTorchFile(source, file, signal),
    };
  } catch (error) {
    if (!CptError.isInstance(error)) throw error;
    return { file, pickles: [], problem: `${error.message} [${error.code}]` };
  } finally {
    await pool.close();
  }
}

/** One line for all items without a fault, and one for each that has one. */
async function auditItems(
  source: ByteSource,
  items: readonly DistItem[],
  path: string,
  signal: AbortSignal | undefined,
): Promise<AuditedPickle[]> {
  const audited: AuditedPickle[] = [];
  for (const { byteOffset, byteLength } of items) {
    const label = `${basename(path)} from byte ${byteOffset}`;
    const pickles = await auditTorchFile(sliceSource(source, byteOffset, byteLength, label), label, signal);
    audited.push(...pickles.map((pickle) => ({ ...pickle, entry: `${pickle.entry} from byte ${byteOffset}` })));
  }
  const isFaulty = ({ problem, globals }: AuditedPickle) => problem !== undefined || globals.some(isRefused);
  const whole = audited.filter((pickle) => !isFaulty(pickle));
  return [{ entry: `${whole.length} items`, globals: sumGlobals(whole) }, ...audited.filter(isFaulty)];
}

/** The items of a `.distcp` file by the `.metadata` beside it, which is read once. */
type ItemIndex = (path: string) => Promise<readonly DistItem[]>;

function itemIndex(): ItemIndex {
  const known = new Map<string, Promise<Map<string, DistItem[]>>>();
  return async (path) => {
    const metadataFile = join(dirname(path), METADATA);
    const opened = known.get(metadataFile) ?? readItems(metadataFile);
    known.set(metadataFile, opened);
    return (await opened).get(basename(path)) ?? [];
  };
}

async function readItems(metadataFile: string): Promise<Map<string, DistItem[]>> {
  const pool = openFilePool();
  try {
    const metadata = await readDistMetadata(await pool.open(metadataFile), metadataFile);
    const items = [...metadata.objects.values(), ...[...metadata.tensors.values()].flatMap(({ chunks }) => chunks)];
    const byPlace = new Map(items.map((item) => [`${item.relativePath} ${item.byteOffset}`, item]));
    const byFile = new Map<string, DistItem[]>();
    for (const item of byPlace.values()) {
      const others = byFile.get(item.relativePath);
      if (others) others.push(item);
      else byFile.set(item.relativePath, [item]);
    }
    return byFile;
  } finally {
    await pool.close();
  }
}

function sumGlobals(pickles: readonly AuditedPickle[]): AuditedGlobal[] {
  const sums = new Map<string, AuditedGlobal>();
  for (const global of pickles.flatMap(({ globals }) => globals)) {
    sums.set(global.name, { ...global, count: global.count + (sums.get(global.name)?.count ?? 0) });
  }
  return [...sums.values()];
}

/** The report for a person. Files with the same globals are one block: the ranks of a checkpoint are alike. */
export function describeSecurity({ ok, directory, files, refused }: SecurityReport): string {
  const blocks = new Map<string, string[]>();
  for (const { file, pickles, problem } of files) {
    const faults = [problem, ...pickles.map((pickle) => pickle.problem)].filter((line) => line !== undefined);
    const lines = [
      ...pickles.flatMap(({ globals }) => globals.map(describeGlobal)),
      ...faults.map((line) => `  ${pc.red('refused')}  ${line}`),
    ];
    const block = lines.join('\n');
    blocks.set(block, [...(blocks.get(block) ?? []), file]);
  }
  const parts = [...blocks].map(([block, names]) => `${pc.bold(names.join(', '))}\n${block}\n`);
  const verdict = ok
    ? pc.green('nothing here is refused; nothing was executed')
    : pc.red(`refused${refused.length > 0 ? `: ${refused.join(', ')}` : ''}; do not load this with Python`);
  return `${parts.join('')}${directory}: ${verdict}\n`;
}

function describeGlobal({ name, count, builds, why }: AuditedGlobal): string {
  const kind = builds === 'refused' ? pc.red(builds.padEnd(12)) : builds.padEnd(12);
  return `  ${kind} ${String(count).padStart(6)} × ${name}${why === undefined ? '' : `\n    ${why}`}`;
}
