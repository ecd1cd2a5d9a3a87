import { CptError, InvalidInputError } from '@pai-cpt/core';
import { isFinalStatus } from '../job-status.ts';
import { megatronLaunch } from '../megatron-command.ts';
import { parseTrainingLine } from '../monitor/training-log.ts';
import type { PaiTransport } from '../pai-transport.ts';
import { parallelOf } from '../parallel-layout.ts';
import type { PlanFacts } from '../plan/plan-facts.ts';
import { runSteps } from '../plan/plan-input.ts';
import { type CptRunSpec, type CptRunSpecInput, parseRunSpec } from '../run-spec.ts';
import type { Job } from '../schemas.ts';
import { toJob } from '../to-job.ts';
import { isTrainingJobId } from '../training-jobs.ts';
import { type FolderTree, type FoundCheckpoints, findCheckpoints } from './checkpoints.ts';
import { type RestartTruth, restartTruth } from './restart-truth.ts';
import { planResume, type ResumeChoices, type ResumePlan } from './resume-run.ts';

/** What there is to look at besides PAI. */
export interface RestartFacts {
  /** The run's output folder, whose sub-folder `checkpoint` the launch script writes to: see `localTree` of `@pai-cpt/sdk/node`. */
  output?: FolderTree | undefined;
  /** Name of the run's folder in `checkpoint`; found by the logs or its own name when it is left out. */
  folder?: string | undefined;
  launcher?: PlanFacts['launcher'];
  signal?: AbortSignal | undefined;
}

/** How to find the place to go on from, and how to go on. */
export interface ResumeFromOptions extends RestartFacts, ResumeChoices {
  /** This iteration instead of the newest complete one. */
  iteration?: number | undefined;
}

/** What the logs of a job say of its checkpoints and how far it came. */
interface Told {
  readonly saved: readonly { readonly iteration: number; readonly folder: string }[];
  readonly lastIteration: number | undefined;
}

/**
 * The run that goes on where a job ended: from the newest complete checkpoint in `output` or, when that cannot be seen, the
 * newest that the job's log says was saved.
 * @throws InvalidInputError `CPT_INPUT_JOB_RESUME` for a job that still runs or was made from another specification, and when
 * there is no checkpoint, or nothing is left.
 */
export async function planJobResume(
  pai: PaiTransport,
  jobId: string,
  value: CptRunSpecInput,
  options: ResumeFromOptions = {},
): Promise<ResumePlan> {
  const spec = parseRunSpec(value);
  const { output, iteration, signal } = options;
  refuseQuickStart(jobId, spec);
  const wire = await pai.call('GetJob', { path: { JobId: jobId } }, { signal });
  const job = toJob(wire);
  if (!isFinalStatus(job.status)) {
    throw refusal(`${jobId} is ${job.status}; stop it first, or two jobs write the same run`, jobId);
  }
  if (typeof wire.UserCommand === 'string' && !wire.UserCommand.endsWith(megatronLaunch(spec))) {
    throw refusal(
      `the specification is not that of ${jobId}: its command is another; give the one it was submitted with`,
      jobId,
    );
  }
  const told = await readTold(pai, job, signal);
  if (output === undefined) {
    const newest = told.saved.filter((saved) => iteration === undefined || saved.iteration === iteration).at(-1);
    if (!newest) throw refusal(noCheckpoint(jobId, iteration, []), jobId);
    const notes = ['the files were not looked at: the log says that this checkpoint was saved'];
    return planResume(spec, atMount(spec, newest), options, { jobId, notes });
  }
  const { found, folder } = await lookInto(output, spec, told, options);
  const reasons = found.incomplete.map(
    (each) => `iteration ${each.iteration} is not complete: ${each.problems.join('; ')}`,
  );
  const wanted = found.newest?.iteration;
  if (wanted === undefined || wanted !== (iteration ?? wanted))
    throw refusal(noCheckpoint(jobId, iteration, [...found.notes, ...reasons]), jobId);
  return planResume(spec, atMount(spec, { iteration: wanted, folder }), options, {
    jobId,
    notes: [...found.notes, ...reasons],
  });
}

/** What a restart of a job would keep and lose, from the launcher's flags, the output folder and the log. */
export async function readRestartTruth(
  pai: PaiTransport,
  jobId: string,
  value: CptRunSpecInput,
  facts: RestartFacts = {},
): Promise<RestartTruth> {
  const spec = parseRunSpec(value);
  refuseQuickStart(jobId, spec);
  const job = toJob(await pai.call('GetJob', { path: { JobId: jobId } }, { signal: facts.signal }));
  const told = await readTold(pai, job, facts.signal);
  const looked = facts.output && (await lookInto(facts.output, spec, told, facts).catch(withoutFolder));
  return restartTruth({ launcher: facts.launcher, checkpoints: looked?.found, lastIteration: told.lastIteration });
}

