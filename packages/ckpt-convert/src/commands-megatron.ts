import type { Command } from 'commander';
import pc from 'picocolors';
import {
  addOutputOptions,
  describeEstimate,
  describePart,
  type OutputFlags,
  outputOptions,
  sayHowToResume,
} from './commands-output.ts';
import { type DiffReport, diffCheckpoints, type TensorDifference } from './diff.ts';
import {
  castOptions,
  invalid,
  iterationOption,
  oneOf,
  replicaOption,
  wholeNumber,
  workersOption,
} from './option-values.ts';
import { createByteProgress, formatBytes, type Output } from './progress.ts';
import type { GridOptions, RankFilesResult } from './rank-files/write-checkpoint.ts';
import type { RankGrid } from './rank-grid.ts';
import { type ReshardOptions, reshardCheckpoint } from './reshard.ts';
import { convertToMegatron } from './to-megatron.ts';

interface GridFlags extends OutputFlags {
  tp: number;
  pp: number;
  vpp?: number;
  first?: number;
  last?: number;
  spec?: string;
  vocabSize?: number;
  makeVocabSizeDivisibleBy?: number;
  workers?: number;
  padFill: string;
  dtype: string;
  digest: string;
  allowCast?: boolean;
  untie?: boolean;
}

/** Options of both commands that write rank files. */
function addGridOptions(command: Command): Command {
  command
    .option('--tp <n>', 'tensor parallel size', wholeNumber('--tp'), 1)
    .option('--pp <n>', 'pipeline parallel size', wholeNumber('--pp'), 1)
    .option('--vpp <n>', 'virtual stages of each pipeline stage', wholeNumber('--vpp'))
    .option('--first <layers>', 'layers of the first stage; the others share the rest', wholeNumber('--first'))
    .option('--last <layers>', 'layers of the last stage', wholeNumber('--last'))
    .option('--vocab-size <rows>', 'rows of the vocabulary that are tokens', wholeNumber('--vocab-size'))
    .option(
      '--make-vocab-size-divisible-by <n>',
      'pad the vocabulary to a multiple of this × TP',
      wholeNumber('--make-vocab-size-divisible-by'),
    )
    .option('--pad-fill <kind>', 'padding rows: repeat (the last token) or zero', 'repeat')
    .option('--format <format>', 'torch (mp_rank_…/model_optim_rng.pt) or torch_dist (.distcp files)', 'torch')
    .option('--dtype <dtype>', 'bf16, f16, f32, or source', 'source')
    .option('--allow-cast', 'permit a --dtype that cannot hold all bits')
    .option('--untie', 'write the head of a tied model as a table of its own')
    .option('--workers <n>', 'threads that write output files at the same time (default: 1)', workersOption)
    .option('--digest <kind>', 'sha256 of each output file, or none', 'sha256');
  return addOutputOptions(command, 'the iteration that the output holds');
}

/** `ckpt-convert to-megatron`. */
export function addToMegatron(program: Command, output: Output, signal: AbortSignal | undefined): void {
  const command = program
    .command('to-megatron')
    .description('a Hugging Face folder → rank files for a grid')
    .argument('<folder>', 'Hugging Face folder: config.json and safetensors')
    .argument('<output>', 'checkpoint root to make')
    .option('--spec <spec>', 'parameter names: te (Transformer Engine) or local', 'te')
    .option('--iteration <n>', 'a number, or release', 'release');
  addGridOptions(command).action(
    async (source: string, directory: string, flags: GridFlags & { iteration: string; format: string }) => {
      const iteration = flags.iteration === 'release' ? 'release' : wholeNumber('--iteration')(flags.iteration);
      const options = gridOptions(flags, directory, signal);
      const progress = createByteProgress(output);
      const result = await convertToMegatron({
        ...options,
        source,
        iteration,
        untie: flags.untie === true,
        onProgress: ({ doneBytes, totalBytes }) => progress.update(doneBytes, totalBytes),
      })
        .finally(progress.clear)
        .catch((error: unknown) => {
          sayHowToResume(directory, error, output);
          throw error;
        });
      report(result, directory, flags.json === true, output);
    },
  );
}

/** `ckpt-convert reshard`. */
export function addReshard(program: Command, output: Output, signal: AbortSignal | undefined): void {
  const command = program
    .command('reshard')
    .description('a Megatron checkpoint → the same one for another grid')
    .argument('<checkpoint>', 'as for to-hf')
    .argument('<output>', 'checkpoint root to make')
    .option('--spec <spec>', 'parameter names: te or local (default: as the source)')
    .option('--iteration <n>', 'which iteration of the source, a number or release', iterationOption)
    .option(
      '--reference <dir>',
      'folder with config.json and tokenizer (default: the root of the source, if it has them)',
    )
    .option('--as-release', 'write release instead of the iteration')
    .option(
      '--replica <rank>',
      'where ranks differ in a norm take that of this one: first, a tensor rank, or mean',
      replicaOption,
    );
  addGridOptions(command).action(
    async (
      source: string,
      directory: string,
      flags: GridFlags & Pick<ReshardOptions, 'iteration' | 'reference' | 'asRelease' | 'replica'> & { format: string },
    ) => {
      const options = gridOptions(flags, directory, signal);
      const progress = createByteProgress(output);
      const result = await reshardCheckpoint({
        ...options,
        source,
        untie: flags.untie === true,
        ...(flags.iteration !== undefined && { iteration: flags.iteration }),
        ...(flags.reference !== undefined && { reference: flags.reference }),
        asRelease: flags.asRelease === true,
        ...(flags.replica !== undefined && { replica: flags.replica }),
        onProgress: ({ doneBytes, totalBytes }) => progress.update(doneBytes, totalBytes),
      })
        .finally(progress.clear)
        .catch((error: unknown) => {
          sayHowToResume(directory, error, output);
          throw error;
        });
      report(result, directory, flags.json === true, output);
    },
  );
}

