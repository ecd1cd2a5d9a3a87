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
import { addVerify } from './commands-verify.ts';
import { convertCheckpoint } from './convert.ts';
import type { ConversionResult, ConvertOptions } from './convert-options.ts';
import { readReference } from './hf-files.ts';
import { type Inspection, inspectCheckpoint } from './inspect.ts';
import { describeSecurity, inspectSecurity } from './inspect-security.ts';
import {
  byteSize,
  castOptions,
  iterationOption,
  oneOf,
  replicaOption,
  wholeNumber,
  workersOption,
} from './option-values.ts';
import { createByteProgress, formatBytes, type Output } from './progress.ts';

const PLANNED: ReadonlySet<string> = new Set(['to-hf', 'to-megatron', 'reshard']);

/** Runs one `ckpt-convert` command line and gives its exit code: 0 done, 1 not equal, 2 wrong use. Failures are thrown. */
export async function runCommand(args: readonly string[], output: Output, signal?: AbortSignal): Promise<number> {
  let exitCode = 0;
  const program = new Command('ckpt-convert')
    .description('Megatron dense checkpoints to and from Hugging Face safetensors, streamed and proven')
    .exitOverride()
    .configureOutput({ writeOut: (text) => output.write(text), writeErr: (text) => output.log(text.trimEnd()) });
  const isPlan = args[0] === 'plan';
  program.addHelpText(
    'after',
    '\nplan <command> … says what a command that writes would do; the same as its --dry-run.',
  );
  if (isPlan && !args.slice(1).some((argument) => PLANNED.has(argument))) {
    output.log(`error: plan takes a command that writes: ${[...PLANNED].map((name) => `plan ${name}`).join(', ')}`);
    return 2;
  }
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
    .option('--iteration <n>', 'a number, or release (default: what the tracker file says)', iterationOption)
    .option('--dtype <dtype>', 'bf16, f16, f32, or source', 'source')
    .option('--allow-cast', 'permit a --dtype that cannot hold all bits')
    .option('--untie', 'write the head of a tied model as a table of its own')
    .option(
      '--replica <rank>',
      'where ranks differ in a norm take that of this one: first, a tensor rank, or mean',
      replicaOption,
    )
    .option('--workers <n>', 'threads that write output files at the same time (default: 1)', workersOption)
    .option('--digest <kind>', 'sha256 of each output file, or none', 'sha256');
  addOutputOptions(command, 'the weights that the output holds').action(
    async (source: string, directory: string, flags: ToHfFlags) => {
      const { json, maxShardSize, dtype, allowCast = false, digest, ...rest } = flags;
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

interface InspectFlags extends Pick<ConvertOptions, 'iteration' | 'reference'> {
  json?: boolean;
  security?: boolean;
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
    .option('--iteration <n>', 'which iteration, a number or release', iterationOption)
    .option('--reference <dir>', 'folder of the original model, where the checkpoint does not describe itself')
    .option('--security', 'list every global that its pickles name; exit code 1 when one is refused')
    .option('--json', 'print the result as JSON on stdout')
    .action(async (path: string, flags: InspectFlags) => {
      const { json, security, reference, ...options } = flags;
      if (security) {
        const report = await inspectSecurity(path, { ...options, ...(signal && { signal }) });
        output.write(json ? `${JSON.stringify(report)}\n` : describeSecurity(report));
        setExitCode(report.ok ? 0 : 1);
        return;
      }
      const config = reference === undefined ? undefined : await readReference(reference);
      const inspection = await inspectCheckpoint(path, { ...options, ...(config && { reference: config }) });
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
