import { describeError } from '@pai-cpt/core/node';
import { Command, CommanderError } from 'commander';
import pc from 'picocolors';
import { addDiff, addReshard, addToMegatron } from './commands-megatron.ts';
import {
  addOutputOptions,
  describeEstimate,
  describePart,
  type OutputFlags,
  outputOptions,
  sayHowToResume,
} from './commands-output.ts';
import { convertCheckpoint } from './convert.ts';
import type { ConversionResult, ConvertOptions } from './convert-options.ts';
import { type Inspection, inspectCheckpoint } from './inspect.ts';
import { describeSecurity, inspectSecurity } from './inspect-security.ts';
import { byteSize, castOptions, invalid, oneOf, replicaOption, wholeNumber } from './option-values.ts';
import { createByteProgress, formatBytes, type Output } from './progress.ts';
import { recordVerification, VERIFICATION_FILE } from './verification-record.ts';
import { type VerifyOptions, type VerifyReport, verifyCheckpoint } from './verify.ts';

/** Runs one `ckpt-convert` command line and gives its exit code: 0 done, 1 not equal, 2 wrong use. Failures are thrown. */
export async function runCommand(args: readonly string[], output: Output, signal?: AbortSignal): Promise<number> {
  let exitCode = 0;
  const program = new Command('ckpt-convert')
    .description('Megatron dense checkpoints to and from Hugging Face safetensors, streamed and proven')
    .exitOverride()
    .configureOutput({ writeOut: (text) => output.write(text), writeErr: (text) => output.log(text.trimEnd()) });
  const isPlan = args[0] === 'plan' && args.length > 1;
  program.addHelpText(
    'after',
    '\nplan <command> … says what a command that writes would do; the same as its --dry-run.',
  );
  addToHf(program, output, signal);
  addToMegatron(program, output, signal);
  addReshard(program, output, signal);
  const setExitCode = (code: number) => {
    exitCode = code;
  };
  addInspect(program, output, signal, setExitCode);
  addDiff(program, output, signal, setExitCode);
  addVerify(program, output, signal, setExitCode);
  try {
    await program.parseAsync(isPlan ? [...args.slice(1), '--dry-run'] : args, { from: 'user' });
    return exitCode;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? 0 : 2;
  }
}

interface ToHfFlags
  extends OutputFlags,
    Pick<ConvertOptions, 'reference' | 'tokenizer' | 'vocabSize' | 'iteration' | 'workers' | 'replica' | 'untie'> {
  maxShardSize?: number;
  digest: string;
  dtype: string;
  allowCast?: boolean;
}

