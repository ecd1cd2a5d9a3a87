import { localFolder } from '@pai-cpt/sdk/node';
import type { Command } from 'commander';
import { type ConnectOptions, connect, withConnection } from './connect.ts';
import { interruptSignal, print } from './node.ts';

type Options = ConnectOptions & { json?: boolean };
interface RegisterOptions extends Options {
  local: string;
  job?: string;
  iteration?: string;
  dataset?: string;
  digest?: string;
}

/** `cpt models list|register`. */
export function registerModels(program: Command): void {
  const models = program.command('models').description('models of the workspace');
  const subcommand = (usage: string, description: string) =>
    withConnection(models.command(usage)).description(description).option('--json', 'JSON lines on stdout');

  subcommand('list', 'newest first')
    .option('--gallery', 'the cards of the Model Gallery instead')
    .action(async (options: Options & { gallery?: boolean }) => {
      const filter = options.gallery ? { provider: 'pai' } : {};
      for await (const model of connect(options).models.list({ ...filter, signal: interruptSignal() })) {
        const words = [model.modelId, model.latest?.version ?? '-', model.name, model.latest?.uri ?? ''];
        print(options.json ? JSON.stringify(model) : words.join('  ').trimEnd());
      }
    });
  subcommand('register <name> <uri>', 'a converted checkpoint as a version of a model; prints the version')
    .requiredOption('--local <directory>', 'the same folder as this machine sees it')
    .option('--job <id>', 'the job that trained it')
    .option('--iteration <number>', 'its iteration')
    .option('--dataset <fingerprint>', 'digest of the data set')
    .option('--digest <text>', 'digest of the conversion; by default of names, sizes and metadata')
    .action(async (name: string, uri: string, options: RegisterOptions) => {
      const { local, job, iteration, dataset, digest } = options;
      const lineage = {
        ...(job && { jobId: job }),
        ...(iteration && { iteration: Number(iteration) }),
        ...(dataset && { datasetFingerprint: dataset }),
        ...(digest && { conversionDigest: digest }),
      };
      const version = await connect(options).models.register({ name, uri, folder: localFolder(local), lineage });
      print(options.json ? JSON.stringify(version) : version.version);
    });
}
