import { CptError, InvalidInputError } from '@pai-cpt/core';
import { isFinalStatus, isTerminalPhase } from './job-status.ts';
import { listPages } from './list-pages.ts';
import type { JobFailure } from './monitor/failure/attribute.ts';
import { type ExplainOptions, explainJob } from './monitor/failure/explain-job.ts';
import { type FollowOptions, followJob, type JobEvent } from './monitor/follow-job.ts';
import {
  type MetricsOptions,
  type PodMetric,
  type ReportedMetric,
  type ReportedMetricsOptions,
  readJobMetrics,
  readReportedMetrics,
} from './monitor/job-metrics.ts';
import { type LogCursor, type LogPage, readPodLog } from './monitor/pod-log.ts';
import { type WatchEvent, type WatchOptions, watchJob } from './monitor/watch-job.ts';
import { omitUndefined } from './omit-undefined.ts';
import type { PaiTransport } from './pai-transport.ts';
import { type Clock, pollUntil, systemClock } from './poll.ts';
import type { FolderTree, FoundCheckpoints } from './restart/checkpoints.ts';
import type { RestartTruth } from './restart/restart-truth.ts';
import {
  planJobResume,
  type RestartFacts,
  type ResumeFromOptions,
  readCheckpoints,
  readRestartTruth,
} from './restart/resume-job.ts';
import type { ResumePlan } from './restart/resume-run.ts';
import type { CptRunSpecInput } from './run-spec.ts';
import type { Job } from './schemas.ts';
import type { SubmitJournal } from './submit/journal.ts';
import { memoryJournal } from './submit/memory-journal.ts';
import type { RecoveredSubmission, RecoverOptions } from './submit/recover.ts';
import {
  recoverJobs,
  type SubmitOptions,
  type SubmitPatience,
  type SubmittedJob,
  type Submitter,
  submitJob,
} from './submit.ts';
import { toJob } from './to-job.ts';
import { submitToolJob, type ToolSubmitOptions } from './tool-jobs.ts';
import type { ToolSpec } from './tool-spec.ts';
import { asTrainingJobs, withTrainingJobs } from './training-jobs.ts';

interface CallOptions {
  signal?: AbortSignal | undefined;
}

/** Which jobs to list. */
export interface ListJobsOptions extends CallOptions {
  /** Part of the display name; case does not count. */
  displayName?: string;
  /** A status of PAI, such as Running. */
  status?: string;
  tags?: Record<string, string>;
  /** ISO 8601; by default there is no limit. */
  createdAfter?: string;
  /** `dlc`, the default, or the training jobs of QuickStart, or both in one list. */
  route?: 'dlc' | 'quickstart' | 'all';
}

/** How long to wait, and how often to look. */
export interface WaitForJobOptions extends CallOptions {
  timeoutMs: number;
  pollMs?: number | undefined;
  clock?: Clock | undefined;
}

/** Which pod’s log, and from where. */
export interface LogsOptions extends CallOptions {
  /** By default the last worker, which prints the training's progress. */
  podId?: string;
  /** Where an earlier page ended. */
  cursor?: LogCursor;
}

interface SubmitFrom {
  /** The endpoint, where it is not the region's own. */
  target?: string | undefined;
  clock?: Clock | undefined;
  random?: (() => number) | undefined;
}

/** PAI lists the last seven days unless it is told when to start; no job is older than this version of its API. */
const BEFORE_EVERY_JOB = '2020-12-03T00:00:00Z';

/** The training jobs of a region: those of PAI DLC, and QuickStart's on PAI Studio. Every method takes the id of either. */
export class Jobs {
  readonly #pai: PaiTransport;
  readonly #workspaceId: string | undefined;
  readonly #submitter: Submitter;

  constructor(pai: PaiTransport, workspaceId?: string, { target = pai.regionId, clock, random }: SubmitFrom = {}) {
    this.#pai = withTrainingJobs(pai);
    this.#workspaceId = workspaceId;
    this.#submitter = { pai, workspaceId, target, journal: memoryJournal(), clock, random };
  }

