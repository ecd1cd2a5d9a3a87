import { InvalidInputError } from '@pai-cpt/core';
import { parseToolSpec, type ToolSpec } from '@pai-cpt/sdk';
import { fileSubmitJournal } from '@pai-cpt/sdk/node';
import { type Command, Option } from 'commander';
import { type ConnectOptions, connect, withConnection } from './connect.ts';
import { environment, interruptSignal, print, printAside, stateFolder } from './node.ts';

interface ToolOptions extends ConnectOptions {
  parts: number;
  image: string;
  mount: { uri?: string; datasetId?: string; mountPath: string }[];
  ecsSpec?: string;
  quota?: string;
  cpus?: number;
  memory?: number;
  name?: string;
  maxMinutes?: number;
  key?: string;
  stateDir?: string;
  json?: boolean;
}

/** `cpt tool convert|tokenise`: our own programs as a job on several pods beside the NAS; stdout is the job's id. */
export function registerTool(program: Command): void {
  const tool = program.command('tool').description('run ckpt-convert or cpt-mmap on pods of PAI, beside the NAS');

  withJob(tool.command('convert'))
    .description('a conversion; options of ckpt-convert follow after --')
    .argument('<command>', 'to-hf, to-megatron or reshard')
    .argument('<input>', 'checkpoint or model folder, as the job sees it')
    .argument('<output>', 'folder to make, as the job sees it')
    .argument('[options...]', 'of ckpt-convert')
    .action(async (command: string, input: string, output: string, given: string[], options: ToolOptions) => {
      await submit({ tool: 'convert', command, input, output, ...shared(given, options) }, options);
    });
  withJob(tool.command('tokenise'))
    .description('a build of cpt-mmap; its options follow after --')
    .requiredOption('--tokenizer <path>', 'tokenizer.json, or its folder, as the job sees it')
    .requiredOption('--output <prefix>', 'of the dataset; a folder, with a slash at its end, gives dataset.bin in it')
    .argument('<input...>', 'files, folders or patterns, as the job sees them')
    .action(async (words: string[], options: ToolOptions & { tokenizer: string; output: string }) => {
      const end = words.findIndex((word) => word.startsWith('--'));
      const inputs = end < 0 ? words : words.slice(0, end);
      const given = end < 0 ? [] : words.slice(end);
      const { tokenizer, output } = options;
      await submit({ tool: 'tokenise', inputs, tokenizer, output, ...shared(given, options) }, options);
    });
}

function withJob(command: Command): Command {
  const wholeNumber = (text: string): number => (/^\d{1,6}$/.test(text) ? Number(text) : Number.NaN);
  return withConnection(command)
    .addOption(new Option('--parts <n>', 'pods; each does one part').argParser(wholeNumber).default(1))
    .requiredOption('--image <name>', 'container image with ckpt-convert and cpt-mmap')
    .requiredOption(
      '--mount <source=path>',
      'a storage URI, or the id of a dataset, and where to mount it; repeatable',
      addMount,
    )
    .option('--ecs-spec <type>', 'instance type of the public pool')
    .option('--quota <id>', 'resource quota, instead of --ecs-spec')
    .option('--cpus <n>', 'with --quota: CPU cores of each pod', wholeNumber)
    .option('--memory <gib>', 'with --quota: memory of each pod', wholeNumber)
    .option('--name <text>', 'display name of the job')
    .option('--max-minutes <n>', 'PAI stops the job after this time', wholeNumber)
    .option('--key <text>', 'names this work: the same key gives the same job')
    .option('--state-dir <directory>', 'the journal of submissions (CPT_STATE_DIR; default: ~/.local/state/pai-cpt)')
    .option('--json', 'the job as JSON on stdout');
}

function addMount(text: string, mounts: ToolOptions['mount'] = []): ToolOptions['mount'] {
  const at = text.lastIndexOf('=');
  if (at < 1) {
    throw new InvalidInputError('CPT_INPUT_INVALID', `--mount ${text}: give it as nas://ID.REGION/PATH=/mnt/NAME`, {
      field: 'mount',
    });
  }
  const [source, mountPath] = [text.slice(0, at), text.slice(at + 1)];
  return [...mounts, source.includes('://') ? { uri: source, mountPath } : { datasetId: source, mountPath }];
}

function shared(given: string[], { parts, image, mount, ...options }: ToolOptions) {
  const { ecsSpec, quota: quotaId, cpus: cpusPerNode, memory: memoryGiBPerNode } = options;
  const { name: jobName, maxMinutes: maxRunningTimeMinutes } = options;
  const isGiven = ([, value]: [string, unknown]) => value !== undefined;
  return {
    ...{ parts, image, dataSources: mount, arguments: given },
    compute: Object.fromEntries(Object.entries({ ecsSpec, quotaId, cpusPerNode, memoryGiBPerNode }).filter(isGiven)),
    ...Object.fromEntries(Object.entries({ jobName, maxRunningTimeMinutes }).filter(isGiven)),
  };
}

async function submit(value: unknown, options: ToolOptions): Promise<void> {
  const spec: ToolSpec = parseToolSpec(value);
  const journal = fileSubmitJournal(options.stateDir ?? environment('CPT_STATE_DIR') ?? stateFolder());
  const key = options.key === undefined ? {} : { key: options.key };
  const job = await connect(options).jobs.submitTool(spec, { ...key, journal, signal: interruptSignal() });
  print(options.json ? JSON.stringify(job) : job.jobId);
  printAside(`${job.submission.how}; see it with: cpt jobs get ${job.jobId}`);
}
