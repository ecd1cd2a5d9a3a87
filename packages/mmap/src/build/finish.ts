import type { BuildOptions, BuildPlan } from '../build-plan.ts';
import { HELD_OUT_SEED } from '../held-out.ts';
import { type Sidecar, type SidecarInput, serializeSidecar } from '../sidecar.ts';
import type { DatasetSummary } from '../write.ts';
import type { BuildCounts } from './counts.ts';
import { describeOptions } from './describe-start.ts';
import { writeWhole } from './output/node.ts';
import type { PartWriter } from './output/part-writer.ts';
import { shufflePart } from './output/shuffle-part.ts';
import type { WorkFolder } from './resume/node.ts';

/** What was written, still in the work folder. */
export interface FinishedParts {
  summaries: DatasetSummary[];
  /** From, to, in the order of naming: the dataset itself last, so that when it is there its held-out part is too. */
  renames: [string, string][];
}

/** Writes index and sidecar of each part, after putting its documents in random order when that was asked for. */
export async function finishParts(
  plan: BuildPlan,
  options: BuildOptions,
  work: WorkFolder,
  writers: readonly PartWriter[],
  written: { records: SidecarInput[]; counts: BuildCounts },
): Promise<FinishedParts> {
  const summaries: DatasetSummary[] = [];
  const renames: [string, string][] = [];
  for (const [i, { prefix, part }] of plan.parts.entries()) {
    const ordered = await (writers[i] as PartWriter).finish(work.path(`${part}.idx`));
    const shuffled =
      options.shuffle === undefined ? undefined : await shufflePart(work.path(part), plan.dtype, options);
    const summary = shuffled?.summary ?? ordered;
    const stem = shuffled?.prefix ?? work.path(part);
    summaries.push(summary);
    const sidecar = serializeSidecar(describePart(plan, options, part, summary, written));
    await writeWhole(`${stem}.json`, sidecar);
    const names = ['bin', 'json', 'idx'].map((ending): [string, string] => [
      `${stem}.${ending}`,
      `${prefix}.${ending}`,
    ]);
    renames.unshift(...names);
  }
  return { summaries, renames };
}

function describePart(
  plan: BuildPlan,
  options: BuildOptions,
  part: 'train' | 'valid',
  summary: DatasetSummary,
  { records, counts }: { records: SidecarInput[]; counts: BuildCounts },
): Sidecar {
  const { file, fingerprint, vocabSize } = plan.tokenizer;
  const { documents, sequences, tokens, maxId, sha256 } = summary;
  return {
    version: 1,
    tokenizer: { file, fingerprint, vocabSize, eodToken: plan.eodToken ?? null },
    dtype: plan.dtype,
    documents,
    sequences,
    tokens,
    maxId,
    inputs: records,
    options: describeOptions(plan, options),
    dropped: counts.dropped,
    ...(counts.splitDocuments > 0 && { splitDocuments: counts.splitDocuments }),
    heldOut: options.heldOut === undefined ? null : { part, share: options.heldOut, seed: HELD_OUT_SEED },
    sha256,
  };
}
