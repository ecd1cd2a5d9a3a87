import type { Command } from 'commander';
import pc from 'picocolors';
import { count, formatBytes, type Output } from '../progress.ts';
import { addCorpusOptions, type CorpusFlags, describeOutput } from '../screen/corpus-command.ts';
import { createScreenProgress } from '../screen/screen-progress.ts';
import { type DecontaminationReport, decontaminateFiles } from './decontaminate-files.ts';
import { NGRAM_LENGTH } from './evaluation-index.ts';

/** Adds `cpt-mmap decontaminate`. */
export function registerDecontaminate(program: Command, output: Output, signal: AbortSignal | undefined): void {
  const command = program
    .command('decontaminate')
    .description('documents that share text with evaluation files: report them, and with --drop leave them out');
  addCorpusOptions(command)
    .requiredOption('--against <file...>', 'evaluation files, .jsonl; every string in them is compared')
    .action(async (inputs: string[], flags: CorpusFlags & { against: string[] }) => {
      const { json, ...options } = flags;
      const progress = createScreenProgress(output);
      const report = await decontaminateFiles({
        ...options,
        inputs,
        onProgress: progress.update,
        ...(signal && { signal }),
      }).finally(progress.clear);
      output.write(json ? `${JSON.stringify(report)}\n` : describeReport(report));
    });
}

function describeReport(report: DecontaminationReport): string {
  const { documents, rejected, rejectedBytes, evaluations, texts, shortTexts, contaminatedEvaluations } = report;
  const lines = [
    `${pc.bold(count(rejected))} of ${count(documents)} documents (${formatBytes(rejectedBytes)}) share text with ${count(contaminatedEvaluations)} of ${count(evaluations)} evaluation documents`,
  ];
  if (shortTexts > 0) {
    lines.push(
      pc.yellow(
        `  ${count(shortTexts)} of ${count(texts)} evaluation texts are shorter than ${NGRAM_LENGTH.spaced} words or ${NGRAM_LENGTH.unspaced} Chinese characters and cannot be found`,
      ),
    );
  }
  for (const { document, evaluation, ngram, matches } of report.examples) {
    lines.push(`  ${document} ~ ${evaluation} (${count(matches)} matching n-grams)`);
    lines.push(pc.dim(`    ${JSON.stringify(ngram)}`));
  }
  if (report.output) lines.push(...describeOutput(report.output, documents - rejected, rejected));
  return `${lines.join('\n')}\n`;
}
