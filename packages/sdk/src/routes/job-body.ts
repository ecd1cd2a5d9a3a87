import type { PaiTransport } from '../pai-transport.ts';
import type { WireCreateJob } from '../pai-wire.ts';
import type { CptRunSpec } from '../run-spec.ts';
import { asTrainingJobs, isTrainingJobBody } from '../training-jobs.ts';
import { toCreateJob } from './dlc.ts';
import { toTrainingJob } from './quickstart.ts';

/** The job of a run on the route it names. @throws What `toCreateJob` and `toTrainingJob` throw. */
export async function toJobBody(
  pai: PaiTransport,
  spec: CptRunSpec,
  workspaceId?: string,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<WireCreateJob> {
  return spec.route === 'quickstart' ? toTrainingJob(pai, spec, workspaceId, options) : toCreateJob(spec, workspaceId);
}

/** PAI as it is to be asked to create, list, read and stop this job. */
export function transportFor(pai: PaiTransport, body: WireCreateJob): PaiTransport {
  return isTrainingJobBody(body) ? asTrainingJobs(pai) : pai;
}
