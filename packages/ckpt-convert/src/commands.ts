import { CptError } from '@pai-cpt/core';
import { Command, CommanderError } from 'commander';
import pc from 'picocolors';
import { addDiff, addReshard, addToMegatron } from './commands-megatron.ts';
import { convertCheckpoint } from './convert.ts';
import type { ConversionResult, ConvertOptions } from './convert-options.ts';
import { type Inspection, inspectCheckpoint } from './inspect.ts';
import { byteSize, castOptions, wholeNumber } from './option-values.ts';
import { readUnfinished } from './output/output-directory.ts';
import type { ConversionPlan } from './plan.ts';
import { createByteProgress, formatBytes, type Output } from './progress.ts';
import { type VerifyOptions, type VerifyReport, verifyCheckpoint } from './verify.ts';

/** Runs one `ckpt-convert` command line and gives its exit code: 0 done, 1 not equal, 2 wrong use. Failures are thrown. */
export async function runCommand(args: readonly string[], output: Output, signal?: AbortSignal): Promise<number> {
  let exitCode = 0;
  const program = new Command('ckpt-convert')
    .description('Megatron dense checkpoints to and from Hugging Face safetensors, streamed and proven')
    .exitOverride()
    .configureOutput({ writeOut: (text) => output.write(text), writeErr: (text) => output.log(text.trimEnd()) });
  addToHf(program, output, signal);
  addToMegatron(program, output, signal);
  addReshard(program, output, signal);
  addInspect(program, output);
  const setExitCode = (code: number) => {
    exitCode = code;
  };
  addDiff(program, output, signal, setExitCode);
  addVerify(program, output, signal, setExitCode);
  try {
    await program.parseAsync(args, { from: 'user' });
    return exitCode;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? 0 : 2;
  }
}

interface ToHfFlags
  extends Pick<ConvertOptions, 'reference' | 'tokenizer' | 'vocabSize' | 'iteration' | 'force' | 'resume'> {
  maxShardSize?: number;
  dtype: string;
  allowCast?: boolean;
  dryRun?: boolean;
  json?: boolean;
}

function addToHf(program: Command, output: Output, signal: AbortSignal | undefined): void {
  program
    .command('to-hf')
    .description('rank files → a Hugging Face folder')
    .argument('<checkpoint>', 'root with the tracker file, one iter_… directory, or one rank file')
    .argument('<output>', 'folder to make')
    .option('--reference <dir>', 'folder of the original model: its config.json, generation_config.json and tokenizer')
    .option('--tokenizer <path>', 'tokenizer.json or its folder, to copy into the output')
    .option('--vocab-size <rows>', 'rows of the vocabulary to keep', wholeNumber('--vocab-size'))
    .option('--max-shard-size <size>', 'largest output file, for example 5GB or 2GiB (default: 5GB)', byteSize)
    .option('--iteration <n>', 'which iteration (default: what the tracker file says)', wholeNumber('--iteration'))
    .option('--dtype <dtype>', 'bf16, f32, or source', 'source')
    .option('--allow-cast', 'permit a --dtype that cannot hold all bits')
    .option('--force', 'replace the weights that the output holds')
    .option('--resume', 'go on with a conversion that was interrupted, or begin one')
    .option('--dry-run', 'say what would be done')
    .option('--json', 'print the result as JSON on stdout')
    .action(async (source: string, directory: string, flags: ToHfFlags) => {
      const { json, maxShardSize, dtype, allowCast = false, ...rest } = flags;
      const progress = createByteProgress(output);
      const result = await convertCheckpoint({
        ...rest,
        ...castOptions({ dtype, allowCast }),
        source,
        output: directory,
        onProgress: ({ doneBytes, totalBytes }) => progress.update(doneBytes, totalBytes),
        ...(maxShardSize !== undefined && { maxShardBytes: maxShardSize }),
        ...(signal && { signal }),
      })
        .finally(progress.clear)
        .catch((error: unknown) => {
          sayHowToResume(directory, error, output);
          throw error;
        });
      for (const note of result.notes) output.log(`${pc.yellow('note:')} ${note}`);
      if (json) output.write(`${JSON.stringify(forMachines(result, flags.dryRun === true))}\n`);
      else output.write(flags.dryRun ? describePlan(result.plan) : describeResult(result, directory));
    });
}

/** After a stop that left finished files behind: how many, and the way on. A lock means that they are somebody else's. */
function sayHowToResume(directory: string, error: unknown, output: Output): void {
  if (CptError.isInstance(error) && !error.code.startsWith('CPT_DISK_')) return;
  const unfinished = readUnfinished(directory);
  if (!unfinished) return;
  const { finished, start } = unfinished;
  output.log(
    `${finished.size} of ${start.outputShards} files are written; run the same command with --resume to go on`,
  );
}

/** The plan has an entry for each copy, so it is only given when it is what was asked for. */
function forMachines({ plan, ...result }: ConversionResult, isDryRun: boolean): object {
  return isDryRun ? { ...result, plan } : result;
}

