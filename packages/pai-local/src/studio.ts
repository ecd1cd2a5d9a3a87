import { join } from 'node:path';
import type { Host } from './host.ts';
import { parseJobRequest } from './job-request.ts';
import { createJobRunner } from './job-runner.ts';
import { isTerminal } from './job-status.ts';
import type { Operation } from './operations.ts';
import { type DatasetUris, openRegistry } from './registry.ts';
import { ecsSpecOperations } from './routes/ecs-specs.ts';
import { quotaOperations } from './routes/quotas.ts';
import { studioOperations } from './routes/studio.ts';
import { algorithmOperations } from './routes/studio-algorithms.ts';
import { workspaceOperations } from './routes/workspace.ts';
import { modelOperations } from './routes/workspace-models.ts';
import { type JobRecord, openStore, type Store } from './state.ts';
import { parseTrainingRequest, type TrainingRequest } from './training-request.ts';
import { toJobRequest } from './training-run.ts';

/** PAI Studio and AIWorkSpace: training jobs, quotas, algorithms, workspaces, data sets and models. */
export interface Studio {
  readonly operations: readonly Operation[];
  /** Where a data set of the workspace lies. */
  readonly uriOfDataset: DatasetUris;
  /** Ends every training job. */
  close(): Promise<void>;
  flush(): Promise<void>;
}

/** Opens them over `host`, with what an earlier run left there; `dlcJobs` take part in the use of quotas. */
export async function openStudio(host: Host, region: string, dlcJobs: Store<JobRecord>): Promise<Studio> {
  const registry = await openRegistry(host.stateDirectory);
  const { uriOfDataset } = registry;
  const jobs = await openStore<JobRecord>(join(host.stateDirectory, 'training-jobs'), 'job');
  const read = ({ request }: JobRecord): TrainingRequest => parseTrainingRequest(request, uriOfDataset);
  const runner = createJobRunner(host, jobs, (job) => toJobRequest(host, job.jobId, read(job)));

  const holdings = (): { quotaId: unknown; gpus: number }[] => [
    ...dlcJobs.values().filter(isUnfinished).map(dlcHolding),
    ...jobs.values().filter(isUnfinished).map(trainingHolding),
  ];
  const gpusInUse = (quotaId: string): number =>
    holdings().reduce((sum, holding) => sum + (holding.quotaId === quotaId ? holding.gpus : 0), 0);
  return {
    operations: [
      ...workspaceOperations(registry, host.clock),
      ...modelOperations(registry, host.clock),
      ...studioOperations(host, region, jobs, runner, uriOfDataset),
      ...algorithmOperations(),
      ...quotaOperations(gpusInUse),
      ...ecsSpecOperations(),
    ],
    uriOfDataset,
    close: () => runner.close(),
    async flush() {
      await Promise.all([jobs.flush(), registry.flush()]);
    },
  };
}

const isUnfinished = ({ status }: JobRecord): boolean => !isTerminal(status);

function dlcHolding({ request }: JobRecord): { quotaId: unknown; gpus: number } {
  const { specs } = parseJobRequest(request, () => 'nas://any.region/');
  return { quotaId: request.ResourceId, gpus: specs.reduce((sum, spec) => sum + spec.podCount * spec.gpus, 0) };
}

function trainingHolding({ request }: JobRecord): { quotaId: unknown; gpus: number } {
  const { resourceId, instances, gpus } = parseTrainingRequest(request, () => 'nas://any.region/');
  return { quotaId: resourceId, gpus: instances * gpus };
}
