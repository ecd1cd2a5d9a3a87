import { InvalidInputError } from '@pai-cpt/core';
import type { ExecuteOptions, WrittenFile } from '../execute.ts';
import { VERIFICATION_FILE } from '../verification-record.ts';
import { type DiskCalls, namingReads } from './disk.ts';
import { changedSource, type JournalStart, requireSameWork } from './journal.ts';
import { identifySource } from './node.ts';
import { openWorkingOutput, type WorkingOutput } from './output-directory.ts';
import { contentsOf, type OutputJob } from './output-job.ts';
import type { PartResult } from './parts.ts';
import { requireSameOutput } from './same-output.ts';
import { writePart } from './write-part.ts';

export interface WrittenOutput {
  readonly files: WrittenFile[];
  readonly resumed: boolean;
  readonly part?: PartResult;
}

/**
 * Writes a planned output, or one part of it. What a killed run finished is taken over with `resume` and thrown away with `force`.
 * @throws CptError `CPT_DISK_FULL`, `CPT_DISK_FAILED`, `CPT_INPUT_OUTPUT_LOCKED`; InvalidInputError `CPT_INPUT_RESUME_MISMATCH`,
 * `CPT_INPUT_OUTPUT_EXISTS`.
 */
export async function writeOutput(
  job: OutputJob,
  disk: DiskCalls,
  options: ExecuteOptions = {},
): Promise<WrittenOutput> {
  if (job.part) return writePart(job, job.part, disk, options);
  const names = new Set(job.weights.map(({ name }) => name));
  if (job.isFilled) return { files: await requireSame(job, names, disk, options), resumed: true };
  const start = startOf(job);
  const output = await openWorkingOutput(job.directory, disk);
  try {
    const resumed = job.resume && output.begun !== undefined;
    if (resumed && output.begun) requireSameWork(output.begun.start, start, job.directory);
    const finished = await output.start(start, resumed);
    const files = await makeWeights(job, names, output, disk, { ...options, finished });
    requireUnchanged(job, start);
    options.signal?.throwIfAborted();
    await commitOutput(job, output);
    return { files, resumed };
  } finally {
    await output.close();
  }
}

/** What a conversion is of, by the source as it is now. */
export function startOf(job: OutputJob): JournalStart {
  const { plan, facts, weights, force } = job;
  return { journal: 1, plan, facts, source: identify(job), outputShards: weights.length, force };
}

const identify = ({ sourceFiles, source }: OutputJob) => sourceFiles.map((path) => identifySource(path, source));

export function makeWeights(
  job: OutputJob,
  names: ReadonlySet<string>,
  output: WorkingOutput,
  disk: DiskCalls,
  options: ExecuteOptions,
): Promise<WrittenFile[]> {
  const { createOutput, folder } = output;
  const io = { readInto: namingReads(disk.reads(job.readInto)), createOutput, folder };
  return job.make(names, io, { ...options, onFile: output.finishFile });
}

/** Writes what stands beside the weights, and gives everything its final name. */
export async function commitOutput(job: OutputJob, output: WorkingOutput): Promise<void> {
  for (const [name, content] of contentsOf(job)) await output.addFile(name, content);
  const weights = job.weights.map(({ name }) => name);
  // What was verified are the weights that were there before.
  const isStale = (name: string) => job.isStale(name) || name === VERIFICATION_FILE;
  await output.commit({ weights, final: job.final.name, isStale });
}

/** Holds `names` of an output that is there against what they would be. */
export function requireSame(
  job: OutputJob,
  names: ReadonlySet<string>,
  disk: DiskCalls,
  options: ExecuteOptions,
): Promise<WrittenFile[]> {
  return requireSameOutput(job.directory, {
    contents: contentsOf(job),
    weights: job.weights,
    isStale: job.isStale,
    make: (createOutput) => job.make(names, { readInto: namingReads(disk.reads(job.readInto)), createOutput }, options),
  });
}

/** A training run that overwrote its checkpoint meanwhile gives files of two iterations. */
export function requireUnchanged(job: OutputJob, start: JournalStart): void {
  const changes = changedSource(start.source, identify(job));
  if (changes.length === 0) return;
  throw new InvalidInputError(
    'CPT_INPUT_RESUME_MISMATCH',
    `${job.directory}: the source changed while it was converted: ${changes.slice(0, 3).join('; ')}; start over with --force`,
    { file: job.directory, differences: changes },
  );
}
