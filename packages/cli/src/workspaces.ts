import type { Command } from 'commander';
import { type ConnectOptions, connect, withConnection } from './connect.ts';
import { interruptSignal, print } from './node.ts';

type Options = ConnectOptions & { json?: boolean };

/** `cpt workspaces list` and `cpt quotas list`. */
export function registerWorkspaces(program: Command): void {
  withConnection(program.command('workspaces').description('workspaces of the account').command('list'))
    .option('--json', 'JSON lines on stdout')
    .action(async (options: Options) => {
      for await (const workspace of connect(options).workspaces.list({ signal: interruptSignal() })) {
        const { workspaceId, name, isDefault, status = '' } = workspace;
        const words = [workspaceId, status, `${name}${isDefault ? ' (default)' : ''}`];
        print(options.json ? JSON.stringify(workspace) : words.join('  '));
      }
    });
  withConnection(program.command('quotas').description('resource quotas, and what of them is free').command('list'))
    .option('--json', 'JSON lines on stdout')
    .action(async (options: Options) => {
      for await (const quota of connect(options).quotas.list({ signal: interruptSignal() })) {
        const free = `${quota.free.gpus} of ${quota.allocatable.gpus} GPUs free`;
        const words = [quota.quotaId, quota.resourceType ?? '', quota.gpuType ?? '', free];
        print(options.json ? JSON.stringify(quota) : words.join('  '));
      }
    });
}
