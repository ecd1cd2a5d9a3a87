import { join } from 'node:path';
import { replaceFile } from '@pai-cpt/core/node';
import type { DigestKind } from './digest/digests.ts';
import { fileSha256, fileSizes, modifiedMs, removeFile } from './node.ts';
import type { VerifyCheck, VerifyReport } from './verify.ts';

/** Beside the weights; whoever deploys or registers the folder asks for it. */
export const VERIFICATION_FILE = 'verification.json';

/**
 * That a folder was compared with its checkpoint and found equal. It holds for these files: texts and weights by their SHA-256, or,
 * where the weights' was not wanted, by their length and the time of their last change. A new conversion removes it before it touches
 * a weight.
 */
export interface VerificationRecord {
  readonly verification: 1;
  readonly against: string;
  readonly checks: readonly VerifyCheck[];
  readonly files: readonly {
    readonly name: string;
    readonly bytes: number;
    readonly sha256?: string;
    readonly modifiedMs?: number;
  }[];
}

/** Writes the record of a verification that succeeded; after one that failed, none is left to be believed. */
export async function recordVerification(
  folder: string,
  against: string,
  report: VerifyReport,
  { digest = 'sha256', signal }: { digest?: DigestKind; signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const path = join(folder, VERIFICATION_FILE);
  if (!report.ok) return removeFile(path);
  const files: VerificationRecord['files'][number][] = [];
  for (const { name, bytes } of await fileSizes(folder)) {
    if (name === VERIFICATION_FILE) continue;
    const file = join(folder, name);
    const isWeight = name.endsWith('.safetensors');
    if (name.endsWith('.json') || (isWeight && digest === 'sha256')) {
      files.push({ name, bytes, sha256: await fileSha256(file, signal) });
    } else files.push({ name, bytes, ...(isWeight && { modifiedMs: await modifiedMs(file) }) });
  }
  const record: VerificationRecord = { verification: 1, against, checks: report.checks, files };
  await replaceFile(path, `${JSON.stringify(record, null, 2)}\n`);
}