/**
 * The saves of a job's run in its output folder: the newest complete one, and what is wrong with newer ones. The logs say only
 * that a save ended, not that its files are still whole.
 * @throws InvalidInputError `CPT_INPUT_JOB_RESUME` when the run's folder below `checkpoint` is not there or not clear.
 */
export async function readCheckpoints(
  pai: PaiTransport,
  jobId: string,
  value: CptRunSpecInput,
  facts: RestartFacts & { output: FolderTree },
): Promise<FoundCheckpoints> {
  const spec = parseRunSpec(value);
  const job = toJob(await pai.call('GetJob', { path: { JobId: jobId } }, { signal: facts.signal }));
  const told = await readTold(pai, job, facts.signal);
  return (await lookInto(facts.output, spec, told, facts)).found;
}

function withoutFolder(error: unknown): { found: FoundCheckpoints } {
  if (!CptError.isInstance(error)) throw error;
  return { found: { incomplete: [], notes: [error.message] } };
}

async function lookInto(
  output: FolderTree,
  spec: CptRunSpec,
  told: Told,
  { folder, iteration }: { folder?: string | undefined; iteration?: number | undefined },
): Promise<{ found: FoundCheckpoints; folder: string }> {
  const names = (await output.list('checkpoint')).flatMap(({ name, isFolder }) => (isFolder ? [name] : []));
  const { iterations, warmupIterations } = runSteps(spec.hyperParameters);
  const byName = names.filter((name) => name.endsWith(`-ti-${iterations}-wi-${warmupIterations}`));
  const chosen = folder ?? told.saved.at(-1)?.folder ?? (byName.length === 1 ? byName[0] : undefined);
  if (chosen === undefined || !names.includes(chosen)) {
    const missing = chosen === undefined ? 'which folder is this run’s is not clear' : `there is no folder "${chosen}"`;
    throw refusal(`${missing} in checkpoint/; there are: ${names.join(', ') || 'none'}; name it`, undefined);
  }
  return { found: await findCheckpoints(output, `checkpoint/${chosen}`, parallelOf(spec), iteration), folder: chosen };
}

/** The launch scripts save below the output's mount, wherever the log says that lies. */
function atMount({ output }: CptRunSpec, { iteration, folder }: { iteration: number; folder: string }) {
  return { iteration, directory: `${output.mountPath.replace(/\/+$/, '')}/checkpoint/${folder}` };
}

/** Checkpoints and iterations in the newest lines of the first and the last pod, where Megatron prints them. */
async function readTold(pai: PaiTransport, job: Job, signal: AbortSignal | undefined): Promise<Told> {
  const saved: { iteration: number; folder: string }[] = [];
  let lastIteration: number | undefined;
  for (const pod of new Set([job.pods[0], job.pods.at(-1)])) {
    for (const line of pod ? await readLines(pai, job.jobId, pod.podId, signal) : []) {
      const parsed = parseTrainingLine(line);
      if (parsed?.type === 'iteration') lastIteration = parsed.iteration;
      if (parsed?.type !== 'checkpoint-saved') continue;
      saved.push({ iteration: parsed.iteration, folder: parsed.directory.replace(/\/+$/, '').split('/').at(-1) ?? '' });
    }
  }
  return { saved, lastIteration };
}

async function readLines(
  pai: PaiTransport,
  jobId: string,
  podId: string,
  signal: AbortSignal | undefined,
): Promise<readonly string[]> {
  try {
    const query = { MaxLines: 2000 };
    const { Logs } = await pai.call('GetPodLogs', { path: { JobId: jobId, PodId: podId }, query }, { signal });
    return Logs ?? [];
  } catch (error) {
    if (CptError.isInstance(error)) return []; // a pod that is gone has no log
    throw error;
  }
}

function refuseQuickStart(jobId: string, { route }: CptRunSpec): void {
  if (!isTrainingJobId(jobId) && route !== 'quickstart') return;
  const message = `${jobId} is a job of QuickStart, whose algorithm decides itself what it loads; use the route "dlc"`;
  throw refusal(message, jobId);
}

function noCheckpoint(jobId: string, iteration: number | undefined, why: readonly string[]): string {
  const what = iteration === undefined ? 'no complete checkpoint' : `no complete checkpoint of iteration ${iteration}`;
  const reasons = why.length > 0 ? ` (${why.join('; ')})` : '';
  return `${jobId} has ${what}${reasons}: it can only begin again, with jobs.submit()`;
}

function refusal(message: string, jobId: string | undefined): InvalidInputError {
  return new InvalidInputError('CPT_INPUT_JOB_RESUME', message, jobId === undefined ? {} : { jobId });
}
