import { type PartFate, parseRunSpec, type ResumePlan } from '@pai-cpt/sdk';
import { fileSubmitJournal, localTree } from '@pai-cpt/sdk/node';
import { type Command, Option } from 'commander';
import { type ConnectOptions, connect, withConnection } from './connect.ts';
import { environment, interruptSignal, print, printAside, readJsonFile, stateFolder, writeJsonFile } from './node.ts';

interface ResumeOptions extends ConnectOptions {
  spec: string;
  output?: string;
  order: 'continue' | 'anew';
  iteration?: string;
  data?: string;
  key?: string;
  writeSpec?: string;
  stateDir?: string;
  force?: boolean;
  dryRun?: boolean;
  json?: boolean;
}

/** `cpt resume JOB --spec FILE`: continues an ended job from its newest complete checkpoint; stdout is the new job's id. */
export function registerResume(program: Command): void {
  withConnection(program.command('resume'))
    .description('continue an ended job from its newest complete checkpoint, and say what that does not keep')
    .argument('<job-id>')
    .requiredOption('--spec <file>', 'the run specification that the job was submitted with')
    .option('--output <directory>', 'its output folder as this machine sees it, to look at the checkpoints’ files')
    .addOption(
      new Option('--order <order>', 'continue: no sample twice; anew: a run of its own over the remaining tokens')
        .choices(['continue', 'anew'])
        .default('continue'),
    )
    .option('--data <prefix>', 'with --order anew: another dataset, as the job sees it')
    .option('--iteration <number>', 'this checkpoint instead of the newest complete one')
    .option('--key <text>', 'continue it once more under a name of your own')
    .option('--write-spec <file>', 'keep the specification of the new job, which continuing that one needs')
    .option('--state-dir <directory>', 'the journal of submissions (CPT_STATE_DIR; default: ~/.local/state/pai-cpt)')
    .option('--force', 'submit although the plan is blocked')
    .option('--dry-run', 'say what would be done, and submit nothing')
    .option('--json', 'one JSON line on stdout')
    .action(async (jobId: string, options: ResumeOptions) => {
      const spec = parseRunSpec(await readJsonFile(options.spec));
      const { jobs } = connect(options);
      const signal = interruptSignal();
      const from = {
        order: options.order,
        signal,
        ...(options.output === undefined ? {} : { output: localTree(options.output) }),
        ...(options.data === undefined ? {} : { data: { ...spec.data, train: options.data } }),
        ...(options.iteration === undefined ? {} : { iteration: Number(options.iteration) }),
      };
      if (options.dryRun) {
        const truth = await jobs.restartTruth(jobId, spec, from);
        const plan = await jobs.planResume(jobId, spec, from);
        print(
          options.json
            ? JSON.stringify({ ...withoutEnvironment(plan), truth })
            : `${truth.summary}\n${renderResume(plan)}`,
        );
        return;
      }
      const journal = fileSubmitJournal(options.stateDir ?? environment('CPT_STATE_DIR') ?? stateFolder());
      const { key, force = false } = options;
      const job = await jobs.resume(jobId, spec, { ...from, journal, force, ...(key === undefined ? {} : { key }) });
      if (options.writeSpec) await writeJsonFile(options.writeSpec, job.resume.spec);
      print(options.json ? JSON.stringify({ ...job, resume: withoutEnvironment(job.resume) }) : job.jobId);
      printAside(renderResume(job.resume));
      printAside(`watch it with: cpt watch ${job.jobId}`);
    });
}

/** What may be shown: the environment of a job is where secrets are. */
function withoutEnvironment({ spec: { environment: _, ...spec }, ...plan }: ResumePlan) {
  return { ...plan, spec };
}

/** What is kept and what is not, for a person. */
export function renderResume({ checkpoint, remainingIterations, remainingTokens, parts, notes }: ResumePlan): string {
  const tokens = remainingTokens.toLocaleString('en-US');
  const line = ({ part, isKept, why }: PartFate): string => `  ${isKept ? 'kept' : 'lost'}  ${part.padEnd(12)}  ${why}`;
  return [
    `goes on from iteration ${checkpoint.iteration} in ${checkpoint.directory}: ${remainingIterations} iterations, ${tokens} tokens`,
    ...parts.map(line),
    ...notes.map((note) => `  note  ${note}`),
  ].join('\n');
}