  /** Plans, then makes sure that the job exists, exactly once: see `submitJob` for how, and for what it refuses. */
  submit(spec: CptRunSpecInput, options: SubmitOptions = {}): Promise<SubmittedJob> {
    return submitJob(this.#submitter, spec, options);
  }

  /** Runs one of our own programs on several pods beside the NAS, exactly once: see `submitToolJob`. */
  submitTool(spec: ToolSpec, options: ToolSubmitOptions = {}): Promise<SubmittedJob> {
    return submitToolJob(this.#submitter, spec, options);
  }

  /**
   * Goes on with what an earlier process left in the journal: finds or creates the jobs, stops late duplicates. Run it at the
   * start of a service and from time to time; the period bounds how long a duplicate can live.
   */
  recover(journal: SubmitJournal, options: RecoverOptions & SubmitPatience = {}): Promise<RecoveredSubmission[]> {
    return recoverJobs(this.#submitter, journal, options);
  }

  /** The newest complete checkpoint in the output folder of the job, made from `spec`: see `readCheckpoints`. */
  checkpoints(
    jobId: string,
    spec: CptRunSpecInput,
    facts: RestartFacts & { output: FolderTree },
  ): Promise<FoundCheckpoints> {
    return readCheckpoints(this.#pai, jobId, spec, facts);
  }

  /** What a restart of the job, made from `spec`, would keep and lose: see `restartTruth`. */
  restartTruth(jobId: string, spec: CptRunSpecInput, facts: RestartFacts = {}): Promise<RestartTruth> {
    return readRestartTruth(this.#pai, jobId, spec, facts);
  }

  /** The run that would continue the job, without submitting it: see `planJobResume`. */
  planResume(jobId: string, spec: CptRunSpecInput, options: ResumeFromOptions = {}): Promise<ResumePlan> {
    return planJobResume(this.#pai, jobId, spec, options);
  }

  /**
   * Continues an ended job, made from `spec`, from its newest complete checkpoint; `resume.parts` of the answer say what that
   * keeps. Without a `key` of yours it has one of its own, so that a job is continued from an iteration once, however often
   * this is called. @throws What `planJobResume` and `submitJob` throw.
   */
  async resume(
    jobId: string,
    spec: CptRunSpecInput,
    options: ResumeFromOptions & SubmitOptions = {},
  ): Promise<SubmittedJob & { readonly resume: ResumePlan }> {
    const resume = await this.planResume(jobId, spec, options);
    const { key = `resume ${jobId} ${resume.checkpoint.iteration} ${resume.order}` } = options;
    const { journal, force, facts, timeoutMs, timing, signal } = options;
    const job = await this.submit(resume.spec, { key, journal, force, facts, timeoutMs, timing, signal });
    return { ...job, resume };
  }

  async get(jobId: string, { signal }: CallOptions = {}): Promise<Job> {
    return toJob(await this.#pai.call('GetJob', { path: { JobId: jobId } }, { signal }));
  }

  /** Jobs, newest first, page by page as it is read on. @throws PaiError `CPT_PAI_LIST_UNSTABLE`, as `listPages` does. */
  async *list({ route = 'dlc', ...options }: ListJobsOptions = {}): AsyncGenerator<Job, void, undefined> {
    if (route !== 'quickstart') {
      const dlc = this.#listOf(this.#pai, options);
      if (route === 'dlc') yield* dlc;
      else yield* newestFirst(dlc, this.#listOf(asTrainingJobs(this.#pai), options));
    } else yield* this.#listOf(asTrainingJobs(this.#pai), options);
  }

  async *#listOf(pai: PaiTransport, options: ListJobsOptions): AsyncGenerator<Job, void, undefined> {
    const { displayName, status, tags, createdAfter = BEFORE_EVERY_JOB, signal } = options;
    const filter = {
      ...omitUndefined({ DisplayName: displayName, Status: status, Tags: tags, WorkspaceId: this.#workspaceId }),
      ...{ StartTime: createdAfter, SortBy: 'GmtCreateTime' as const, Order: 'desc' as const },
    };
    const pages = listPages(
      async (page) => {
        const { Jobs, TotalCount } = await pai.call('ListJobs', { query: { ...filter, ...page } }, { signal });
        return { items: Jobs, total: TotalCount };
      },
      ({ JobId }) => JobId,
    );
    for await (const job of pages) yield toJob(job);
  }

  /** Stops a job and gives it as it then stands, usually still Stopping. A job that has ended is left alone. */
  async stop(jobId: string, { signal }: CallOptions = {}): Promise<Job> {
    const before = await this.get(jobId, { signal });
    if (isFinalStatus(before.status)) return before;
    try {
      await this.#pai.call('StopJob', { path: { JobId: jobId } }, { signal });
    } catch (error) {
      // It may have ended between the two calls; then stopping is refused and not needed.
      const after = CptError.isInstance(error) ? await this.get(jobId, { signal }) : undefined;
      if (after && isFinalStatus(after.status)) return after;
      throw error;
    }
    return this.get(jobId, { signal });
  }

  /** Removes an ended job and its record. */
  async delete(jobId: string, { signal }: CallOptions = {}): Promise<void> {
    await this.#pai.call('DeleteJob', { path: { JobId: jobId } }, { signal });
  }

  /** The job when it has ended, however it did. @throws WaitTimeoutError `CPT_WAIT_TIMEOUT` with the job in `details.last`. */
  wait(jobId: string, { timeoutMs, pollMs = 10_000, signal, clock }: WaitForJobOptions): Promise<Job> {
    const read = (): Promise<Job> => this.get(jobId, { signal });
    const what = `the end of job ${jobId}`;
    return pollUntil(read, ({ phase }) => isTerminalPhase(phase), { what, timeoutMs, pollMs, signal, clock });
  }

  /**
   * A page of a pod's log: up to 2000 lines, without those of the page whose `cursor` is given.
   * @throws InvalidInputError `CPT_INPUT_INVALID` for a pod that the job does not have.
   */
  async logs(jobId: string, { podId, cursor, signal }: LogsOptions = {}): Promise<LogPage> {
    const { pods } = await this.get(jobId, { signal });
    const wanted = podId ?? cursor?.podId ?? pods.at(-1)?.podId;
    const pod = pods.find((candidate) => candidate.podId === wanted);
    if (!pod) {
      const names = pods.map((candidate) => candidate.podId).join(', ') || 'none yet';
      const which = wanted === undefined ? 'no pod' : `no pod ${wanted}`;
      throw new InvalidInputError('CPT_INPUT_INVALID', `job ${jobId} has ${which}; its pods: ${names}`, {
        field: 'podId',
      });
    }
    return readPodLog(this.#pai, jobId, pod, { cursor, clock: systemClock, signal });
  }

  /** Why it failed: the earliest error over the logs of all its pods, with evidence and advice; see `explainJob`. */
  explain(jobId: string, options: ExplainOptions = {}): Promise<JobFailure> {
    return explainJob(this.#pai, jobId, options);
  }

  /** What its pods used of GPUs, CPUs, memory, network and disks: see `readJobMetrics`. */
  metrics(jobId: string, options: MetricsOptions = {}): Promise<PodMetric[]> {
    return readJobMetrics(this.#pai, jobId, options);
  }

  /** The numbers that a training job of QuickStart has printed, as PAI Studio finds them: see `readReportedMetrics`. */
  reportedMetrics(
    jobId: string,
    options: ReportedMetricsOptions = {},
  ): AsyncGenerator<ReportedMetric, void, undefined> {
    return readReportedMetrics(this.#pai, jobId, options);
  }

  /** What happens in the job from now to its end, each event once: see `followJob`. */
  follow(jobId: string, options: FollowOptions = {}): AsyncGenerator<JobEvent, void, undefined> {
    return followJob(this.#pai, jobId, options);
  }

  /** What `follow` tells, with incidents; stops the job on the rules of `stopOn`: see `watchJob`. */
  watch(jobId: string, options: WatchOptions = {}): AsyncGenerator<WatchEvent, void, undefined> {
    const stop = (): Promise<Job> => this.stop(jobId, { signal: options.signal });
    return watchJob(this.#pai, jobId, stop, options);
  }
}

/** Two lists that are newest first, as one; it reads of each no further than it must. */
async function* newestFirst(
  first: AsyncGenerator<Job, void, undefined>,
  second: AsyncGenerator<Job, void, undefined>,
): AsyncGenerator<Job, void, undefined> {
  let [a, b] = await Promise.all([first.next(), second.next()]);
  while (!a.done || !b.done) {
    const isFirst = !a.done && (b.done || Date.parse(a.value.createdAt) >= Date.parse(b.value.createdAt));
    if (isFirst && !a.done) {
      yield a.value;
      a = await first.next();
    } else if (!b.done) {
      yield b.value;
      b = await second.next();
    }
  }
}
