import { randomBytes } from 'node:crypto';
import { CptError, InvalidInputError } from '@pai-cpt/core';
import { parseRunSpec, type RecoveredSubmission, type SubmitJournal, type SubmittedJob } from '@pai-cpt/sdk';
import { fileSubmitJournal } from '@pai-cpt/sdk/node';
import type { Command } from 'commander';
import { connect, targetOf, withConnection } from './connect.ts';
import { environment, interruptSignal, print, printAside, readJsonFile, stateFolder } from './node.ts';
import { type FactOptions, factsOf, withFacts } from './plan-facts.ts';

interface SubmitOptions extends FactOptions {
  key?: string;
  stateDir?: string;
  recover?: boolean;
  force?: boolean;
  json?: boolean;
}

/** `cpt submit SPEC`: plans, then makes sure that the job exists once; stdout is the job's id and nothing else. */
export function registerSubmit(program: Command): void {
  withFacts(withConnection(program.command('submit')))
    .description('create the job, exactly once; prints its id')
    .argument('[spec]', 'run specification (JSON)')
    .option('--key <text>', 'names this run: the same key gives the same job, however often it is submitted')
    .option('--state-dir <directory>', 'the journal of submissions (CPT_STATE_DIR; default: ~/.local/state/pai-cpt)')
    .option('--recover', 'finish what earlier submissions left, instead of submitting')
    .option('--force', 'submit although the plan is blocked; the journal and a tag of the job say so')
    .option('--json', 'JSON lines on stdout')
    .action(async (specPath: string | undefined, options: SubmitOptions) => {
      const journal = fileSubmitJournal(options.stateDir ?? environment('CPT_STATE_DIR') ?? stateFolder());
      if (options.recover) return recover(journal, options);
      if (specPath === undefined) {
        throw new InvalidInputError('CPT_INPUT_INVALID', 'give a run specification, or --recover', { field: 'spec' });
      }
      const spec = parseRunSpec(await readJsonFile(specPath));
      if (options.key === undefined) await refuseUnfinished(journal, spec.hyperParameters.job_name, targetOf(options));
      const key = options.key ?? `cpt-${randomBytes(6).toString('hex')}`;
      if (options.key === undefined)
        printAside(`key: ${key} (if this is interrupted: the same command with --key ${key})`);
      const { jobs } = connect(options);
      show(
        await jobs.submit(spec, {
          ...{ key, journal, force: options.force === true, signal: interruptSignal() },
          facts: await factsOf(options, spec),
        }),
        options,
      );
    });
}

/** Without a key a second attempt would be a second run; so an unfinished one of this name must be dealt with first. */
async function refuseUnfinished(journal: SubmitJournal, jobName: string, target: string): Promise<void> {
  const open = await journal.open();
  const unfinished = open.find(
    ({ intent, jobId }) =>
      jobId === undefined &&
      intent.target === target &&
      intent.request.DisplayName === `${jobName}-cpt-${intent.intentId.slice(0, 12)}`,
  )?.intent;
  if (!unfinished) return;
  const { key, intentId, at } = unfinished;
  throw new InvalidInputError(
    'CPT_INPUT_SUBMIT_IN_FLIGHT',
    `a submission of "${jobName}" at ${at} is not finished: --key "${key}" continues it, --recover finishes all; for another run give a new --key`,
    { key, intentId },
  );
}

function show(job: SubmittedJob, { json }: SubmitOptions): void {
  const { how, stopped } = job.submission;
  print(json ? JSON.stringify(job) : job.jobId);
  const words = {
    created: 'created',
    adopted: 'adopted: it was there already',
    known: 'known: submitted before with this key',
  };
  printAside(`${words[how]}${stopped.length > 0 ? `; stopped ${stopped.join(', ')}, which repeated it` : ''}`);
  printAside(`watch it with: cpt watch ${job.jobId}`);
}

async function recover(journal: SubmitJournal, options: SubmitOptions): Promise<void> {
  const results = await connect(options).jobs.recover(journal, { signal: interruptSignal() });
  for (const result of results) print(options.json ? JSON.stringify(toLine(result)) : describeResult(result));
  if (results.length === 0) printAside('no submission is unfinished');
  const failed = results.find(({ outcome }) => outcome === 'failed');
  if (failed) throw failed.error;
}

function toLine({ error, ...result }: RecoveredSubmission): unknown {
  return { ...result, ...(CptError.isInstance(error) && { code: error.code, message: error.message }) };
}

function describeResult({ intentId, key, outcome, job, stopped }: RecoveredSubmission): string {
  const words = [job?.jobId ?? '-', outcome, key ?? intentId, ...stopped.map((jobId) => `stopped ${jobId}`)];
  return words.join('  ');
}
