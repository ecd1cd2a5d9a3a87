import { parseRunSpec } from '@pai-cpt/sdk';
import type { Command } from 'commander';
import { type ConnectOptions, connect, withConnection } from './connect.ts';
import { interruptSignal, print, printAside, readJsonFile } from './node.ts';

/** `cpt submit SPEC`: plans, then creates the job; stdout is the job's id and nothing else. */
export function registerSubmit(program: Command): void {
  withConnection(program.command('submit'))
    .description('create the job; prints its id')
    .argument('<spec>', 'run specification (JSON)')
    .option('--force', 'submit although the plan is blocked')
    .option('--json', 'the job as one JSON line on stdout')
    .action(async (specPath: string, options: ConnectOptions & { force?: boolean; json?: boolean }) => {
      const spec = parseRunSpec(await readJsonFile(specPath));
      const signal = interruptSignal();
      const job = await connect(options).jobs.submit(spec, { force: options.force === true, signal });
      print(options.json ? JSON.stringify(job) : job.jobId);
      printAside(`watch it with: cpt watch ${job.jobId}`);
    });
}