function gridOptions(
  flags: GridFlags & { format: string },
  output: string,
  signal: AbortSignal | undefined,
): GridOptions {
  const parallel: RankGrid = {
    tensorParallelSize: flags.tp,
    pipelineParallelSize: flags.pp,
    ...(flags.vpp !== undefined && { virtualStages: flags.vpp }),
    ...(flags.first !== undefined && { firstStageLayers: flags.first }),
    ...(flags.last !== undefined && { lastStageLayers: flags.last }),
  };
  const { vocabSize, makeVocabSizeDivisibleBy: vocabMultiple } = flags;
  if (vocabMultiple === 0) throw invalid('--make-vocab-size-divisible-by', '0', 'give a number from 1 on');
  return {
    output,
    parallel,
    ...(flags.spec !== undefined && { spec: oneOf('--spec', flags.spec, ['te', 'local']) }),
    ...(vocabSize !== undefined && { vocabSize }),
    ...(vocabMultiple !== undefined && { vocabMultiple }),
    padFill: oneOf('--pad-fill', flags.padFill, ['repeat', 'zero']),
    format: oneOf('--format', flags.format, ['torch', 'torch_dist']),
    ...castOptions(flags),
    ...(flags.workers !== undefined && { workers: flags.workers }),
    digest: oneOf('--digest', flags.digest, ['sha256', 'none']),
    ...outputOptions(flags),
    ...(signal && { signal }),
  };
}

function report(result: RankFilesResult, directory: string, json: boolean, output: Output): void {
  for (const note of result.notes) output.log(`${pc.yellow('note:')} ${note}`);
  if (json) {
    output.write(`${JSON.stringify(result)}\n`);
    return;
  }
  if (result.estimate) {
    output.write(describeEstimate(result.estimate));
    return;
  }
  const { tensorParallelSize, pipelineParallelSize, virtualStages } = result.parallel;
  const grid = `TP ${tensorParallelSize} × PP ${pipelineParallelSize}${virtualStages > 1 ? ` × VPP ${virtualStages}` : ''}`;
  const name = result.iteration === 'release' ? 'release' : `iteration ${result.iteration}`;
  const speed = `${result.seconds.toFixed(1)} s, ${result.cpuSeconds.toFixed(1)} CPU s, peak memory ${formatBytes(result.peakRssBytes)}`;
  const lines = [
    `${pc.green('✓')} ${pc.bold(directory)}: ${name}, ${result.tensors} parameters, ${formatBytes(result.bytes)} in ${result.files.length} files, ${grid}`,
    ...result.files.map((file) => pc.dim(`  ${file.sha256 ?? ''}  ${file.name} (${formatBytes(file.bytes)})`)),
    ...(result.part ? [describePart(result.part)] : []),
    pc.dim(`  ${speed}`),
    `  load with: ${result.loadFlags.join(' ')}`,
  ];
  output.write(`${lines.join('\n')}\n`);
}

/** `ckpt-convert diff`. */
export function addDiff(
  program: Command,
  output: Output,
  signal: AbortSignal | undefined,
  setExitCode: (code: number) => void,
): void {
  program
    .command('diff')
    .description('compare two checkpoints tensor by tensor; exit code 1 when they differ')
    .argument('<a>', 'Hugging Face folder or Megatron checkpoint')
    .argument('<b>', 'the same')
    .option('--json', 'print the result as JSON on stdout')
    .action(async (a: string, b: string, flags: { json?: boolean }) => {
      const progress = createByteProgress(output);
      const found = await diffCheckpoints({
        a,
        b,
        onProgress: progress.update,
        ...(signal && { signal }),
      }).finally(progress.clear);
      output.write(flags.json ? `${JSON.stringify(found)}\n` : describeDiff(found));
      setExitCode(found.equal ? 0 : 1);
    });
}

function describeDiff({ equal, compared, different, missing, tensors }: DiffReport): string {
  const counts = `${compared} tensors compared, ${different} different, ${missing} on one side only`;
  const mark = equal ? pc.green('✓ equal') : pc.red('✗ not equal');
  return `${[...tensors.map(describeDifference), `${mark}: ${counts}`].join('\n')}\n`;
}

function describeDifference({ name, status, a, b, maxAbsDifference, differentElements }: TensorDifference): string {
  const side = (found: TensorDifference['a']) => (found ? `${found.dtype} [${found.shape.join(', ')}]` : 'missing');
  const sides = status === 'values' ? side(a) : `${side(a)} and ${side(b)}`;
  const count = differentElements === undefined ? '' : `, ${differentElements} elements differ`;
  const most = typeof maxAbsDifference === 'number' ? `, by at most ${maxAbsDifference}` : '';
  const odd = maxAbsDifference === null ? ', a NaN or infinity among them' : '';
  return `${name}: ${sides}${count}${most}${odd}`;
}
