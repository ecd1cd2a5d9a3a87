import { randomBytes } from 'node:crypto';
import { InvalidInputError } from '@pai-cpt/core';
import { runCli } from '@pai-cpt/core/node';
import { Command, CommanderError } from 'commander';
import { type PaiLocal, type PaiLocalOptions, startPaiLocal } from './server.ts';
import type { AccessKey } from './signature.ts';

interface CliOptions {
  readonly port: number;
  readonly accessKey?: Record<string, AccessKey>;
  readonly state: string;
  readonly nas: string;
  readonly images?: string;
  readonly region: string;
  readonly pace: number;
  readonly exitWithParent?: true;
  readonly controlToken?: string;
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
  const paiLocal = await startOnSomePort(options, accessKeys);
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
    .option('--state <directory>', 'where jobs, services and their logs are kept', '.pai-local/state')
    .option(
      '--nas <directory>',
      'what stands for NAS: nas://<id>.<region>/<path> is <id>/<path> in it',
      '.pai-local/nas',
    )
    .option('--images <directory>', 'folders that stand for container images (default: those of this package)')
    .option('--region <id>', 'the region it says it is', 'cn-hangzhou')
    .option('--pace <ms>', 'how long each passing state lasts at least', wholeNumber, 200)
    .option('--control-token <token>', 'opens /_local/faults, which makes requests fail on purpose')
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

async function startOnSomePort(options: CliOptions, accessKeys: Record<string, AccessKey>): Promise<PaiLocal> {
  const settings: PaiLocalOptions = {
    accessKeys,
    stateDirectory: options.state,
    nasDirectory: options.nas,
    region: options.region,
    pace: options.pace,
    ...(options.images !== undefined && { imagesDirectory: options.images }),
    ...(options.controlToken !== undefined && { controlToken: options.controlToken }),
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
