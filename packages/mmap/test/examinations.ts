import { join } from 'node:path';
import type { Examination } from '../src/doctor/examine.ts';
import { createDatasetWriter } from '../src/node.ts';
import type { TokenDtype } from '../src/token-dtype.ts';
import { temporaryFolder } from './fixtures.ts';

export type Ids = readonly number[] | Int32Array;

/** Documents of one sequence each, on disk; gives the prefix. */
export async function writeDocuments(documents: readonly Ids[], dtype: TokenDtype = 'int32'): Promise<string> {
  const prefix = join(temporaryFolder(), 'set');
  const writer = await createDatasetWriter({ prefix, dtype });
  for (const ids of documents) await writer.addDocument([Int32Array.from(ids)]);
  await writer.finish();
  return prefix;
}

/** Codes of the findings, of one level or all. */
export const codes = (examination: Examination, level?: string) =>
  examination.findings.filter((finding) => level === undefined || finding.level === level).map(({ code }) => code);

/** The finding of a code, which must be there. */
export const finding = (examination: Examination, code: string, level?: string) => {
  const found = examination.findings.find((entry) => entry.code === code && (!level || entry.level === level));
  if (!found) throw new Error(`no ${level ?? ''} ${code} in ${codes(examination).join(', ')}`);
  return found;
};

/** Seeded numbers below `limit` (numerical recipes' generator, its upper bits). */
export function randomNumbers(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state >>> 8) % limit;
  };
}