function describePlan(plan: ConversionPlan): string {
  const lines = plan.outputShards.map(
    ({ name, tensors, byteLength }) => `${name}  ${tensors.length} tensors, ${formatBytes(byteLength)}`,
  );
  const sources = plan.outputShards.flatMap(({ tensors }) =>
    tensors.map(
      ({ name, dtype, shape, megatronName, sources: shards, copies }) =>
        `  ${name} ${dtype} [${shape.join(', ')}] ← ${megatronName}, ${shards.length} shards, ${copies.length} copies`,
    ),
  );
  return `${[...lines, ...sources].join('\n')}\n`;
}

function describeResult(result: ConversionResult, directory: string): string {
  const { tensorParallelSize, pipelineParallelSize } = result.parallel;
  const files = result.files.map(({ name, bytes, sha256 }) => pc.dim(`  ${sha256}  ${name} (${formatBytes(bytes)})`));
  const rate = result.bytes / 1e9 / Math.max(result.seconds, 1e-3);
  const speed = `${result.seconds.toFixed(1)} s, ${rate.toFixed(2)} GB/s, ${result.cpuSeconds.toFixed(1)} CPU s, peak memory ${formatBytes(result.peakRssBytes)}`;
  return `${[
    `${pc.green('✓')} ${pc.bold(directory)}: ${result.tensors} tensors, ${formatBytes(result.bytes)}, from iteration ${result.iteration}, TP ${tensorParallelSize} × PP ${pipelineParallelSize}`,
    ...files,
    pc.dim(`  ${speed}`),
  ].join('\n')}\n`;
}

function addInspect(program: Command, output: Output): void {
  program
    .command('inspect')
    .description('say what a checkpoint is, without reading a tensor')
    .argument('<checkpoint>', 'as for to-hf')
    .option('--iteration <n>', 'which iteration', wholeNumber('--iteration'))
    .option('--json', 'print the result as JSON on stdout')
    .action(async (path: string, flags: { iteration?: number; json?: boolean }) => {
      const { json, ...options } = flags;
      const inspection = await inspectCheckpoint(path, options);
      output.write(json ? `${JSON.stringify(inspection)}\n` : describeInspection(inspection));
    });
}

function describeInspection(inspection: Inspection): string {
  const { format, iteration, family, model, layersPerStage, parameters, problems } = inspection;
  const { heads, queryGroups, headDim, hiddenSize, ffnHiddenSize, vocabSize, isTied } = model;
  const lines = [
    `${pc.bold(inspection.directory)}: ${family}, ${format}, iteration ${iteration}`,
    `  TP ${inspection.tensorParallelSize} × PP ${inspection.pipelineParallelSize}, layers ${layersPerStage.join(' + ')}`,
    `  hidden ${hiddenSize}, ffn ${ffnHiddenSize}, ${heads} heads of ${headDim} in ${queryGroups} groups`,
    `  vocabulary ${vocabSize} of ${inspection.paddedVocabSize} rows, ${isTied ? 'tied' : 'untied'}`,
    ...parameters.map(({ name, shape, dtype }) => `  ${name} ${dtype} [${shape.join(', ')}]`),
    ...problems.map((problem) => `${pc.yellow('problem:')} ${problem}`),
  ];
  return `${lines.join('\n')}\n`;
}

interface VerifyFlags extends Pick<VerifyOptions, 'run' | 'data' | 'sequenceLength' | 'maxSequences' | 'iteration'> {
  against: string;
  json?: boolean;
}

function addVerify(
  program: Command,
  output: Output,
  signal: AbortSignal | undefined,
  setExitCode: (code: number) => void,
): void {
  program
    .command('verify')
    .description('compare a Hugging Face folder with the checkpoint it was made from; exit code 1 when they differ')
    .argument('<folder>', 'Hugging Face folder')
    .requiredOption('--against <checkpoint>', 'as for to-hf')
    .option('--iteration <n>', 'which iteration', wholeNumber('--iteration'))
    .option('--run', 'also run both on --data and compare the hidden states after each layer')
    .option('--data <prefix>', 'dataset without .bin and .idx')
    .option('--sequence-length <n>', 'tokens a sequence (default: as trained)', wholeNumber('--sequence-length'))
    .option('--max-sequences <n>', 'stop after so many (default: all)', wholeNumber('--max-sequences'))
    .option('--json', 'print the result as JSON on stdout')
    .action(async (hf: string, flags: VerifyFlags) => {
      const { json, ...options } = flags;
      const progress = createByteProgress(output);
      const report = await verifyCheckpoint({
        ...options,
        hf,
        onProgress(step) {
          if (step.step === 'compare') progress.update(step.doneBytes, step.totalBytes);
          else if (step.layer === step.layers - 1) output.log(pc.dim(`${step.layers} layers compared`));
        },
        ...(signal && { signal }),
      }).finally(progress.clear);
      output.write(json ? `${JSON.stringify(report)}\n` : describeReport(report));
      setExitCode(report.ok ? 0 : 1);
    });
}

function describeReport({ checks, ok }: VerifyReport): string {
  const lines = checks.map((check) => {
    const mark = check.ok ? pc.green('✓') : pc.red('✗');
    return `${mark} ${check.name.padEnd(9)} ${check.detail}`;
  });
  return `${[...lines, ok ? pc.green('equal') : pc.red('not equal')].join('\n')}\n`;
}
