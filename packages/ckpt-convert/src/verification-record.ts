import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { replaceFile } from '@pai-cpt/core/node';
import { fileSizes, readTextFile, removeFile } from './node.ts';
import type { VerifyCheck, VerifyReport } from './verify.ts';

/** Beside the weights; whoever deploys or registers the folder asks for it. */
export const VERIFICATION_FILE = 'verification.json';

/**
 * That a folder was compared with its checkpoint and found equal. It holds for these files: the texts by SHA-256, the weights by
 * their length alone, for hashing them would read a terabyte once more. A new conversion removes it before it touches a weight.
 */
export interface VerificationRecord {
  readonly verification: 1;
  readonly against: string;
  readonly checks: readonly VerifyCheck[];
  readonly files: readonly { readonly name: string; readonly bytes: number; readonly sha256?: string }[];
}

/** Writes the record of a verification that succeeded; after one that failed, none is left to be believed. */
export async function recordVerification(folder: string, against: string, report: VerifyReport): Promise<void> {
  const path = join(folder, VERIFICATION_FILE);
  if (!report.ok) return removeFile(path);
  const files: VerificationRecord['files'][number][] = [];
  for (const { name, bytes } of await fileSizes(folder)) {
    if (name === VERIFICATION_FILE) continue;
    const text = name.endsWith('.json') ? await readTextFile(join(folder, name)) : undefined;
    const sha256 = text === undefined ? undefined : createHash('sha256').update(text).digest('hex');
    files.push({ name, bytes, ...(sha256 !== undefined && { sha256 }) });
  }
  const record: VerificationRecord = { verification: 1, against, checks: report.checks, files };
  await replaceFile(path, `${JSON.stringify(record, null, 2)}\n`);
}
