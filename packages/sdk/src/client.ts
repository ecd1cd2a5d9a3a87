import { Datasets } from './datasets.ts';
import { type GatheredFacts, gatherFacts } from './gather-facts.ts';
import { Jobs } from './jobs.ts';
import { createPaiTransport, type PaiTransport, type PaiTransportOptions } from './pai-transport.ts';
import { planRun } from './plan/plan.ts';
import type { PlanFacts } from './plan/plan-facts.ts';
import { Quotas } from './quotas.ts';
import { Models } from './registered-models.ts';
import { type CptRunSpecInput, parseRunSpec } from './run-spec.ts';
import type { Plan } from './schemas.ts';
import type { TokenSchemes } from './service-gateway.ts';
import { Services } from './services.ts';
import { Workspaces } from './workspaces.ts';

/** Where PAI is and who asks. */
export interface CptClientOptions extends PaiTransportOptions {
  /** PAI workspace for jobs and services that name none. */
  workspaceId?: string;
  /** How services take their token: `bare`, by default, as EAS does, or `bearer`; for all, or each by its name. */
  tokenScheme?: TokenSchemes;
}

/**
 * Continued pre-training on PAI in one region: `client.jobs` trains, `client.services` serves, `client.plan` says before
 * either what a run will do; `datasets`, `models`, `workspaces` and `quotas` are what they work with. Nothing is connected before the first call, and printing a client shows no credential.
 */
export class CptClient {
  readonly jobs: Jobs;
  readonly services: Services;
  readonly datasets: Datasets;
  readonly models: Models;
  readonly workspaces: Workspaces;
  readonly quotas: Quotas;
  readonly #pai: PaiTransport;

  constructor({ workspaceId, tokenScheme, ...options }: CptClientOptions) {
    const pai = createPaiTransport(options);
    const { endpoint: target, clock, random } = options;
    this.jobs = new Jobs(pai, workspaceId, { target, clock, random });
    this.services = new Services(pai, workspaceId, tokenScheme);
    this.datasets = new Datasets(pai, workspaceId);
    this.models = new Models(pai, workspaceId);
    this.workspaces = new Workspaces(pai);
    this.quotas = new Quotas(pai);
    this.#pai = pai;
  }

  /** What a run will do and what speaks against it; needs no credential and calls nothing. */
  static plan(spec: CptRunSpecInput, facts: PlanFacts = {}): Plan {
    return planRun(spec, facts);
  }

  plan(spec: CptRunSpecInput, facts: PlanFacts = {}): Plan {
    return planRun(spec, facts);
  }

  /** What PAI knows for the plan of a run, beside what is known already: see `gatherFacts`. */
  gatherFacts(
    spec: CptRunSpecInput,
    known: PlanFacts = {},
    options: { signal?: AbortSignal } = {},
  ): Promise<GatheredFacts> {
    return gatherFacts(this.#pai, parseRunSpec(spec), known, options);
  }
}
