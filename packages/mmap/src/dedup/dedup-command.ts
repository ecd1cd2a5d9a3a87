import { type Command, InvalidArgumentError, Option } from 'commander';
import pc from 'picocolors';
import { count, formatBytes, type Output } from '../progress.ts';
import { addCorpusOptions, type CorpusFlags, describeOutput } from '../screen/corpus-command.ts';
import { createScreenProgress } from '../screen/screen-progress.ts';
import { type DedupReport, dedupFiles } from './dedup-files.ts';
import { DEFAULT_MIN_HASH, detectionProbability, type MinHashOptions, similarityThreshold } from './min-hash.ts';

interface DedupFlags extends CorpusFlags, MinHashOptions {
  exact?: boolean;
  minhash?: boolean;
  thresholdReport?: boolean;
}

/** Adds `cpt-mmap dedup`. */
export function registerDedup(program: Command, output: Output, signal: AbortSignal | undefined): void {
  const command = program
    .command('dedup')
    .description('documents that repeat an earlier one: report them, and with --drop leave them out');
  addCorpusOptions(command)
    .addOption(new Option('--exact', 'equal texts (default)').conflicts('minhash'))
    .option('--minhash', 'texts that share most of their shingles')
    .option('--bands <n>', 'minhash: groups of hashes', parseCount, DEFAULT_MIN_HASH.bands)
    .option('--rows <n>', 'minhash: hashes of a group', parseCount, DEFAULT_MIN_HASH.rows)
    .option(
      '--shingle <n>',
      'minhash: words, or Chinese characters, of one shingle',
      parseCount,
      DEFAULT_MIN_HASH.shingle,
    )
    .option('--threshold-report', 'minhash: add how probably pairs of each similarity are found')
    .action(async (inputs: string[], flags: DedupFlags) => {
      const { exact: _, minhash, thresholdReport, json, ...options } = flags;
      const method = minhash || thresholdReport ? 'minhash' : 'exact';
      const progress = createScreenProgress(output);
      const report = await dedupFiles({
        ...options,
        inputs,
        method,
        onProgress: progress.update,
        ...(signal && { signal }),
      }).finally(progress.clear);
      const parameters = method === 'minhash' ? describeParameters(options, thresholdReport ?? false) : undefined;
      if (json) output.write(`${JSON.stringify({ ...report, ...parameters })}\n`);
      else output.write(describeReport(report, parameters));
    });
}

function parseCount(value: string): number {
  if (/^[1-9]\d{0,5}$/.test(value)) return Number(value);
  throw new InvalidArgumentError('give a whole number above 0');
}

interface Parameters extends MinHashOptions {
  threshold: number;
  /** How probably a pair of that similarity is found. */
  detection?: { similarity: number; probability: number }[];
}

function describeParameters({ bands, rows, shingle }: MinHashOptions, withDetection: boolean): Parameters {
  const similarities = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95];
  const detection = similarities.map((similarity) => ({
    similarity,
    probability: detectionProbability(similarity, { bands, rows }),
  }));
  return { bands, rows, shingle, threshold: similarityThreshold({ bands, rows }), ...(withDetection && { detection }) };
}

function describeReport(report: DedupReport, parameters: Parameters | undefined): string {
  const { documents, duplicates, clusters, empty, savedBytes, savedShare, examples } = report;
  const lines = [
    `${pc.bold(count(duplicates))} of ${count(documents)} documents repeat an earlier one, in ${count(clusters)} clusters: ${formatBytes(savedBytes)}, ${percent(savedShare)} of the text`,
  ];
  if (empty > 0) lines.push(pc.dim(`  without text, not compared: ${count(empty)}`));
  for (const { document, duplicateOf, similarity, excerpt } of examples) {
    lines.push(`  ${document} = ${duplicateOf} (${percent(similarity)} of shingles shared)`);
    lines.push(pc.dim(`    ${JSON.stringify(excerpt)}`));
  }
  if (parameters) {
    const { bands, rows, shingle, threshold, detection = [] } = parameters;
    lines.push(
      pc.dim(`  minhash: ${bands} bands of ${rows} hashes, shingles of ${shingle}, threshold ${threshold.toFixed(2)}`),
    );
    if (detection.length > 0) lines.push('  similarity  found');
    for (const { similarity, probability } of detection) {
      lines.push(`  ${similarity.toFixed(2).padStart(10)}  ${percent(probability)}`);
    }
  }
  if (report.output) lines.push(...describeOutput(report.output, documents - duplicates, duplicates));
  return `${lines.join('\n')}\n`;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)}%`;
}
