import { InvalidInputError } from '@pai-cpt/core';
import { Command, CommanderError } from 'commander';
import pc from 'picocolors';
import { registerArrange } from './arrange/commands.ts';
import { registerBuild } from './build/build-command.ts';
import { printDocuments } from './cat.ts';
import { registerDecontaminate } from './decontaminate/decontaminate-command.ts';
import { registerDedup } from './dedup/dedup-command.ts';
import { registerDoctor } from './doctor/doctor-command.ts';
import { registerEstimate } from './estimate-command.ts';
import { openDataset, resolvePrefix } from './node.ts';
import { count, type Output } from './progress.ts';
import { registerQuality } from './quality/quality-command.ts';
import { registerRepair } from './repair/repair-command.ts';

/** Runs one `cpt-mmap` command line and gives its exit code: 0 done, 1 not fit, 2 wrong use. Failures are thrown. */
export async function runCommand(args: readonly string[], output: Output, signal?: AbortSignal): Promise<number> {
  let exitCode = 0;
  const program = createProgram(output, signal);
  registerDoctor(
    program,
    output,
    (code) => {
      exitCode = code;
    },
    signal,
  );
  try {
    await program.parseAsync(args, { from: 'user' });
    return exitCode;
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
  registerBuild(program, output, signal);
  addInspect(program, output, signal);
  addCat(program, output, signal);
  registerEstimate(program, output, signal);
  registerArrange(program, output, signal);
  registerDedup(program, output, signal);
  registerQuality(program, output, signal);
  registerDecontaminate(program, output, signal);
  registerRepair(program, output, signal);
  return program;
}

function addInspect(program: Command, output: Output, signal: AbortSignal | undefined): void {
  program
    .command('inspect')
    .description('check an index and say what it holds')
    .argument('<prefix>', 'path without .bin and .idx, or a folder with dataset.idx')
    .option('--json', 'print the result as JSON on stdout')
    .action(async (path: string, flags: { json?: boolean }) => {
      const dataset = await openDataset(await resolvePrefix(path), signal);
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
      };
      for (const warning of warnings) output.log(`${pc.yellow('warning:')} ${warning}`);
      if (flags.json) {
        output.write(`${JSON.stringify(facts)}\n`);
        return;
      }
      output.write(
        Object.entries(facts)
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
    .option('--ids', 'print ids, one JSON array a sequence and line')
    .option('--from <document>', 'first document', parseIndex, 0)
    .option('--to <document>', 'document to stop before', parseIndex)
    .option(
      '--tokenizer <file>',
      'tokenizer.json, or the folder that holds it (default: the one the dataset was built with)',
    )
    .option('--json', 'one JSON object a document')
    .action(
      async (path: string, flags: { ids?: boolean; from: number; to?: number; tokenizer?: string; json?: boolean }) => {
        const dataset = await openDataset(await resolvePrefix(path), signal);
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
