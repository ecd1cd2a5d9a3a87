import { type Demand, machineResource, quotaResource } from './admission.ts';
import { invalidParameter, missingParameter } from './api-error.ts';
import { type Mount, parseDataSources } from './mounts.ts';
import { isRecord } from './parameters.ts';
import type { DatasetUris } from './registry.ts';

/** The part of a CreateJob body that decides how the job runs. */
export interface JobRequest {
  readonly displayName: string;
  readonly command: string;
  readonly workspaceId: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly specs: readonly PodSpec[];
  readonly env: Readonly<Record<string, string>>;
  readonly mounts: readonly Mount[];
  readonly maxRunningMs: number | undefined;
  /** Between SIGTERM and SIGKILL. */
  readonly graceMs: number;
  /** What it waits for in the queue; absent: nothing. */
  readonly demand?: Demand;
  /** Its place there: 9 is first; 1 when absent. */
  readonly priority?: number;
  /** It bids for spot machines. */
  readonly isSpot?: boolean;
  /** Its machines are checked before it runs. */
  readonly isSanityChecked?: boolean;
  /** For how long its machines are kept when it has ended. */
  readonly reservedMs?: number | undefined;
}

export interface PodSpec {
  readonly type: 'Master' | 'Worker';
  readonly image: string;
  readonly podCount: number;
  readonly gpus: number;
  /** Machine type of the public pool. */
  readonly ecsSpec?: string;
  /** What becomes of a pod that ends badly; absent: it fails the job. */
  readonly restartPolicy?: RestartPolicy;
}

export const RESTART_POLICIES = ['Always', 'Never', 'OnFailure', 'ExitCode'] as const;
export type RestartPolicy = (typeof RESTART_POLICIES)[number];

/** All parameters of CreateJob together. */
export const MAX_JOB_BYTES = 65_536;
/** Pods are processes here; a number past this is a slip of the pen. */
const MAX_PODS = 64;
const DEFAULT_GRACE_MS = 5000;

/** Checks a CreateJob body and reads it. @throws ApiError `MissingParameter` or `InvalidParameter` */
export function parseJobRequest(body: Readonly<Record<string, unknown>>, uriOfDataset?: DatasetUris): JobRequest {
  for (const name of ['DisplayName', 'JobType', 'JobSpecs', 'UserCommand']) {
    if (body[name] === undefined || body[name] === '') throw missingParameter(name);
  }
  if (body.JobType !== 'PyTorchJob') {
    throw invalidParameter(`JobType is "${String(body.JobType)}"; pai-local runs PyTorchJob only.`);
  }
  const priority = body.Priority ?? 1;
  if (!isWholeNumber(priority, 1, 9)) throw invalidParameter(`Priority is ${String(priority)}, not 1 to 9.`);
  const settings = body.Settings ?? {};
  if (!isRecord(settings)) throw invalidParameter('Settings is not an object.');
  const { ResourceId: quotaId } = body;
  const specs = parseSpecs(body.JobSpecs);
  return {
    displayName: readText('DisplayName', body.DisplayName),
    command: readText('UserCommand', body.UserCommand),
    workspaceId: body.WorkspaceId === undefined ? '' : readText('WorkspaceId', body.WorkspaceId),
    tags: readTextMap('Settings.Tags', settings.Tags),
    specs,
    env: { ...readTextMap('Envs', body.Envs), ...readCustomEnvs(body.CustomEnvs) },
    mounts: parseDataSources(body.DataSources, uriOfDataset),
    maxRunningMs: readDuration('JobMaxRunningTimeMinutes', body.JobMaxRunningTimeMinutes, 60_000),
    graceMs:
      readDuration('Settings.TerminationGracePeriodSeconds', settings.TerminationGracePeriodSeconds, 1000) ??
      DEFAULT_GRACE_MS,
    demand: demandOf(specs, quotaId === undefined ? undefined : readText('ResourceId', quotaId)),
    priority,
    isSpot: (body.JobSpecs as unknown[]).some((spec) => isRecord(spec) && spec.UseSpotInstance === true),
    isSanityChecked: settings.EnableSanityCheck === true,
    reservedMs: readDuration('Settings.JobReservedMinutes', settings.JobReservedMinutes, 60_000),
  };
}

