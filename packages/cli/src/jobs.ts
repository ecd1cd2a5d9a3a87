import { type Command, Option } from 'commander';
import { type ConnectOptions, connect, withConnection } from './connect.ts';
import { interruptSignal, print } from './node.ts';

type Options = ConnectOptions & { json?: boolean };

/** `cpt jobs list|get|stop|delete`. */
export function registerJobs(program: Command): void {
  const jobs = program.command('jobs').description('jobs of the workspace');
  const subcommand = (usage: string, description: string) =>
    withConnection(jobs.command(usage)).description(description).option('--json', 'JSON lines on stdout');

  subcommand('list', 'newest first')
    .addOption(new Option('--route <route>', 'of which kind').choices(['dlc', 'quickstart', 'all']).default('all'))
    .action(async (options: Options & { route: 'dlc' | 'quickstart' | 'all' }) => {
      const { route, json } = options;
      for await (const job of connect(options).jobs.list({ route, signal: interruptSignal() })) {
        print(json ? JSON.stringify(job) : `${job.jobId}  ${job.phase.padEnd(9)}  ${job.displayName}`);
      }
    });
  subcommand('get <job-id>', 'everything PAI says of a job').action(async (jobId: string, options: Options) => {
    const job = await connect(options).jobs.get(jobId);
    print(options.json ? JSON.stringify(job) : JSON.stringify(job, null, 2));
  });
  subcommand('stop <job-id>', 'stop it; nothing happens when it has ended').action(
    async (jobId: string, options: Options) => {
      const job = await connect(options).jobs.stop(jobId);
      print(options.json ? JSON.stringify(job) : `${job.jobId}  ${job.phase}`);
    },
  );
  subcommand('delete <job-id>', 'remove an ended job').action(async (jobId: string, options: Options) => {
    await connect(options).jobs.delete(jobId);
    print(options.json ? JSON.stringify({ jobId, deleted: true }) : jobId);
  });
}
