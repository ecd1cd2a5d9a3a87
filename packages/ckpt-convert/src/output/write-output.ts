import { InvalidInputError } from '@pai-cpt/core';
import { buildIndex, INDEX_FILE } from '@pai-cpt/safetensors';
import type { ReadInto } from '../checkpoint.ts';
import { type ExecuteOptions, executePlan, type WrittenFile } from '../execute.ts';
import type { HfFiles } from '../hf-files.ts';
import type { ConversionPlan } from '../plan.ts';
import { type DiskCalls, namingReads } from './disk.ts';
import { changedSource, type JournalStart, planDigest, requireSameWork, sourcePaths } from './journal.ts';
import { identifySource, readBytes } from './node.ts';
import { openWorkingOutput } from './output-directory.ts';

export interface OutputJob {
  readonly directory: string;
  readonly plan: ConversionPlan;
  readonly hfFiles: HfFiles;
  readonly readInto: ReadInto;
  /** The checkpoint's own directory. */
  readonly source: string;
  /** Options that a refusal to resume can name. */
  readonly facts: JournalStart['facts'];
  readonly force: boolean;
  readonly resume: boolean;
}

/**
 * Writes a planned folder. What a killed run finished is taken over with `resume` and thrown away with `force`.
 * @throws CptError `CPT_DISK_FULL`, `CPT_DISK_FAILED`, `CPT_INPUT_OUTPUT_LOCKED`; InvalidInputError `CPT_INPUT_RESUME_MISMATCH`.
 */
export async function writeOutput(
  job: OutputJob,
  disk: DiskCalls,
  options: ExecuteOptions,
): Promise<{ files: WrittenFile[]; resumed: boolean }> {
  const { plan, directory, force, facts } = job;
  const { outputShards } = plan;
  const identify = () => sourcePaths(plan).map((path) => identifySource(path, job.source));
  const start: JournalStart = {
    journal: 1,
    plan: planDigest(plan, job.source),
    facts,
    source: identify(),
    outputShards: outputShards.length,
    force,
  };
  const output = await openWorkingOutput(directory, disk);
  try {
    const resumed = job.resume && output.begun !== undefined;
    if (resumed && output.begun) requireSameWork(output.begun.start, start, directory);
    const finished = await output.start(start, resumed);
    const io = { readInto: namingReads(disk.reads(job.readInto)), createOutput: output.createOutput };
    const files = await executePlan(outputShards, io, { ...options, finished, onFile: output.finishShard });
    requireUnchanged(changedSource(start.source, identify()), directory);
    for (const { name, content } of job.hfFiles.contents) await output.addFile(name, content);
    for (const { name, from } of job.hfFiles.copies) await output.addFile(name, readBytes(from));
    if (files.length > 1) await output.addFile(INDEX_FILE, buildIndex(outputShards));
    options.signal?.throwIfAborted();
    await output.commit([...files.map(({ name }) => name), INDEX_FILE]);
    return { files, resumed };
  } finally {
    await output.close();
  }
}

/** A training run that overwrote its checkpoint meanwhile gives files of two iterations. */
function requireUnchanged(changes: readonly string[], directory: string): void {
  if (changes.length === 0) return;
  throw new InvalidInputError(
    'CPT_INPUT_RESUME_MISMATCH',
    `${directory}: the source changed while it was converted: ${changes.slice(0, 3).join('; ')}; start over with --force`,
    { file: directory, differences: changes },
  );
}
