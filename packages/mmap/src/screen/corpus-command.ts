import type { Command } from 'commander';
import pc from 'picocolors';
import { count } from '../progress.ts';
import type { ScreenFiles } from './node.ts';

/** What every command that screens a corpus takes. */
export interface CorpusFlags {
  textKey: string;
  splitParagraphs?: boolean;
  drop?: string;
  rejects?: string;
  json?: boolean;
}

/** Adds the inputs and options that all screening commands share. */
export function addCorpusOptions(command: Command): Command {
  return command
    .argument('<input...>', 'files or folders of documents, as for build')
    .option('--text-key <key>', 'JSONL key of the text', 'text')
    .option('--split-paragraphs', 'text files: one document per run of lines between blank lines')
    .option('--drop <folder>', 'write the kept documents into this folder, one .jsonl for each file')
    .option('--rejects <file>', 'write the other documents, each with its reason (with --drop: FOLDER.rejects.jsonl)')
    .option('--json', 'print the report as JSON on stdout');
}

/** What was written, for a person. */
export function describeOutput(files: ScreenFiles, kept: number, rejected: number): string[] {
  const lines: string[] = [];
  const mark = pc.green('✓');
  if (files.folder !== undefined) lines.push(`${mark} ${pc.bold(files.folder)}: ${count(kept)} documents kept`);
  if (files.rejects !== undefined)
    lines.push(`${mark} ${pc.bold(files.rejects)}: ${count(rejected)} documents, each with its reason`);
  return lines;
}
