import { InvalidInputError } from '@pai-cpt/core';
import type { Command } from 'commander';
import pc from 'picocolors';
import { countOption, parseAmount } from '../option-values.ts';
import { count, createProgress, formatBytes, type Output } from '../progress.ts';
import { DEFAULT_SEED } from '../sample-index.ts';
import { mergeDatasets } from './merge.ts';
import { mixDatasets } from './mix.ts';
import type { ArrangedDataset, ArrangeOptions } from './outputs.ts';
import { shuffleDataset } from './shuffle.ts';
import { splitDataset } from './split.ts';

interface CommonFlags {
  force?: boolean;
  json?: boolean;
}
type TokenizerFlags = CommonFlags & { dtype?: string; forceTokenizers?: boolean };
type Hooks = Pick<ArrangeOptions, 'onProgress' | 'signal'>;

const PREFIX = 'path without .bin and .idx, or a folder with dataset.idx';
const OUTPUT = 'path without .bin and .idx; a folder gives dataset.bin and dataset.idx in it';

/** Adds `cpt-mmap merge`, `split`, `mix` and `shuffle`. */
export function registerArrange(program: Command, output: Output, signal: AbortSignal | undefined): void {
  const run = <T extends { seconds: number; warnings: string[] }>(
    { json }: CommonFlags,
    work: (hooks: Hooks) => Promise<T>,
    describe: (result: T) => string[],
  ) => runArranged({ output, signal, json: json ?? false }, work, describe);
  addMerge(program, run);
  addSplit(program, run);
  addMix(program, run);
  addShuffle(program, run);
}

type Run = <T extends { seconds: number; warnings: string[] }>(
  flags: CommonFlags,
  work: (hooks: Hooks) => Promise<T>,
  describe: (result: T) => string[],
) => Promise<void>;

async function runArranged<T extends { seconds: number; warnings: string[] }>(
  { output, signal, json }: { output: Output; signal: AbortSignal | undefined; json: boolean },
  work: (hooks: Hooks) => Promise<T>,
  describe: (result: T) => string[],
): Promise<void> {
  const progress = createProgress(output);
  const result = await work({ onProgress: progress.update, ...(signal && { signal }) }).finally(progress.clear);
  for (const warning of result.warnings) output.log(`${pc.yellow('warning:')} ${warning}`);
  const lines = [...describe(result), pc.dim(`  ${result.seconds.toFixed(1)} s`)];
  output.write(json ? `${JSON.stringify(result)}\n` : `${lines.join('\n')}\n`);
}

function describeDataset({ prefix, documents, tokens, binBytes, dtype }: ArrangedDataset): string {
  return `${pc.green('✓')} ${pc.bold(prefix)}: ${count(documents)} documents, ${count(tokens)} tokens, ${formatBytes(binBytes)}, ${dtype}`;
}

function addMerge(program: Command, run: Run): void {
  program
    .command('merge')
    .description('join datasets into one, in the order given')
    .argument('<output>', OUTPUT)
    .argument('<prefix...>', PREFIX)
    .option('--dtype <dtype>', 'how ids are stored; int32 also takes uint16 (default: that of the parts)')
    .option('--force-tokenizers', 'merge datasets made with different tokenizers')
    .option('--force', 'replace an existing dataset')
    .option('--json', 'print the result as JSON on stdout')
    .action((out: string, inputs: string[], flags: TokenizerFlags) =>
      run(
        flags,
        (hooks) => mergeDatasets({ ...flags, ...hooks, output: out, inputs }),
        (merged) => [describeDataset(merged)],
      ),
    );
}

function addSplit(program: Command, run: Run): void {
  program
    .command('split')
    .description('split a dataset between documents into OUTPUT, OUTPUT_valid and OUTPUT_test')
    .argument('<prefix>', PREFIX)
    .argument('<output>', OUTPUT)
    .option('--shares <shares>', 'shares of train, validation and test in the order of the file, such as 99,1,0')
    .option('--every <n>', 'every n-th document to validation', countOption('--every'))
    .option('--force', 'replace existing datasets')
    .option('--json', 'print the result as JSON on stdout')
    .action((input: string, out: string, flags: CommonFlags & { shares?: string; every?: number }) =>
      run(
        flags,
        (hooks) => splitDataset({ ...flags, ...hooks, input, output: out }),
        ({ parts }) => parts.map(describeDataset),
      ),
    );
}

interface MixFlags extends TokenizerFlags {
  tokens?: number;
  seed: number;
  allowRepeat?: boolean;
}

function addMix(program: Command, run: Run): void {
  program
    .command('mix')
    .description('mix datasets to shares, document by document, in random order')
    .argument('<output>', OUTPUT)
    .argument('<source...>', 'PREFIX=SHARE, or without --tokens PREFIX=TOKENS')
    .option('--tokens <n>', 'tokens of the mixture, divided by the shares', countOption('--tokens'))
    .option('--seed <n>', 'seed of the choice and of the order', countOption('--seed'), DEFAULT_SEED)
    .option('--allow-repeat', 'take the documents of a source again when its share is larger than it')
    .option('--dtype <dtype>', 'how ids are stored; int32 also takes uint16 (default: that of the sources)')
    .option('--force-tokenizers', 'mix datasets made with different tokenizers')
    .option('--force', 'replace an existing dataset')
    .option('--json', 'print the result as JSON on stdout')
    .action((out: string, sources: string[], flags: MixFlags) =>
      run(
        flags,
        (hooks) => mixDatasets({ ...flags, ...hooks, output: out, sources: sources.map(parseSource) }),
        (mixed) => [
          describeDataset(mixed),
          ...mixed.sources.map(
            ({ prefix, share, documents, tokens, epochs }) =>
              `  ${(100 * share).toFixed(1)} % ${prefix}: ${count(documents)} documents, ${count(tokens)} tokens, ${epochs.toFixed(3)} epochs`,
          ),
          `  the same without this dataset: ${mixed.dataPath}`,
        ],
      ),
    );
}

function addShuffle(program: Command, run: Run): void {
  program
    .command('shuffle')
    .description('write the documents of a dataset in random order')
    .argument('<prefix>', PREFIX)
    .argument('<output>', OUTPUT)
    .option('--seed <n>', 'seed of the order', countOption('--seed'), DEFAULT_SEED)
    .option('--force', 'replace an existing dataset')
    .option('--json', 'print the result as JSON on stdout')
    .action((input: string, out: string, flags: CommonFlags & { seed: number }) =>
      run(
        flags,
        (hooks) => shuffleDataset({ ...flags, ...hooks, input, output: out }),
        (shuffled) => [describeDataset(shuffled)],
      ),
    );
}

/** `data/law=0.7` or `data/law=300M`. */
function parseSource(value: string): { input: string; share: number } {
  const at = value.lastIndexOf('=');
  const share = parseAmount(value.slice(at + 1));
  if (at > 0 && share !== undefined) return { input: value.slice(0, at), share };
  throw new InvalidInputError(
    'CPT_INPUT_INVALID',
    `source "${value}" cannot be used; give PREFIX=SHARE, such as data/law=0.7, or PREFIX=TOKENS, such as data/law=300M`,
    { field: 'source' },
  );
}
