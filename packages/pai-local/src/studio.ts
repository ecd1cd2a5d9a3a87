import { join } from 'node:path';
import { type Admission, machineResource, quotaResource } from './admission.ts';
import type { Host } from './host.ts';
import { createJobRunner } from './job-runner.ts';
import type { Operation } from './operations.ts';
import { type DatasetUris, openRegistry } from './registry.ts';
import { ecsSpecOperations } from './routes/ecs-specs.ts';
import { quotaOperations } from './routes/quotas.ts';
import { studioOperations } from './routes/studio.ts';
import { algorithmOperations } from './routes/studio-algorithms.ts';
import { workspaceOperations } from './routes/workspace.ts';
import { modelOperations } from './routes/workspace-models.ts';
import { type JobRecord, openStore } from './state.ts';
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

/** Opens them over `host`, with what an earlier run left there. */
export async function openStudio(host: Host, region: string, admission: Admission): Promise<Studio> {
  const registry = await openRegistry(host.stateDirectory);
  const { uriOfDataset } = registry;
  const jobs = await openStore<JobRecord>(join(host.stateDirectory, 'training-jobs'), 'job');
  const read = ({ request }: JobRecord): TrainingRequest => parseTrainingRequest(request, uriOfDataset);
  const runner = createJobRunner(host, jobs, (job) => toJobRequest(host, job.jobId, read(job)), admission);

  const gpusInUse = (quotaId: string): number => admission.inUse(quotaResource(quotaId));
  return {
    operations: [
      ...workspaceOperations(registry, host.clock),
      ...modelOperations(registry, host.clock),
      ...studioOperations(host, region, jobs, runner, uriOfDataset),
      ...algorithmOperations(),
      ...quotaOperations(gpusInUse),
      ...ecsSpecOperations((ecsSpec) => admission.capacityOf(machineResource(ecsSpec)) !== 0),
    ],
    uriOfDataset,
    close: () => runner.close(),
    async flush() {
      await Promise.all([jobs.flush(), registry.flush()]);
    },
  };
}
