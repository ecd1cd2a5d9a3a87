import type { JobRecord } from '../state.ts';
import type { TrainingRequest } from '../training-request.ts';

/** What a job that succeeded has made, as CreateModelVersion takes it. */
export function outputModels(job: JobRecord, request: TrainingRequest, region: string): Record<string, unknown>[] {
  if (job.status !== 'Succeeded') return [];
  return request.outputs.map(({ name, uri }) => ({
    OutputChannelName: name,
    Uri: uri,
    SourceType: 'TrainingService',
    SourceId: `region=${region},workspaceId=${request.workspaceId},kind=TrainingJob,id=${job.jobId}`,
    Labels: Object.entries(request.labels).map(([Key, Value]) => ({ Key, Value })),
    ...{ InferenceSpec: {}, TrainingSpec: {}, EvaluationSpec: {}, CompressionSpec: {}, Metrics: {} },
  }));
}
