import { type ByteSource, CptError } from '@pai-cpt/core';
import { readLegacyPickles } from './legacy-torch-file.ts';
import { isLegacyTorch } from './magic.ts';
import { readPickle, requirePickleSize } from './torch-file.ts';
import { type GlobalKind, kindOfGlobal } from './torch-globals.ts';
import { storageFromId } from './torch-tensors.ts';
import { type GlobalAudit, unpickle } from './unpickle.ts';
import { readEntry, readZipDirectory } from './zip-read.ts';

/** A global that a pickle names, and what we make of it; Python would import it, and call it where it is called. */
export interface AuditedGlobal {
  /** `os.system` */
  readonly name: string;
  /** How often it is called, or named where it is never called. */
  readonly count: number;
  readonly builds: GlobalKind;
  /** Why it is refused. */
  readonly why?: string;
}

export interface AuditedPickle {
  /** The entry of a zip, or which pickle of a file. */
  readonly entry: string;
  readonly globals: readonly AuditedGlobal[];
  /** Why the pickle as a whole is refused; the globals are those up to there. */
  readonly problem?: string;
}

/** Collects what a pickle names, where a reader would stop at the first name of an attack. */
class GlobalCounts implements GlobalAudit {
  readonly #found = new Map<string, { named: number; called: number; why?: string }>();

  name(global: string): void {
    this.#of(global).named++;
  }

  call(global: string): void {
    this.#of(global).called++;
  }

  refuse(global: string, why: string): void {
    this.#of(global).why ??= why;
  }

  /** In the order of first use. */
  list(): AuditedGlobal[] {
    return [...this.#found].map(([global, { named, called, why }]) => ({
      name: global.replace(' ', '.'),
      count: called || named,
      builds: why === undefined ? kindOfGlobal(global) : 'refused',
      ...(why !== undefined && { why }),
    }));
  }

  #of(global: string) {
    const found = this.#found.get(global) ?? { named: 0, called: 0 };
    this.#found.set(global, found);
    return found;
  }
}

/** The globals of a file that is one bare pickle, as `.metadata` is. Nothing is executed, and no error of the pickle is thrown. */
export function auditPickle(source: ByteSource, file: string, signal?: AbortSignal): Promise<AuditedPickle> {
  return collect('pickle', async (start) => {
    unpickle(await readPickle(source, file, signal), file, { audit: start() });
  });
}

/**
 * The globals of every pickle of a torch.save file: each `.pkl` entry of a zip, or the pickles that the older form begins with.
 * Nothing is executed and no tensor is read; what a reader would refuse in a pickle is in the result.
 * @throws FormatError `CPT_ZIP_…`, UnsupportedError: for a file that is no zip of torch and no older form of it.
 */
export async function auditTorchFile(source: ByteSource, file: string, signal?: AbortSignal): Promise<AuditedPickle[]> {
  const start = await source.read(0, Math.min(16, source.byteLength), signal);
  if (isLegacyTorch(start)) {
    return [await collect('pickles', (startAudit) => readLegacyPickles(source, file, signal, startAudit))];
  }
  const directory = await readZipDirectory(source, file, signal);
  const audited: AuditedPickle[] = [];
  for (const [name, entry] of directory.entries) {
    if (!name.endsWith('.pkl')) continue;
    const read = async (startAudit: () => GlobalAudit) => {
      requirePickleSize(entry.byteLength, `${file} ${name}`);
      const bytes = await readEntry(source, entry, directory, file, signal);
      unpickle(bytes, `${file} ${name}`, { persistentLoad: storageFromId, audit: startAudit() });
    };
    audited.push(await collect(name, read));
  }
  return audited;
}

async function collect(entry: string, read: (start: () => GlobalAudit) => unknown): Promise<AuditedPickle> {
  let counts = new GlobalCounts();
  const start = () => {
    counts = new GlobalCounts();
    return counts;
  };
  try {
    await read(start);
  } catch (error) {
    if (!CptError.isInstance(error)) throw error;
    return { entry, globals: counts.list(), problem: `${error.message} [${error.code}]` };
  }
  return { entry, globals: counts.list() };
}
