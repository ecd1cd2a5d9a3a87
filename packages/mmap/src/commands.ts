import { InvalidInputError } from '@pai-cpt/core';
import { Command, CommanderError } from 'commander';
import pc from 'picocolors';
import { type BuildResult, buildDataset } from './build.ts';
import type { BuildOptions } from './build-plan.ts';
import { printDocuments } from './cat.ts';
import { openDataset, resolvePrefix } from './node.ts';
import { count, createProgress, formatBytes, type Output } from './progress.ts';

/** Runs one `cpt-mmap` command line and gives its exit code: 0 done, 2 wrong use. Failures are thrown. */
export async function runCommand(args: readonly string[], output: Output, signal?: AbortSignal): Promise<number> {
  const program = createProgram(output, signal);
  try {
    await program.parseAsync(args, { from: 'user' });
    return 0;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? 0 : 2;
  }
}

function createProgram(output: Output, signal: AbortSignal | undefined): Command {
  const program = new Command('cpt-mmap')
    .description('Megatron MMAP datasets: build them from raw text, look into them')
    .exitOverride()
    .configureOutput({ writeOut: (text) => output.write(text), writeErr: (text) => output.log(text.trimEnd()) });
  addBuild(program, output, signal);
  addInspect(program, output);
  addCat(program, output, signal);
  return program;
}

interface BuildFlags {
  tokenizer: string;
  output: string;
  textKey: string;
  splitParagraphs?: boolean;
  eod?: number | 'none';
  dtype: 'auto' | 'uint16' | 'int32';
  heldOut?: number;
  force?: boolean;
  json?: boolean;
}

function addBuild(program: Command, output: Output, signal: AbortSignal | undefined): void {
  program
    .command('build')
    .description('raw text → PREFIX.bin, PREFIX.idx and PREFIX.json')
    .argument('<input...>', 'files (.jsonl, .ndjson, .txt) or folders of them')
    .requiredOption('--tokenizer <file>', 'tokenizer.json, or the folder that holds it')
    .requiredOption('--output <prefix>', 'path without .bin and .idx; a folder gives dataset.bin and dataset.idx in it')
    .option('--text-key <key>', 'JSONL key of the text', 'text')
    .option('--split-paragraphs', 'text files: one document per run of lines between blank lines')
    .option('--eod <id>', "id that ends each document, or none (default: the tokenizer's <|endoftext|>)", parseEod)
    .option('--dtype <dtype>', 'how ids are stored: uint16, int32 or auto, uint16 below a vocabulary of 65500', 'auto')
    .option(
      '--held-out <share>',
      'share of the documents for a second dataset PREFIX_valid, for example 0.05',
      parseShare,
    )
    .option('--force', 'replace an existing dataset')
    .option('--json', 'print the result as JSON on stdout')
    .action(async (inputs: string[], flags: BuildFlags) => {
      const progress = createProgress(output);
      const { json, ...rest } = flags;
      const options: BuildOptions = { ...rest, inputs, onProgress: progress.update, ...(signal && { signal }) };
      const result = await buildDataset(options).finally(progress.clear);
      progress.summarize();
      for (const warning of result.warnings) output.log(`${pc.yellow('warning:')} ${warning}`);
      output.write(json ? `${JSON.stringify(result)}\n` : describeResult(result));
    });
}

function parseEod(value: string): number | 'none' {
  if (value === 'none') return value;
  if (/^\d+$/.test(value)) return Number(value);
  throw invalid('--eod', value, 'give an id or none');
}

function parseShare(value: string): number {
  const share = Number(value);
  if (value.trim() !== '' && Number.isFinite(share)) return share;
  throw invalid('--held-out', value, 'give a share such as 0.05');
}

function describeResult(result: BuildResult): string {
  const lines = [result, result.heldOut].flatMap((part) =>
    part
      ? [
          `${pc.green('✓')} ${pc.bold(part.prefix)}: ${count(part.documents)} documents, ${count(part.tokens)} tokens, ${formatBytes(part.binBytes)}`,
        ]
      : [],
  );
  const dropped = result.dropped > 0 ? `, ${count(result.dropped)} empty documents left out` : '';
  lines.push(pc.dim(`  ${result.dtype}, ${result.seconds.toFixed(1)} s${dropped}`));
  return `${lines.join('\n')}\n`;
}

function addInspect(program: Command, output: Output): void {
  program
    .command('inspect')
    .description('check an index and say what it holds')
    .argument('<prefix>', 'path without .bin and .idx, or a folder with dataset.idx')
    .option('--json', 'print the result as JSON on stdout')
    .action(async (path: string, flags: { json?: boolean }) => {
      const dataset = await openDataset(await resolvePrefix(path));
      await dataset.close();
      const {
        dtype,
        sequenceCount: sequences,
        documentCount: documents,
        tokenCount: tokens,
        binBytes,
        idxBytes,
        warnings,
      } = dataset;
      const facts = {
        dtype,
        sequences,
        documents,
        tokens,
        modes: dataset.modes !== undefined,
        binBytes,
        idxBytes,
        warnings,
      };
      if (flags.json) {
        output.write(`${JSON.stringify(facts)}\n`);
        return;
      }
      for (const warning of warnings) output.log(`${pc.yellow('warning:')} ${warning}`);
      const rows = Object.entries(facts).filter(([name]) => name !== 'warnings');
      output.write(
        rows
          .map(([name, value]) => `${name.padEnd(10)} ${typeof value === 'number' ? count(value) : value}\n`)
          .join(''),
      );
    });
}

function addCat(program: Command, output: Output, signal: AbortSignal | undefined): void {
  program
    .command('cat')
    .description('print documents, as text or as ids')
    .argument('<prefix>', 'path without .bin and .idx, or a folder with dataset.idx')
    .option('--ids', 'print ids, one sequence a line')
    .option('--from <document>', 'first document', parseIndex, 0)
    .option('--to <document>', 'document to stop before', parseIndex)
    .option(
      '--tokenizer <file>',
      'tokenizer.json, or the folder that holds it (default: the one the dataset was built with)',
    )
    .option('--json', 'one JSON object a document')
    .action(
      async (path: string, flags: { ids?: boolean; from: number; to?: number; tokenizer?: string; json?: boolean }) => {
        const dataset = await openDataset(await resolvePrefix(path));
        try {
          await printDocuments(dataset, { ...flags, ...(signal && { signal }) }, output);
        } finally {
          await dataset.close();
        }
      },
    );
}

function parseIndex(value: string): number {
  if (/^\d+$/.test(value)) return Number(value);
  throw invalid('--from or --to', value, 'give a document number, 0 for the first');
}

function invalid(option: string, value: string, advice: string): InvalidInputError {
  return new InvalidInputError('CPT_INPUT_INVALID', `${option} "${value}" cannot be used; ${advice}`, {
    field: option,
  });
}
