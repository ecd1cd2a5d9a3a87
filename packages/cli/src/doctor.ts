import { CptError } from '@pai-cpt/core';
import type { CptClient } from '@pai-cpt/sdk';
import type { Command } from 'commander';
import { type ConnectOptions, connect, withConnection } from './connect.ts';
import { environment, print } from './node.ts';

/** One thing that continued pre-training on PAI needs. */
interface Check {
  readonly name: string;
  readonly isMet: boolean;
  readonly detail: string;
}

/** What PAI's guide asks for the 72B model: 4 nodes of 8 GPUs. */
const GUIDE_GPUS = '32';

/** `cpt doctor`: what PAI's guide asks for before anything else, each looked up. Exit code 1 when something is missing. */
export function registerDoctor(program: Command, exit: (code: number) => void): void {
  withConnection(program.command('doctor'))
    .description('account, workspace, NAS data set for the output, and GPUs: whether a run can be started')
    .option('--gpus <number>', 'GPUs that the run needs', GUIDE_GPUS)
    .option('--json', 'JSON lines on stdout')
    .action(async (options: ConnectOptions & { gpus: string; json?: boolean }) => {
      const client = connect(options);
      const workspaceId = options.workspace ?? environment('PAI_WORKSPACE_ID');
      const checks = [
        await check('account', async () => {
          const { isActivated, reason } = await client.workspaces.activation();
          return [isActivated, reason];
        }),
        await check('workspace', () => checkWorkspace(client, workspaceId)),
        await check('output', () => checkOutput(client)),
        await check('gpus', () => checkGpus(client, Number(options.gpus))),
      ];
      for (const one of checks) {
        print(options.json ? JSON.stringify(one) : `${one.isMet ? 'ok     ' : 'MISSING'}  ${one.name}: ${one.detail}`);
      }
      exit(checks.every(({ isMet }) => isMet) ? 0 : 1);
    });
}

async function check(name: string, run: () => Promise<[boolean, string]>): Promise<Check> {
  try {
    const [isMet, detail] = await run();
    return { name, isMet, detail };
  } catch (error) {
    if (!CptError.isInstance(error)) throw error;
    return { name, isMet: false, detail: error.message };
  }
}

async function checkWorkspace(client: CptClient, workspaceId: string | undefined): Promise<[boolean, string]> {
  if (workspaceId !== undefined) {
    const { name, status } = await client.workspaces.get(workspaceId);
    return [status === undefined || status === 'ENABLED', `${workspaceId} (${name}) is ${status ?? 'there'}`];
  }
  for await (const { workspaceId: id, name, isDefault } of client.workspaces.list()) {
    if (isDefault) return [true, `none is named; ${id} (${name}) is the default`];
  }
  return [false, 'none is named and there is no default: give --workspace or PAI_WORKSPACE_ID'];
}

async function checkOutput(client: CptClient): Promise<[boolean, string]> {
  for await (const { datasetId, name, uri, sourceType } of client.datasets.list()) {
    if (sourceType === 'NAS') return [true, `data set ${datasetId} (${name}) lies on NAS, at ${uri}`];
  }
  return [false, 'no data set on NAS, where the output must go: cpt datasets register <name> nas://…'];
}

async function checkGpus(client: CptClient, gpus: number): Promise<[boolean, string]> {
  const free: string[] = [];
  for await (const quota of client.quotas.list()) {
    const words = `quota ${quota.quotaId} (${quota.gpuType ?? quota.resourceType ?? '?'}) has ${quota.free.gpus} GPUs free`;
    if (quota.free.gpus >= gpus) return [true, `${words}, ${gpus} are needed`];
    free.push(words);
  }
  return [false, `${gpus} GPUs are needed; ${free.join('; ') || 'there is no quota, only the public pool'}`];
}