function addToHf(program: Command, output: Output, signal: AbortSignal | undefined): void {
  const command = program
    .command('to-hf')
    .description('rank files → a Hugging Face folder')
    .argument('<checkpoint>', 'root with the tracker file, one iter_… directory, or one rank file')
    .argument('<output>', 'folder to make')
    .option('--reference <dir>', 'folder of the original model: its config.json, generation_config.json and tokenizer')
    .option('--tokenizer <path>', 'tokenizer.json or its folder, to copy into the output')
    .option('--vocab-size <rows>', 'rows of the vocabulary to keep', wholeNumber('--vocab-size'))
    .option('--max-shard-size <size>', 'largest output file, for example 5GB or 2GiB (default: 5GB)', byteSize)
    .option('--iteration <n>', 'which iteration (default: what the tracker file says)', wholeNumber('--iteration'))
    .option('--dtype <dtype>', 'bf16, f16, f32, or source', 'source')
    .option('--allow-cast', 'permit a --dtype that cannot hold all bits')
    .option('--untie', 'write the head of a tied model as a table of its own')
    .option(
      '--replica <rank>',
      'where ranks differ in a norm take that of this one: first, a tensor rank, or mean',
      replicaOption,
    )
    .option('--workers <n>', 'threads that write output files at the same time (default: 1)', wholeNumber('--workers'))
    .option('--digest <kind>', 'sha256 of each output file, or none', 'sha256');
  addOutputOptions(command, 'the weights that the output holds').action(
    async (source: string, directory: string, flags: ToHfFlags) => {
      const { json, maxShardSize, dtype, allowCast = false, digest, ...rest } = flags;
      if (rest.workers === 0) throw invalid('--workers', '0', 'give a number from 1 on');
      const progress = createByteProgress(output);
      const result = await convertCheckpoint({
        ...rest,
        ...outputOptions(flags),
        ...castOptions({ dtype, allowCast }),
        digest: oneOf('--digest', digest, ['sha256', 'none']),
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
      else output.write(flags.dryRun ? describePlan(result) : describeResult(result, directory));
    },
  );
}

/** The plan has an entry for each copy, so it is only given when it is what was asked for. */
function forMachines({ plan, ...result }: ConversionResult, isDryRun: boolean): object {
  return isDryRun ? { ...result, plan } : result;
}

function describePlan({ plan, estimate }: ConversionResult): string {
  const sources = plan.outputShards.flatMap(({ name: file, tensors }) => [
    `${file}:`,
    ...tensors.map(
      ({ name, dtype, shape, megatronName, sources: shards, copies }) =>
        `  ${name} ${dtype} [${shape.join(', ')}] ← ${megatronName}, ${shards.length} shards, ${copies.length} copies`,
    ),
  ]);
  return `${sources.join('\n')}\n${estimate ? describeEstimate(estimate) : ''}`;
}

function describeResult(result: ConversionResult, directory: string): string {
  const { tensorParallelSize, pipelineParallelSize } = result.parallel;
  const files = result.files.map(({ name, bytes, sha256 }) =>
    pc.dim(`  ${sha256 ?? ''}  ${name} (${formatBytes(bytes)})`),
  );
  const rate = result.bytes / 1e9 / Math.max(result.seconds, 1e-3);
  const speed = `${result.seconds.toFixed(1)} s, ${rate.toFixed(2)} GB/s, ${result.cpuSeconds.toFixed(1)} CPU s, peak memory ${formatBytes(result.peakRssBytes)}`;
  return `${[
    `${pc.green('✓')} ${pc.bold(directory)}: ${result.tensors} tensors, ${formatBytes(result.bytes)}, from iteration ${result.iteration}, TP ${tensorParallelSize} × PP ${pipelineParallelSize}`,
    ...files,
    ...(result.part ? [describePart(result.part)] : []),
    pc.dim(`  ${speed}`),
  ].join('\n')}\n`;
}

function addInspect(
  program: Command,
  output: Output,
  signal: AbortSignal | undefined,
  setExitCode: (code: number) => void,
): void {
  program
    .command('inspect')
    .description('say what a checkpoint is, without reading a tensor')
    .argument('<checkpoint>', 'as for to-hf')
    .option('--iteration <n>', 'which iteration', wholeNumber('--iteration'))
    .option('--security', 'list every global that its pickles name; exit code 1 when one is refused')
    .option('--json', 'print the result as JSON on stdout')
    .action(async (path: string, flags: { iteration?: number; json?: boolean; security?: boolean }) => {
      const { json, security, ...options } = flags;
      if (security) {
        const report = await inspectSecurity(path, { ...options, ...(signal && { signal }) });
        output.write(json ? `${JSON.stringify(report)}\n` : describeSecurity(report));
        setExitCode(report.ok ? 0 : 1);
        return;
      }
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
    .option(
      '--max-sequences <n>',
      'stop after so many (default: what 128 MiB of hidden states hold)',
      wholeNumber('--max-sequences'),
    )
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
      await recordVerification(hf, options.against, report).catch((error: unknown) => {
        output.log(
          `${hf}: ${VERIFICATION_FILE} cannot be kept there, and a deployment asks for it: ${describeError(error)}`,
        );
      });
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
