import { InvalidInputError } from '@pai-cpt/core';
import type { Command } from 'commander';
import pc from 'picocolors';
import { type BuildResult, buildDataset } from '../build.ts';
import type { BuildOptions } from '../build-plan.ts';
import { parseAmount } from '../option-values.ts';
import { count, createProgress, formatBytes, type Output } from '../progress.ts';
import { type BuildEstimate, estimateBuild } from './estimate-build.ts';

interface BuildFlags extends Omit<BuildOptions, 'inputs' | 'onProgress' | 'onNotice' | 'signal'> {
  dryRun?: boolean;
  json?: boolean;
}

/** Adds `build` to the program. */
export function registerBuild(program: Command, output: Output, signal: AbortSignal | undefined): void {
  program
    .command('build')
    .description('raw text → PREFIX.bin, PREFIX.idx and PREFIX.json')
    .argument(
      '<input...>',
      'files (.jsonl, .ndjson, .json, .txt, also .gz and .zst of these; .parquet), folders, "patterns*", or - for JSONL from stdin',
    )
    .requiredOption('--tokenizer <file>', 'tokenizer.json, or the folder that holds it')
    .requiredOption('--output <prefix>', 'path without .bin and .idx; a folder gives dataset.bin and dataset.idx in it')
    .option('--text-key <key>', 'JSON key, or parquet column, of the text', 'text')
    .option('--split-paragraphs', 'text files: one document per run of lines between blank lines')
    .option('--eod <id>', "id that ends each document, or none (default: the tokenizer's <|endoftext|>)", parseEod)
    .option('--dtype <dtype>', 'how ids are stored: uint16, int32 or auto, uint16 below a vocabulary of 65500', 'auto')
    .option(
      '--specials <policy>',
      'a text that spells <|endoftext|> or another added token: encode it as the token, as text, or as an error',
      oneOf('--specials', ['encode', 'text', 'error']),
    )
    .option('--keep-empty', 'keep documents without text, as documents without tokens')
    .option(
      '--held-out <share>',
      'share of the documents for a second dataset PREFIX_valid, for example 0.05',
      parseShare('--held-out', 'give a share such as 0.05'),
    )
    .option('--shuffle <seed>', 'put the documents in random order', parseCount('--shuffle'))
    .option('--limit <documents>', 'stop after so many documents', parseCount('--limit'))
    .option('--part <i/n>', 'read the i-th of n equal parts of the inputs; merge the datasets in order', parsePart)
    .option('--workers <threads>', 'threads that encode (default: one a core)', parseCount('--workers'))
    .option(
      '--on-bad <policy>',
      'a record that is no document: fail (default) or skip it',
      oneOf('--on-bad', ['fail', 'skip']),
    )
    .option(
      '--max-bad <share>',
      'share of bad records above which skip gives up (default: 0.001)',
      parseShare('--max-bad', 'give a share such as 0.001'),
    )
    .option(
      '--on-invalid-utf8 <policy>',
      'bytes that are not UTF-8: fail, skip, or replace them by U+FFFD (default: as --on-bad)',
      oneOf('--on-invalid-utf8', ['fail', 'skip', 'replace']),
    )
    .option('--max-line <bytes>', 'longest record, for example 512M (default: 256 MiB)', parseCount('--max-line'))
    .option(
      '--max-doc-tokens <tokens>',
      'longest document; a longer one is split into several (default: 2^31 - 1)',
      parseCount('--max-doc-tokens'),
    )
    .option('--dry-run', 'measure a sample: tokens, bytes and room on the disk; write nothing')
    .option('--restart', 'drop what an interrupted build left, instead of going on with it')
    .option('--force', 'replace an existing dataset')
    .option('--json', 'print the result as JSON on stdout')
    .action(async (inputs: string[], flags: BuildFlags) => {
      const { json, dryRun, ...rest } = flags;
      const progress = createProgress(output);
      const options: BuildOptions = {
        ...rest,
        inputs,
        onProgress: progress.update,
        onNotice: (notice) => output.log(pc.dim(notice)),
        ...(signal && { signal }),
      };
      if (dryRun) {
        const estimate = await estimateBuild(options);
        warn(output, estimate.warnings);
        output.write(json ? `${JSON.stringify(estimate)}\n` : describeEstimate(estimate));
        return;
      }
      const result = await buildDataset(options).finally(progress.clear);
      progress.summarize();
      warn(output, result.warnings);
      output.write(json ? `${JSON.stringify(result)}\n` : describeResult(result));
    });
}

