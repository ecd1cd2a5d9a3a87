import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CptError } from '@pai-cpt/core';
import { onTestFinished } from 'vitest';

export const FIXTURES = join(import.meta.dirname, '../../../fixtures');
export const TOKENIZER = join(FIXTURES, 'tokenizer');
export const CORPUS = join(FIXTURES, 'corpus');
export const CORPUS_FILES = [join(CORPUS, 'english.jsonl'), join(CORPUS, 'chinese.jsonl')];

/** A case of fixtures/mmap/pairs.json that a reader must accept. */
export interface ReadablePair {
  name: string;
  dtype: string;
  documents: number[][][];
  lengths: number[];
  pointers: number[];
  documentIndex: number[];
  modes: number[] | null;
  tokens: number;
  warnings: string[];
  idx: Buffer;
  bin: Buffer;
}

/** A case that a reader must refuse, with the code it must give. */
export interface BrokenPair {
  name: string;
  refusal: string;
  idx: Buffer | undefined;
  bin: Buffer | undefined;
}

type RawPair = Record<string, unknown> & { idx: string | null; bin: string | null };

const pairs = (readFixture('mmap/pairs.json') as RawPair[]).map((pair) => ({
  ...pair,
  idx: pair.idx === null ? undefined : Buffer.from(pair.idx, 'hex'),
  bin: pair.bin === null ? undefined : Buffer.from(pair.bin, 'hex'),
}));

export const readablePairs = pairs.filter((pair) => !('refusal' in pair)) as unknown as ReadablePair[];
export const brokenPairs = pairs.filter((pair) => 'refusal' in pair) as unknown as BrokenPair[];

export function readablePair(name: string): ReadablePair {
  const pair = readablePairs.find((entry) => entry.name === name);
  if (!pair) throw new Error(`no fixture ${name}`);
  return pair;
}

export function readFixture(path: string): unknown {
  return JSON.parse(readFileSync(join(FIXTURES, path), 'utf8'));
}

/** An empty folder that goes when the test ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'cpt-mmap-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** An empty folder for several tests; remove it. */
export function keptFolder(): string {
  return mkdtempSync(join(tmpdir(), 'cpt-mmap-'));
}

export function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true }).map(String).sort();
}

/** Descriptors of this process that are still open on files below a folder; none where the system does not tell. */
export function openDescriptors(folder: string): string[] {
  if (process.platform !== 'linux') return [];
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const path = readlinkSync(`/proc/self/fd/${fd}`);
      return path.startsWith(folder) ? [path] : [];
    } catch {
      return []; // closed between the listing and the look
    }
  });
}

/** What a promise is refused with; fails the test when it is not refused by one of our errors. */
export async function refusal(promise: Promise<unknown>): Promise<CptError> {
  const error = await promise.then(
    () => new Error('it was accepted'),
    (reason: unknown) => reason,
  );
  if (!CptError.isInstance(error)) throw error;
  return error;
}
