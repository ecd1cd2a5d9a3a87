import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { quotaResource } from './admission.ts';
import type { Host } from './host.ts';
import type { JobRequest } from './job-request.ts';
import { type BoundChannel, INPUT_FOLDER, OUTPUT_FOLDER, type TrainingRequest } from './training-request.ts';

/*
 * What a container of Studio finds (aliyun/pai-python-sdk, pai/job/_local_training_job.py):
 *   /ml/usercode                          the working directory
 *   /ml/input/config/hyperparameters.json every value as text
 *   /ml/input/data/<channel>              an input       PAI_INPUT_<CHANNEL>
 *   /ml/output/<channel>                  an output      PAI_OUTPUT_<CHANNEL>
 *   PAI_HPS (JSON), PAI_HPS_<NAME>, PAI_USER_ARGS (--name value …)
 */
const CODE_FOLDER = '/ml/usercode';
const CONFIG_FOLDER = '/ml/input/config';
const GRACE_MS = 5000;

/** Writes the files that a container of the training job finds. */
export async function writeTrainingConfig(host: Host, trainingJobId: string, request: TrainingRequest): Promise<void> {
  const folder = platformFolder(host, trainingJobId, 'config');
  await mkdir(platformFolder(host, trainingJobId, 'usercode'), { recursive: true });
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'hyperparameters.json'), JSON.stringify(request.hyperParameters));
}

/** The training job as the job runner starts it: a master, and a worker for every further instance. */
export function toJobRequest(host: Host, trainingJobId: string, request: TrainingRequest): JobRequest {
  const { spec, instances, gpus } = request;
  const pod = (type: 'Master' | 'Worker', podCount: number) => ({ type, image: spec.Image, podCount, gpus });
  const platform = (mountPath: string, name: string) => ({
    ...{ mountPath, nasPath: '', hostPath: platformFolder(host, trainingJobId, name) },
  });
  return {
    displayName: request.name,
    command: spec.Command.map(shellWord).join(' '),
    workspaceId: request.workspaceId,
    tags: request.labels,
    specs: [pod('Master', 1), ...(instances > 1 ? [pod('Worker', instances - 1)] : [])],
    env: { ...request.env, ...trainingEnvironment(request) },
    mounts: [
      ...[...request.inputs, ...request.outputs].map(({ mount }) => mount),
      ...[platform(CONFIG_FOLDER, 'config'), platform(CODE_FOLDER, 'usercode')],
    ],
    maxRunningMs: request.maxRunningMs,
    ...(request.resourceId !== undefined && { demand: { [quotaResource(request.resourceId)]: instances * gpus } }),
    graceMs: GRACE_MS,
  };
}

function platformFolder(host: Host, trainingJobId: string, name: string): string {
  return join(host.mountsDirectory, 'work/jobs', trainingJobId, name);
}

function trainingEnvironment({ hyperParameters, inputs, outputs }: TrainingRequest): Record<string, string> {
  const entries = Object.entries(hyperParameters);
  const channels = (prefix: string, folder: string, bound: readonly BoundChannel[]) =>
    bound.map(({ name }) => [`${prefix}${environmentName(name)}`, `${folder}/${name}`]);
  return Object.fromEntries([
    ...entries.map(([name, value]) => [`PAI_HPS_${environmentName(name)}`, value]),
    ['PAI_HPS', JSON.stringify(hyperParameters)],
    ['PAI_USER_ARGS', entries.flatMap(([name, value]) => [`--${name}`, shellWord(value)]).join(' ')],
    ['PAI_WORKING_DIR', CODE_FOLDER],
    ['PAI_CONFIG_DIR', CONFIG_FOLDER],
    ...channels('PAI_INPUT_', INPUT_FOLDER, inputs),
    ...channels('PAI_OUTPUT_', OUTPUT_FOLDER, outputs),
  ]) as Record<string, string>;
}

const environmentName = (name: string): string => name.replaceAll(/[^A-Za-z0-9_]/g, '_').toUpperCase();

function shellWord(text: string): string {
  return /^[\w./+@%,:=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
