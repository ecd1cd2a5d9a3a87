import { type CptError, InvalidInputError } from '@pai-cpt/core';
import { BAD_REASONS, type BadReason, type BadRecord } from '../documents/bad-record.ts';
import type { Batch, Oversized } from '../documents/batch.ts';
import { badRecordError, oversizedError, oversizedWhy } from '../documents/decode-documents.ts';
import { type BuildCounts, badCount } from './counts.ts';
import type { BadPolicy, EncodeRules } from './encode-rules.ts';
import { createBuffer } from './output/buffer.ts';
import type { GrowingFile } from './output/node.ts';

/** Decides what bad records are: the end of the build, or a line in `rejects.jsonl`. */
export interface BadLog {
  /** @throws FormatError or InvalidInputError under the policy `fail`. */
  reject(bad: BadRecord, batch: Pick<Batch, 'unit' | 'byteOffset'>, file: string, lineBefore: number): Promise<void>;
  rejectOversized(piece: Oversized, file: string, lineBefore: number): Promise<void>;
  /** @throws InvalidInputError `CPT_INPUT_TOO_MANY_BAD`. Before the end only once enough records were read to tell. */
  checkShare(isEnd: boolean): Promise<void>;
  /** Writes what is buffered; the bytes of the file. */
  flush(): Promise<number>;
}

/** A share of few records says little: one of the first ten is not a tenth of a corpus. */
const ENOUGH_RECORDS = 100_000;

export function createBadLog(options: {
  rules: EncodeRules;
  maxBad: number;
  counts: BuildCounts;
  file: GrowingFile;
  fileBytes: number;
}): BadLog {
  const { rules, maxBad, counts, file } = options;
  let { fileBytes } = options;
  const buffer = createBuffer(1 << 16, (bytes) => file.append(bytes));

  async function add(policy: BadPolicy | 'replace', reason: BadReason, error: CptError, why: string): Promise<void> {
    if (policy === 'fail') throw error;
    counts.dropped[reason] = (counts.dropped[reason] ?? 0) + 1;
    counts.records++;
    const { code, details } = error;
    const line = Buffer.from(`${JSON.stringify({ ...details, reason, code, why })}\n`);
    fileBytes += line.byteLength;
    await buffer.append(line);
  }

  return {
    reject(bad, batch, file, lineBefore) {
      const policy = bad.reason === 'utf8' ? rules.onInvalidUtf8 : rules.onBad;
      return add(policy, bad.reason, badRecordError(bad, batch, file, lineBefore), bad.why);
    },
    rejectOversized(piece, file, lineBefore) {
      return add(rules.onBad, 'too-long', oversizedError(piece, file, lineBefore), oversizedWhy(piece));
    },
    async checkShare(isEnd) {
      const bad = badCount(counts);
      if (bad === 0 || bad <= maxBad * counts.records || (!isEnd && counts.records < ENOUGH_RECORDS)) return;
      await buffer.flush();
      const reasons = Object.keys(BAD_REASONS).filter((reason) => counts.dropped[reason as BadReason]);
      const found = reasons.map((reason) => `${counts.dropped[reason as BadReason]} ${reason}`).join(', ');
      throw new InvalidInputError(
        'CPT_INPUT_TOO_MANY_BAD',
        `${bad} of ${counts.records} records are bad (${found}), more than the share ${maxBad} of --max-bad`,
        { bad, records: counts.records },
      );
    },
    async flush() {
      await buffer.flush();
      return fileBytes;
    },
  };
}
