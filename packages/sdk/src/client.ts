import { Jobs } from './jobs.ts';
import { createPaiTransport, type PaiTransportOptions } from './pai-transport.ts';
import { planRun } from './plan/plan.ts';
import type { PlanFacts } from './plan/plan-facts.ts';
import type { CptRunSpecInput } from './run-spec.ts';
import type { Plan } from './schemas.ts';
import { Services } from './services.ts';

/** Where PAI is and who asks. */
export interface CptClientOptions extends PaiTransportOptions {
  /** PAI workspace for jobs and services that name none. */
  workspaceId?: string;
}

/**
 * Continued pre-training on PAI in one region: `client.jobs` trains, `client.services` serves, `client.plan` says before
 * either what a run will do. Nothing is connected before the first call, and printing a client shows no credential.
 */
export class CptClient {
  readonly jobs: Jobs;
  readonly services: Services;

  constructor({ workspaceId, ...options }: CptClientOptions) {
    const pai = createPaiTransport(options);
    this.jobs = new Jobs(pai, workspaceId);
    this.services = new Services(pai, workspaceId);
  }

  /** What a run will do and what speaks against it; needs no credential and calls nothing. */
  static plan(spec: CptRunSpecInput, facts: PlanFacts = {}): Plan {
    return planRun(spec, facts);
  }

  plan(spec: CptRunSpecInput, facts: PlanFacts = {}): Plan {
    return planRun(spec, facts);
  }
}
