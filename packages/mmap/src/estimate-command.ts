import type { Command } from 'commander';
import pc from 'picocolors';
import { type Estimate, type EstimateOptions, estimateDataset, type SplitEstimate } from './estimate.ts';
import { openDataset, resolvePrefix } from './node.ts';
import { countOption } from './option-values.ts';
import { count, type Output } from './progress.ts';
import { DEFAULT_SEED } from './sample-index.ts';
import { SPLIT_NAMES } from './split-shares.ts';

interface EstimateFlags {
  seqLength: number;
  globalBatchSize: number;
  trainTokens?: number;
  iterations?: number;
  split: string;
  seed: number;
  evalInterval: number;
  evalIters: number;
  showIteration?: number;
  json?: boolean;
}

/** Adds `cpt-mmap estimate`. */
export function registerEstimate(program: Command, output: Output, signal: AbortSignal | undefined): void {
  program
    .command('estimate')
    .description('say what training sees: samples, iterations, epochs, tokens never read')
    .argument('<prefix>', 'path without .bin and .idx, or a folder with dataset.idx')
    .requiredOption('--seq-length <n>', 'tokens of a sample', countOption('--seq-length'))
    .requiredOption('--global-batch-size <n>', 'samples of an iteration', countOption('--global-batch-size'))
    .option('--train-tokens <n>', 'tokens to train on, divided down to whole iterations', countOption('--train-tokens'))
    .option('--iterations <n>', 'iterations, instead of tokens', countOption('--iterations'))
    .option('--split <shares>', "shares of train, validation and test, as Megatron's --split", '99,1,0')
    .option('--seed <n>', "Megatron's --seed", countOption('--seed'), DEFAULT_SEED)
    .option('--eval-interval <n>', 'iterations between validations', countOption('--eval-interval'), 10000)
    .option('--eval-iters <n>', 'iterations of one validation', countOption('--eval-iters'), 10)
    .option('--show-iteration <n>', 'list the documents of an iteration, 1 the first', countOption('--show-iteration'))
    .option('--json', 'print the result as JSON on stdout')
    .action(async (path: string, flags: EstimateFlags) => {
      const dataset = await openDataset(await resolvePrefix(path), signal);
      await dataset.close();
      const { seqLength, evalIters, json, ...rest } = flags;
      const options: EstimateOptions = { ...rest, sequenceLength: seqLength, evalIterations: evalIters };
      const estimate = estimateDataset(dataset, options);
      if (json) {
        output.write(`${JSON.stringify(estimate)}\n`);
        return;
      }
      for (const warning of estimate.warnings) output.log(`${pc.yellow('warning:')} ${warning}`);
      output.write(describeEstimate(estimate));
    });
}

function describeEstimate(estimate: Estimate): string {
  const { documentLengths: lengths, iterations, shown } = estimate;
  const lines = [
    `${pc.bold(estimate.prefix)}: ${count(estimate.documents)} documents, ${count(estimate.tokens)} tokens`,
    `  tokens in a document: mean ${count(Math.round(lengths.mean))}, least ${count(lengths.min)}, 10 % ${count(lengths.p10)}, ` +
      `half ${count(lengths.p50)}, 90 % ${count(lengths.p90)}, 99 % ${count(lengths.p99)}, most ${count(lengths.max)}`,
    iterations === undefined
      ? `  one iteration: ${count(estimate.tokensPerIteration)} tokens`
      : `  ${count(iterations)} iterations of ${count(estimate.tokensPerIteration)} tokens: ${count(estimate.trainTokens ?? 0)}`,
  ];
  for (const name of SPLIT_NAMES) {
    const split = estimate.splits[name];
    if (split) lines.push(...describeSplit(name, split));
  }
  if (shown) {
    lines.push(`iteration ${count(shown.iteration)} reads`);
    for (const { sample, parts } of shown.samples) {
      const read = parts.map(({ document, from, count }) => `document ${document} [${from}, ${from + count})`);
      lines.push(`  sample ${sample}: ${read.join(', ')}`);
    }
  }
  return `${lines.join('\n')}\n`;
}

function describeSplit(name: string, split: SplitEstimate): string[] {
  const { sequences, epochsAsked, tokensNeverRead } = split;
  const lines = [
    `${pc.bold(name)}: ${count(split.tokens)} tokens in ${count(sequences.to - sequences.from)} sequences (${sequences.from} to ${sequences.to})`,
    `  one epoch: ${count(split.samplesPerEpoch)} samples, ${count(split.iterationsPerEpoch)} iterations`,
  ];
  if (epochsAsked !== undefined) {
    const apart = split.isLastEpochApart ? ', the last one shuffled apart' : '';
    lines.push(
      `  asked: ${count(split.samplesAsked ?? 0)} samples = ${epochsAsked.toFixed(3)} epochs (${split.epochs} laid out${apart})`,
    );
  }
  if (tokensNeverRead !== undefined) lines.push(`  never read: ${count(tokensNeverRead)} tokens`);
  return lines;
}
