import { localFolder } from '@pai-cpt/sdk/node';
import type { Command } from 'commander';
import { type ConnectOptions, connect, withConnection } from './connect.ts';
import { interruptSignal, print } from './node.ts';

type Options = ConnectOptions & { json?: boolean };

/** `cpt datasets list|register|check|delete`. */
export function registerDatasets(program: Command, exit: (code: number) => void): void {
  const datasets = program.command('datasets').description('data sets of the workspace');
  const subcommand = (usage: string, description: string) =>
    withConnection(datasets.command(usage)).description(description).option('--json', 'JSON lines on stdout');

  subcommand('list', 'newest first').action(async (options: Options) => {
    for await (const dataset of connect(options).datasets.list({ signal: interruptSignal() })) {
      print(options.json ? JSON.stringify(dataset) : `${dataset.datasetId}  ${dataset.name}  ${dataset.uri}`);
    }
  });
  subcommand('register <name> <uri>', 'give a folder on NAS or OSS a name; prints its id')
    .option('--mount-path <path>', 'where a job sees it, when the job does not say')
    .action(async (name: string, uri: string, options: Options & { mountPath?: string }) => {
      const { mountPath } = options;
      const dataset = await connect(options).datasets.register({ name, uri, ...(mountPath && { mountPath }) });
      print(options.json ? JSON.stringify(dataset) : dataset.datasetId);
    });
  subcommand('check <id-or-uri>', 'whether dataset.bin and dataset.idx lie where QuickStart wants them')
    .requiredOption('--local <directory>', 'the same folder as this machine sees it')
    .action(async (idOrUri: string, options: Options & { local: string }) => {
      const check = await connect(options).datasets.check(idOrUri, localFolder(options.local));
      const lines = check.isUsable ? [`${check.uri}: dataset.bin and dataset.idx are there`] : check.problems;
      print(options.json ? JSON.stringify(check) : lines.join('\n'));
      exit(check.isUsable ? 0 : 1);
    });
  subcommand('delete <id>', 'forget the name; the files stay').action(async (id: string, options: Options) => {
    await connect(options).datasets.delete(id);
    print(options.json ? JSON.stringify({ datasetId: id, deleted: true }) : id);
  });
}
