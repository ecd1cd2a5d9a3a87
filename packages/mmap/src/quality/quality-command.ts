import type { Command } from 'commander';
import pc from 'picocolors';
import { count, formatBytes, type Output } from '../progress.ts';
import { addCorpusOptions, type CorpusFlags, describeOutput } from '../screen/corpus-command.ts';
import { createScreenProgress } from '../screen/screen-progress.ts';
import { judgeFiles, type QualityReport } from './judge-files.ts';

interface QualityFlags extends CorpusFlags {
  rules?: string[];
}

/** Adds `cpt-mmap quality`. */
export function registerQuality(program: Command, output: Output, signal: AbortSignal | undefined): void {
  const command = program
    .command('quality')
    .description('documents that quality rules refuse: report them, and with --drop leave them out');
  addCorpusOptions(command)
    .option(
      '--rules <names>',
      'rules or groups (gopher, repetition, c4, fineweb, characters), with commas; -NAME leaves one out (default: all)',
      (value) => value.split(',').map((name) => name.trim()),
    )
    .action(async (inputs: string[], flags: QualityFlags) => {
      const { json, ...options } = flags;
      const progress = createScreenProgress(output);
      const report = await judgeFiles({
        ...options,
        inputs,
        onProgress: progress.update,
        ...(signal && { signal }),
      }).finally(progress.clear);
      output.write(json ? `${JSON.stringify(report)}\n` : describeReport(report));
    });
}

function describeReport({ documents, rejected, rejectedBytes, bytes, rules, output }: QualityReport): string {
  const share = bytes === 0 ? 0 : (100 * rejectedBytes) / bytes;
  const lines = [
    `${pc.bold(count(rejected))} of ${count(documents)} documents break a rule: ${formatBytes(rejectedBytes)}, ${share.toFixed(1)}% of the text`,
  ];
  for (const { rule, documents: refused, example } of rules) {
    if (!example) continue;
    lines.push(`  ${count(refused).padStart(10)}  ${rule}`);
    lines.push(pc.dim(`              ${example.document}: ${example.reason}`));
  }
  if (output) lines.push(...describeOutput(output, documents - rejected, rejected));
  return `${lines.join('\n')}\n`;
}