/** Machines of the public pool, and GPUs of the quota where one is named. */
function demandOf(specs: readonly PodSpec[], quotaId: string | undefined): Demand {
  const demand: Record<string, number> = {};
  const add = (resource: string, units: number): void => {
    demand[resource] = (demand[resource] ?? 0) + units;
  };
  for (const { podCount, gpus, ecsSpec } of specs) {
    if (ecsSpec !== undefined) add(machineResource(ecsSpec), podCount);
    else if (quotaId !== undefined) add(quotaResource(quotaId), podCount * gpus);
  }
  return demand;
}

function parseSpecs(value: unknown): PodSpec[] {
  if (!Array.isArray(value) || value.length === 0) throw invalidParameter('JobSpecs is not a list with an entry.');
  const specs = value.map((spec: unknown, index) => parseSpec(spec, `JobSpecs[${index}]`));
  const count = (type: string) => specs.reduce((sum, spec) => sum + (spec.type === type ? spec.podCount : 0), 0);
  if (count('Master') > 1)
    throw invalidParameter(`JobSpecs ask for ${count('Master')} Master pods; there is one at most.`);
  const pods = count('Master') + count('Worker');
  if (pods > MAX_PODS) throw invalidParameter(`JobSpecs ask for ${pods} pods; pai-local starts ${MAX_PODS} at most.`);
  return specs;
}

function parseSpec(spec: unknown, where: string): PodSpec {
  if (!isRecord(spec)) throw invalidParameter(`${where} is not an object.`);
  for (const name of ['Type', 'Image', 'PodCount']) {
    if (spec[name] === undefined || spec[name] === '') throw missingParameter(`${where}.${name}`);
  }
  const { Type: type, PodCount: podCount, EcsSpec: ecsSpec, ResourceConfig: resources } = spec;
  if (type !== 'Master' && type !== 'Worker') {
    throw invalidParameter(`${where}.Type is "${String(type)}"; a PyTorchJob has Master and Worker.`);
  }
  if (!isWholeNumber(podCount, 1, Number.MAX_SAFE_INTEGER)) {
    throw invalidParameter(`${where}.PodCount is ${JSON.stringify(podCount)}, not a whole number from 1.`);
  }
  if ((ecsSpec === undefined) === (resources === undefined)) {
    throw invalidParameter(`${where} needs EcsSpec (public pool) or ResourceConfig (quota): one of them, not both.`);
  }
  if (ecsSpec !== undefined) readText(`${where}.EcsSpec`, ecsSpec);
  const gpus = Number(readTextMap(`${where}.ResourceConfig`, resources).GPU ?? 0);
  const restartPolicy = RESTART_POLICIES.find((policy) => policy === (spec.RestartPolicy ?? 'Never'));
  if (!restartPolicy) {
    const given = JSON.stringify(spec.RestartPolicy);
    throw invalidParameter(`${where}.RestartPolicy is ${given}; it can be ${RESTART_POLICIES.join(', ')}.`);
  }
  const image = readText(`${where}.Image`, spec.Image);
  return {
    ...{ type, image, podCount, gpus: Number.isInteger(gpus) ? gpus : 0, restartPolicy },
    ...(typeof ecsSpec === 'string' && { ecsSpec }),
  };
}

function readText(name: string, value: unknown): string {
  if (typeof value === 'string') return value;
  throw invalidParameter(`${name} is ${JSON.stringify(value)}, not a string.`);
}

function readTextMap(name: string, value: unknown): Record<string, string> {
  if (value === undefined) return {};
  if (!isRecord(value)) throw invalidParameter(`${name} is not an object.`);
  return Object.fromEntries(Object.entries(value).map(([key, text]) => [key, readText(`${name}.${key}`, text)]));
}

function readCustomEnvs(value: unknown): Record<string, string> {
  if (value === undefined) return {};
  if (!Array.isArray(value)) throw invalidParameter('CustomEnvs is not a list.');
  return Object.fromEntries(
    value.map((item: unknown, index) => {
      const pair = isRecord(item) ? item : {};
      return [readText(`CustomEnvs[${index}].Key`, pair.Key), readText(`CustomEnvs[${index}].Value`, pair.Value)];
    }),
  );
}

function readDuration(name: string, value: unknown, unitMs: number): number | undefined {
  if (value === undefined) return undefined;
  if (isWholeNumber(value, 1, 1e8)) return value * unitMs;
  throw invalidParameter(`${name} is ${JSON.stringify(value)}, not a whole number from 1.`);
}

function isWholeNumber(value: unknown, min: number, max: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max;
}