function warn(output: Output, warnings: readonly string[]): void {
  for (const warning of warnings) output.log(`${pc.yellow('warning:')} ${warning}`);
}

function parseEod(value: string): number | 'none' {
  if (value === 'none') return value;
  if (/^\d+$/.test(value)) return Number(value);
  throw invalid('--eod', value, 'give an id or none');
}

function parseShare(option: string, advice: string): (value: string) => number {
  return (value) => {
    const share = Number(value);
    if (value.trim() !== '' && Number.isFinite(share)) return share;
    throw invalid(option, value, advice);
  };
}

function parseCount(option: string): (value: string) => number {
  return (value) => {
    const amount = parseAmount(value);
    if (Number.isSafeInteger(amount)) return amount as number;
    throw invalid(option, value, 'give a whole number such as 4, 500k or 20M');
  };
}

function parsePart(value: string): { index: number; of: number } {
  const [, index, of] = /^(\d+)\/(\d+)$/.exec(value) ?? [];
  if (index && of) return { index: Number(index), of: Number(of) };
  throw invalid('--part', value, 'give I/N, for example 2/8');
}

function oneOf<T extends string>(option: string, choices: readonly T[]): (value: string) => T {
  return (value) => {
    const found = choices.find((choice) => choice === value);
    if (found) return found;
    throw invalid(option, value, `use ${choices.join(', ')}`);
  };
}

function invalid(option: string, value: string, advice: string): InvalidInputError {
  return new InvalidInputError('CPT_INPUT_INVALID', `${option} "${value}" cannot be used; ${advice}`, {
    field: option,
  });
}

function describeResult(result: BuildResult): string {
  const lines = [result, result.heldOut].flatMap((part) =>
    part
      ? [
          `${pc.green('✓')} ${pc.bold(part.prefix)}: ${count(part.documents)} documents, ${count(part.tokens)} tokens, ${formatBytes(part.binBytes)}`,
        ]
      : [],
  );
  const { empty, ...bad } = result.droppedByReason;
  const dropped = empty > 0 ? `, ${count(empty)} empty documents left out` : '';
  lines.push(pc.dim(`  ${result.dtype}, ${result.seconds.toFixed(1)} s${dropped}`));
  if (result.rejects) {
    const reasons = Object.entries(bad).map(([reason, number]) => `${count(number)} ${reason}`);
    lines.push(pc.dim(`  bad records left out: ${reasons.join(', ')}; listed in ${result.rejects}`));
  }
  return `${lines.join('\n')}\n`;
}

function describeEstimate(estimate: BuildEstimate): string {
  const { inputs, inputBytes, sampledBytes, documents, tokens, binBytes, idxBytes, freeBytes, badShare } = estimate;
  const room = freeBytes === undefined ? '' : `, ${formatBytes(freeBytes)} are free`;
  const lines = [
    `about ${count(tokens)} tokens in ${count(documents)} documents (${formatBytes(sampledBytes)} of ${formatBytes(inputBytes)} in ${count(inputs)} files were read)`,
    `.bin ${formatBytes(binBytes)} (${estimate.dtype}), .idx ${formatBytes(idxBytes)}${room}`,
  ];
  if (badShare > 0) lines.push(`${(100 * badShare).toFixed(2)}% of the records in the sample are bad`);
  if (!estimate.isRoomEnough) lines.push(pc.red('the disk has not enough room'));
  return `${lines.join('\n')}\n`;
}
