import type { Command } from 'commander';
import { Option } from 'commander';
import pc from 'picocolors';
import { countOption } from '../option-values.ts';
import { count, formatBytes, type Output } from '../progress.ts';
import { TOKEN_DTYPES, type TokenDtype } from '../token-dtype.ts';
import { type RepairOptions, type RepairResult, repairDataset } from './repair.ts';

interface RepairFlags extends Pick<RepairOptions, 'pointers' | 'truncate' | 'reindexEod' | 'force'> {
  dtype?: TokenDtype;
  json?: boolean;
}

/** Adds `cpt-mmap repair`. */
export function registerRepair(program: Command, output: Output, signal: AbortSignal | undefined): void {
  program
    .command('repair')
    .description('write a sound dataset from what is sound in a broken one, which is never changed')
    .argument('<prefix>', 'the broken dataset, without .bin and .idx')
    .argument('<output>', 'prefix of the new one')
    .option('--pointers', 'lay pointers anew from the lengths, when .bin has exactly their size')
    .option('--truncate', 'keep the documents that are whole in .bin and no byte after them')
    .option('--reindex-eod <id>', 'make .idx anew: this id ends each document', countOption('--reindex-eod'))
    .addOption(
      new Option(
        '--dtype <dtype>',
        'with --reindex-eod: how .bin stores ids (default: as its .json says, else int32)',
      ).choices(Object.keys(TOKEN_DTYPES)),
    )
    .option('--force', 'replace an existing output')
    .option('--json', 'print the result as JSON on stdout')
    .action(async (prefix: string, path: string, { json, ...flags }: RepairFlags) => {
      const result = await repairDataset({ ...flags, prefix, output: path, ...(signal && { signal }) });
      output.write(json ? `${JSON.stringify(result)}\n` : describeRepair(result));
    });
}

function describeRepair({ prefix, kept, lost, bin, hasSidecar }: RepairResult): string {
  const lines = [
    `${pc.green('✓')} ${pc.bold(prefix)}: ${count(kept.documents)} documents, ${count(kept.sequences)} sequences, ${count(kept.tokens)} tokens`,
    `  lost: ${count(lost.documents)} documents, ${count(lost.sequences)} sequences, ${count(lost.tokens)} tokens; ${formatBytes(lost.bytes)} of .bin left out`,
    pc.dim(`  .bin ${bin}${hasSidecar ? ', .json with the new counts' : ''}`),
  ];
  return `${lines.join('\n')}\n`;
}
