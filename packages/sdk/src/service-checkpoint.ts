import { createHash } from 'node:crypto';
import { InvalidInputError } from '@pai-cpt/core';
import { type FinishedConversion, readConversion } from './conversion.ts';
import type { FolderView } from './folder.ts';

/** What `ckpt-convert verify` leaves in a folder that it found equal to its checkpoint. */
const RECORD_FILE = 'verification.json';

interface RecordedFile {
  readonly name: string;
  readonly bytes: number;
  readonly sha256?: string;
  /** Where no digest was taken. */
  readonly modifiedMs?: number;
}

/** What holds the weights to what was verified: the weakest that counts for any of their files. */
export type WeightBinding = 'sha256' | 'time' | 'length';

/**
 * The conversion in `folder`, when it is whole and was verified as it is now: every file of the record is there in its length and
 * has its SHA-256 or, where none was taken, the time of its last change. What the record holds to its length alone, as those of
 * earlier versions do, could be other weights: `boundBy` says which of the three it is.
 * @throws InvalidInputError `CPT_INPUT_CHECKPOINT_MISSING` for a half-written folder, `CPT_INPUT_UNVERIFIED`.
 */
export async function requireVerified(
  uri: string,
  folder: FolderView,
  signal?: AbortSignal,
): Promise<FinishedConversion & { readonly boundBy: WeightBinding }> {
  const conversion = await readConversion(uri, folder);
  const present = new Map((await folder.list()).map((file) => [file.name, file]));
  if (!present.has(RECORD_FILE)) throw unverified(uri, `it has no ${RECORD_FILE}`);
  const recorded = parseRecord(uri, await folder.readText(RECORD_FILE));
  const known = new Set(recorded.map(({ name }) => name));
  const added = [...present.keys()].find((name) => isWeight(name) && !known.has(name));
  if (added !== undefined) throw unverified(uri, `${added} came after the verification`);
  // What costs nothing first: a digest reads the whole file.
  for (const { name, bytes, sha256, modifiedMs } of recorded) {
    const found = present.get(name);
    if (found === undefined) throw unverified(uri, `${name} was verified and is gone`);
    if (found.bytes !== bytes) throw unverified(uri, `${name} has ${found.bytes} bytes, ${bytes} were verified`);
    if (sha256 === undefined && modifiedMs !== undefined && found.modifiedMs !== modifiedMs) {
      throw unverified(uri, `${name} has another time than when it was verified, and no digest of it was taken`);
    }
  }
  for (const { name, sha256 } of recorded) {
    if (sha256 === undefined || (await digestOf(uri, folder, name, signal)) === sha256) continue;
    throw unverified(uri, `${name} was changed after the verification`);
  }
  return { ...conversion, boundBy: bindingOf(recorded.filter(({ name }) => isWeight(name))) };
}

const isWeight = (name: string): boolean => name.endsWith('.safetensors');

/** Texts are small, and every view shows them. */
async function digestOf(uri: string, folder: FolderView, name: string, signal?: AbortSignal): Promise<string> {
  if (!isWeight(name)) {
    return createHash('sha256')
      .update(await folder.readText(name))
      .digest('hex');
  }
  if (folder.sha256) return folder.sha256(name, signal);
  throw unverified(uri, `${name} has a digest in the record, which this view of the folder cannot take`);
}

function bindingOf(weights: readonly RecordedFile[]): WeightBinding {
  if (weights.every(({ sha256 }) => sha256 !== undefined)) return 'sha256';
  const isTimed = weights.every(({ sha256, modifiedMs }) => sha256 !== undefined || modifiedMs !== undefined);
  return isTimed ? 'time' : 'length';
}

function parseRecord(uri: string, text: string): RecordedFile[] {
  try {
    const { verification, files } = JSON.parse(text) as { verification?: unknown; files?: unknown };
    if (verification === 1 && Array.isArray(files) && files.length > 0 && files.every(isRecorded)) return files;
  } catch {
    // The same refusal as for JSON of another kind.
  }
  throw unverified(uri, `${RECORD_FILE} is not the record of a verification`);
}

function isRecorded(value: unknown): value is RecordedFile {
  const { name, bytes, sha256, modifiedMs } = (value ?? {}) as Partial<Record<keyof RecordedFile, unknown>>;
  const isOptional = (field: unknown, type: string) => field === undefined || typeof field === type;
  const isKnown = typeof name === 'string' && Number.isSafeInteger(bytes);
  return isKnown && isOptional(sha256, 'string') && isOptional(modifiedMs, 'number');
}

function unverified(uri: string, why: string): InvalidInputError {
  return new InvalidInputError(
    'CPT_INPUT_UNVERIFIED',
    `${uri}: not verified: ${why}; run ckpt-convert verify <folder> --against <checkpoint>`,
    { uri },
  );
}
