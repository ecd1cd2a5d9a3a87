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
}

/**
 * The conversion in `folder`, when it is whole and was verified as it is now: every file of the record is there in its length, and
 * config and index have their SHA-256. Weights are held to their length alone; hashing them is what `ckpt-convert verify` is for.
 * @throws InvalidInputError `CPT_INPUT_CHECKPOINT_MISSING` for a half-written folder, `CPT_INPUT_UNVERIFIED`.
 */
export async function requireVerified(uri: string, folder: FolderView): Promise<FinishedConversion> {
  const conversion = await readConversion(uri, folder);
  const sizes = new Map((await folder.list()).map(({ name, bytes }) => [name, bytes]));
  if (!sizes.has(RECORD_FILE)) throw unverified(uri, `it has no ${RECORD_FILE}`);
  const recorded = parseRecord(uri, await folder.readText(RECORD_FILE));
  const known = new Set(recorded.map(({ name }) => name));
  const added = [...sizes.keys()].find((name) => name.endsWith('.safetensors') && !known.has(name));
  if (added !== undefined) throw unverified(uri, `${added} came after the verification`);
  for (const { name, bytes, sha256 } of recorded) {
    const found = sizes.get(name);
    if (found === undefined) throw unverified(uri, `${name} was verified and is gone`);
    if (found !== bytes) throw unverified(uri, `${name} has ${found} bytes, ${bytes} were verified`);
    if (sha256 === undefined) continue;
    const now = createHash('sha256')
      .update(await folder.readText(name))
      .digest('hex');
    if (now !== sha256) throw unverified(uri, `${name} was changed after the verification`);
  }
  return conversion;
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
  const { name, bytes, sha256 } = (value ?? {}) as Partial<Record<keyof RecordedFile, unknown>>;
  return typeof name === 'string' && Number.isSafeInteger(bytes) && ['string', 'undefined'].includes(typeof sha256);
}

function unverified(uri: string, why: string): InvalidInputError {
  return new InvalidInputError(
    'CPT_INPUT_UNVERIFIED',
    `${uri}: not verified: ${why}; run ckpt-convert verify <folder> --against <checkpoint>`,
    { uri },
  );
}
