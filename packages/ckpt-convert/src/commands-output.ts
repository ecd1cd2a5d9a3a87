import { CptError } from '@pai-cpt/core';
import type { Command } from 'commander';
import pc from 'picocolors';
import type { Estimate } from './estimate.ts';
import { partOption } from './option-values.ts';
import { readUnfinished, wayOn } from './output/output-directory.ts';
import type { Part, PartResult } from './output/parts.ts';
import { formatBytes, formatDuration, type Output } from './progress.ts';

export interface OutputFlags {
  force?: boolean;
  resume?: boolean;
  part?: Part;
  dryRun?: boolean;
  json?: boolean;
}

/** Options of every command that writes an output; `replaced` is what --force replaces. */
export function addOutputOptions(command: Command, replaced: string): Command {
  return command
    .option('--part <i/n>', 'write the i-th of n parts; the last one to end makes the output whole', partOption)
    .option('--force', `replace ${replaced}, and an unfinished conversion of something else`)
    .option('--resume', 'go on with a conversion that was interrupted, or begin one; a --part always does')
    .option('--dry-run', 'say what would be done: files, sizes, memory, time')
    .option('--json', 'print the result as JSON on stdout');
}

/** What of the flags a conversion is given. */
export function outputOptions({ force = false, resume = false, dryRun = false, part }: OutputFlags) {
  return { force, resume, dryRun, ...(part && { part }) };
}

/** After a stop that left finished files behind: how many, and the way on. A lock means that they are somebody else's. */
export function sayHowToResume(directory: string, error: unknown, output: Output): void {
  if (CptError.isInstance(error) && !error.code.startsWith('CPT_DISK_')) return;
  const unfinished = readUnfinished(directory);
  if (!unfinished) return;
  const { finished, start } = unfinished;
  const again = start.facts.parts === undefined ? `with ${wayOn(unfinished)} ` : '';
  output.log(`${finished.size} of ${start.outputShards} files are written; run the same command ${again}to go on`);
}

/** One line on a part and what is missing to the whole. */
export function describePart({ index, of, whole, outstanding }: PartResult): string {
  const rest = whole
    ? 'all parts are done, the output is whole'
    : outstanding.length > 0
      ? `outstanding: ${outstanding.join(', ')}`
      : 'all parts are done, and another process holds the output; run any part again if it does not become whole';
  return pc.dim(`  part ${index} of ${of}; ${rest}`);
}

/** What a dry run found, for a person. */
export function describeEstimate({ files, readBytes, writtenBytes, peakMemoryBytes, seconds }: Estimate): string {
  const lines = files.map(({ name, byteLength }) => `${name}  ${formatBytes(byteLength)}`);
  const time = `${formatDuration(seconds.least)} at 2 GB/s to ${formatDuration(seconds.most)} at 0.3 GB/s`;
  const sums = `${files.length} files, ${formatBytes(readBytes)} to read, ${formatBytes(writtenBytes)} to write`;
  return `${[...lines, `${sums}; ${time}; about ${formatBytes(peakMemoryBytes)} of memory`].join('\n')}\n`;
}
