import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { InvalidInputError } from '@pai-cpt/core';
import { runCli } from '@pai-cpt/core/node';
import { Command, CommanderError, Option } from 'commander';
import { createVirtualClock } from './clock.ts';
import { parseScenario, type Scenario } from './scenario.ts';
import { type PaiLocal, type PaiLocalOptions, startPaiLocal } from './server.ts';
import type { AccessKey } from './signature.ts';

interface CliOptions {
  readonly port: number;
  readonly accessKey?: Record<string, AccessKey>;
  readonly deny?: Record<string, readonly string[]>;
  readonly state: string;
  readonly nas: string;
  readonly images?: string;
  readonly region: string;
  readonly pace: number;
  readonly exitWithParent?: true;
  readonly controlToken?: string;
  readonly scenario?: string;
  readonly clock: 'real' | 'virtual';
  readonly stopOfEnded: 'ignore' | 'refuse';
}

/** Past this, what still runs is left to the reaper, which kills it as soon as this process is gone. */
const CLOSE_LIMIT_MS = 20_000;

await runCli(async () => {
  const options = parseArguments();
  if (typeof options === 'number') return options;
  const stopAsked = untilAskedToStop(options.exitWithParent === true);
  // Whoever has a key runs commands here, so there is none that others can know; a new one is told.
  const fresh = options.accessKey === undefined ? newKey() : undefined;
  const accessKeys = options.accessKey ?? { [fresh?.accessKeyId ?? '']: { secret: fresh?.accessKeySecret ?? '' } };
  const paiLocal = await startOnSomePort(options, withDenials(accessKeys, options.deny));
  process.stdout.write(`${JSON.stringify({ url: paiLocal.url, ...fresh })}\n`);
  await stopAsked;
  setTimeout(() => process.exit(1), CLOSE_LIMIT_MS);
  await paiLocal.close();
  process.exit(0); // an open stdin would keep the process
});

/** The options, or the exit code where there is nothing to start: help was asked for, or the use is wrong. */
function parseArguments(): CliOptions | number {
  const wholeNumber = (text: string): number => {
    if (/^\d{1,8}$/.test(text)) return Number(text);
    throw new InvalidInputError('CPT_INPUT_INVALID', `"${text}" is not a whole number`);
  };
  const command = new Command('pai-local')
    .exitOverride()
    .description(
      'a local PAI: DLC, EAS, PAI Studio and AIWorkSpace on the loopback, jobs and services as processes of this machine',
    )
    .option('--port <number>', 'port to listen on; 0, or a port that is taken, gives a free one', wholeNumber, 0)
    .option('--access-key <id:secret[:token]>', 'may sign requests; repeatable (default: a new one, printed)', addKey)
    .option('--deny <id:action,…>', 'the key may not call these; repeatable', addDenial)
    .option('--state <directory>', 'where jobs, services and their logs are kept', '.pai-local/state')
    .option(
      '--nas <directory>',
      'what stands for NAS: nas://<id>.<region>/<path> is <id>/<path> in it',
      '.pai-local/nas',
    )
    .option('--images <directory>', 'folders that stand for container images (default: those of this package)')
    .option('--region <id>', 'the region it says it is', 'cn-hangzhou')
    .option('--pace <ms>', 'how long each passing state lasts at least', wholeNumber, 200)
    .option('--control-token <token>', 'opens /_local/: faults, clock and pods')
    .addOption(
      new Option('--stop-of-ended <how>', 'what StopJob does with a job that has ended')
        .choices(['ignore', 'refuse'])
        .default('ignore'),
    )
    .addOption(
      new Option('--clock <kind>', 'virtual: time passes when the control endpoint is told so')
        .choices(['real', 'virtual'])
        .default('real'),
    )
    .option('--scenario <file>', 'JSON: jobs that write a training log instead of running, and faults')
    .option('--exit-with-parent', 'stop when stdin, a pipe from the parent, closes');
  try {
    return command.parse().opts<CliOptions>();
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2; // it has printed its message
    throw error;
  }
}

function newKey(): { accessKeyId: string; accessKeySecret: string } {
  return { accessKeyId: `local-${randomBytes(4).toString('hex')}`, accessKeySecret: randomBytes(16).toString('hex') };
}

function addKey(text: string, keys: Record<string, AccessKey> = {}): Record<string, AccessKey> {
  const [id, secret, securityToken] = text.split(':');
  if (!id || !secret)
    throw new InvalidInputError('CPT_INPUT_INVALID', 'an access key is given as ID:SECRET or ID:SECRET:TOKEN');
  return { ...keys, [id]: { secret, ...(securityToken && { securityToken }) } };
}

function addDenial(text: string, denials: Record<string, readonly string[]> = {}): Record<string, readonly string[]> {
  const [id, actions] = text.split(':');
  if (!id || !actions) throw new InvalidInputError('CPT_INPUT_INVALID', 'a denial is given as ID:ACTION[,ACTION]');
  return { ...denials, [id]: actions.split(',') };
}

/** The keys with what is denied to them. */
function withDenials(keys: Record<string, AccessKey>, denials: CliOptions['deny'] = {}): Record<string, AccessKey> {
  const stranger = Object.keys(denials).find((id) => !Object.hasOwn(keys, id));
  if (stranger) throw new InvalidInputError('CPT_INPUT_INVALID', `--deny: there is no access key ${stranger}`);
  return Object.fromEntries(
    Object.entries(keys).map(([id, key]) => [id, { ...key, ...(denials[id] && { denies: denials[id] }) }]),
  );
}

function untilAskedToStop(exitsWithParent: boolean): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
      process.once(signal, () => {
        process.once(signal, () => process.exit(130)); // asked twice: do not wait
        resolve();
      });
    }
    if (!exitsWithParent) return;
    process.stdin.on('close', resolve).on('error', resolve).resume();
  });
}

async function readScenario(path: string): Promise<Scenario> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new InvalidInputError('CPT_INPUT_FILE_MISSING', `${path}: cannot be read`, { file: path }, { cause });
  });
  try {
    return parseScenario(JSON.parse(text));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new InvalidInputError('CPT_INPUT_INVALID', `${path}: this is not JSON: ${error.message}`, { file: path });
  }
}

async function startOnSomePort(options: CliOptions, accessKeys: Record<string, AccessKey>): Promise<PaiLocal> {
  const settings: PaiLocalOptions = {
    accessKeys,
    stateDirectory: options.state,
    nasDirectory: options.nas,
    region: options.region,
    pace: options.pace,
    stopOfEnded: options.stopOfEnded,
    ...(options.images !== undefined && { imagesDirectory: options.images }),
    ...(options.controlToken !== undefined && { controlToken: options.controlToken }),
    ...(options.clock === 'virtual' && { clock: createVirtualClock() }),
    ...(options.scenario !== undefined && { scenario: await readScenario(options.scenario) }),
  };
  try {
    return await startPaiLocal({ ...settings, port: options.port });
  } catch (error) {
    const isTaken = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE';
    if (!isTaken) throw error;
    process.stderr.write(`pai-local: port ${options.port} is taken; using a free one\n`);
    return startPaiLocal({ ...settings, port: 0 });
  }
}
