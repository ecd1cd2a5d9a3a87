import { InvalidInputError } from '@pai-cpt/core';
import type { PaiTransport } from './pai-transport.ts';
import { planRun } from './plan/plan.ts';
import type { PlanFacts } from './plan/plan-facts.ts';
import { toCreateJob } from './routes/dlc.ts';
import { type CptRunSpecInput, parseRunSpec } from './run-spec.ts';
import type { Finding, Job } from './schemas.ts';

/** How to submit. */
export interface SubmitOptions {
  /** Submit although the plan is blocked. */
  force?: boolean | undefined;
  /** What is known of the dataset, for the plan. */
  facts?: PlanFacts | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Plans the run, then creates its job; gives the job as it stands at creation. A create whose answer is lost is not
 * repeated: PAI has no client token, and the second call would be a second job.
 * @throws InvalidInputError `CPT_INPUT_INVALID`, `CPT_INPUT_PLAN_BLOCKED` with the blocking findings in `details.findings`,
 * `CPT_INPUT_JOB_TOO_LARGE`. PaiError; after `CPT_PAI_TIMEOUT` or `CPT_PAI_UNAVAILABLE` the job may exist: list before
 * submitting again.
 */
export async function submitJob(
  pai: PaiTransport,
  value: CptRunSpecInput,
  { force = false, facts = {}, signal, workspaceId }: SubmitOptions & { workspaceId?: string | undefined } = {},
): Promise<Job> {
  const spec = parseRunSpec(value);
  const { isBlocked, findings } = planRun(spec, facts);
  if (isBlocked && !force) throw planBlocked(findings.filter(({ level }) => level === 'block'));
  const body = toCreateJob(spec, workspaceId);
  const { JobId } = await pai.call('CreateJob', { body }, { signal });
  return {
    jobId: JobId,
    displayName: body.DisplayName,
    phase: 'pending',
    status: 'Creating',
    ...(body.WorkspaceId === undefined ? {} : { workspaceId: body.WorkspaceId }),
    createdAt: new Date().toISOString(),
    pods: [],
    statusHistory: [],
  };
}

function planBlocked(findings: readonly Finding[]): InvalidInputError {
  const reasons = findings.map(({ check, message, advice }) => `${check}: ${message}${advice ? ` (${advice})` : ''}`);
  return new InvalidInputError('CPT_INPUT_PLAN_BLOCKED', `the plan is blocked: ${reasons.join('; ')}`, { findings });
}
