import { ALGORITHMS, type AlgorithmSpec, type ChannelDefinition, PROVIDER } from './algorithms.ts';
import { ApiError, invalidParameter, missingParameter } from './api-error.ts';
import { readCount, readLabels, readRecords, readText, requireText } from './body-fields.ts';
import { fillHyperParameters } from './hyper-parameters.ts';
import { datasetUri, type Mount, toMount } from './mounts.ts';
import { isRecord } from './parameters.ts';
import type { DatasetUris } from './registry.ts';
import { checkWorkspace } from './workspaces.ts';

type Body = Readonly<Record<string, unknown>>;

/** A channel with its folder. */
export interface BoundChannel {
  readonly name: string;
  readonly uri: string;
  readonly mount: Mount;
}

/** A CreateTrainingJob body, read against its algorithm. */
export interface TrainingRequest {
  readonly name: string;
  readonly workspaceId: string;
  /** Absent for an algorithm that came with the body. */
  readonly algorithm: { readonly id: string; readonly name: string; readonly version: string } | undefined;
  readonly spec: AlgorithmSpec;
  /** Defaults filled in; every value is text. */
  readonly hyperParameters: Readonly<Record<string, string>>;
  readonly inputs: readonly BoundChannel[];
  readonly outputs: readonly BoundChannel[];
  readonly instances: number;
  readonly gpus: number;
  /** The quota, when it is not the public pool. */
  readonly resourceId: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly env: Readonly<Record<string, string>>;
  readonly maxRunningMs: number | undefined;
}

/** Where a container sees its channels. */
export const INPUT_FOLDER = '/ml/input/data';
export const OUTPUT_FOLDER = '/ml/output';

/** Checks a CreateTrainingJob body and reads it. @throws ApiError `MissingParameter`, `InvalidParameter`, 404 for the algorithm */
export function parseTrainingRequest(body: Body, uriOfDataset: DatasetUris): TrainingRequest {
  const name = requireText(body, 'TrainingJobName');
  const workspaceId = checkWorkspace(requireText(body, 'WorkspaceId'));
  const { algorithm, spec } = findAlgorithm(body);
  const scheduler = body.Scheduler ?? {};
  if (!isRecord(scheduler)) throw invalidParameter('Scheduler is not an object.');
  const seconds = readCount(scheduler, 'MaxRunningTimeInSeconds', 0, 'Scheduler.');
  return {
    name,
    workspaceId,
    algorithm,
    spec,
    hyperParameters: fillHyperParameters(spec.HyperParameters, readRecords(body, 'HyperParameters')),
    inputs: bindChannels(body, 'InputChannels', 'InputUri', spec.InputChannels, INPUT_FOLDER, uriOfDataset),
    outputs: bindChannels(body, 'OutputChannels', 'OutputUri', spec.OutputChannels, OUTPUT_FOLDER, uriOfDataset),
    ...readCompute(body.ComputeResource),
    labels: readLabels(body, 'Labels'),
    env: readEnvironments(body.Environments),
    maxRunningMs: seconds === 0 ? undefined : seconds * 1000,
  };
}

function findAlgorithm(body: Body): Pick<TrainingRequest, 'algorithm' | 'spec'> {
  const inline = body.AlgorithmSpec;
  const name = readText(body, 'AlgorithmName');
  if ((inline === undefined) === (name === undefined)) {
    throw invalidParameter(
      'Give AlgorithmName with its provider and version, or AlgorithmSpec: one of them, not both.',
    );
  }
  if (inline !== undefined) return { algorithm: undefined, spec: parseSpec(inline) };
  const version = requireText(body, 'AlgorithmVersion');
  const found = ALGORITHMS.find((candidate) => candidate.name === name && candidate.version === version);
  if (found && body.AlgorithmProvider === PROVIDER) {
    return { algorithm: { id: found.id, name: found.name, version }, spec: found.spec };
  }
  const provider = String(body.AlgorithmProvider ?? 'none');
  throw new ApiError(
    404,
    'ALGORITHM_NOT_FOUND',
    `Algorithm ${name} ${version} of provider ${provider} does not exist.`,
  );
}

function parseSpec(value: unknown): AlgorithmSpec {
  if (!isRecord(value)) throw invalidParameter('AlgorithmSpec is not an object.');
  const command = value.Command;
  if (!Array.isArray(command) || command.length === 0 || !command.every((word) => typeof word === 'string')) {
    throw invalidParameter('AlgorithmSpec.Command is not a list of strings with an entry.');
  }
  const jobType = requireText(value, 'JobType', 'AlgorithmSpec.');
  if (jobType !== 'PyTorchJob') throw invalidParameter(`JobType is "${jobType}"; pai-local runs PyTorchJob only.`);
  return {
    Image: requireText(value, 'Image', 'AlgorithmSpec.'),
    Command: command as string[],
    JobType: jobType,
    HyperParameters: readRecords(value, 'HyperParameters') as unknown as AlgorithmSpec['HyperParameters'],
    InputChannels: readRecords(value, 'InputChannels') as unknown as ChannelDefinition[],
    OutputChannels: readRecords(value, 'OutputChannels') as unknown as ChannelDefinition[],
    MetricDefinitions: readRecords(value, 'MetricDefinitions') as unknown as AlgorithmSpec['MetricDefinitions'],
    SupportsDistributedTraining: value.SupportsDistributedTraining === true,
  };
}

function bindChannels(
  body: Body,
  list: 'InputChannels' | 'OutputChannels',
  uriField: 'InputUri' | 'OutputUri',
  definitions: readonly ChannelDefinition[],
  folder: string,
  uriOfDataset: DatasetUris,
): BoundChannel[] {
  const bound = readRecords(body, list).map((channel, index) => {
    const where = `${list}[${index}]`;
    const name = requireText(channel, 'Name', `${where}.`);
    const definition = definitions.find((candidate) => candidate.Name === name);
    if (definitions.length > 0 && !definition) {
      throw invalidParameter(`${where} is "${name}"; the algorithm has ${definitions.map((d) => d.Name).join(', ')}.`);
    }
    const given = readText(channel, uriField, `${where}.`);
    if ((given === undefined) === (channel.DatasetId === undefined)) {
      throw invalidParameter(`${where} needs ${uriField} or DatasetId: one of them, not both.`);
    }
    const uri = given ?? datasetUri(where, channel.DatasetId, uriOfDataset);
    return {
      name,
      uri,
      mount: toMount(where, `${folder}/${name}`, uri, definition?.SupportedChannelTypes ?? ['nas', 'oss']),
    };
  });
  const names = bound.map(({ name }) => name);
  const repeated = names.find((name, index) => names.indexOf(name) !== index);
  if (repeated !== undefined) throw invalidParameter(`${list} has "${repeated}" twice.`);
  const missing = definitions.find(({ Name, Required }) => Required && !names.includes(Name));
  if (missing) throw missingParameter(`${list}: ${missing.Name}`);
  return bound;
}

function readCompute(value: unknown): Pick<TrainingRequest, 'instances' | 'gpus' | 'resourceId'> {
  const compute = isRecord(value) ? value : {};
  const resourceId = readText(compute, 'ResourceId', 'ComputeResource.');
  const ecsSpec = readText(compute, 'EcsSpec', 'ComputeResource.');
  if ((resourceId === undefined) === (ecsSpec === undefined)) {
    throw invalidParameter('ComputeResource needs EcsSpec (public pool) or ResourceId (quota): one of them, not both.');
  }
  const instanceSpec = compute.InstanceSpec ?? {};
  if (!isRecord(instanceSpec)) throw invalidParameter('ComputeResource.InstanceSpec is not an object.');
  for (const name of Object.keys(instanceSpec)) readText(instanceSpec, name, 'ComputeResource.InstanceSpec.');
  const instances = readCount(compute, resourceId === undefined ? 'EcsCount' : 'InstanceCount', 1, 'ComputeResource.');
  if (instances < 1 || instances > 64) throw invalidParameter(`${instances} instances; pai-local starts 1 to 64.`);
  const gpus = Number(instanceSpec.GPU ?? 0);
  return { instances, gpus: Number.isInteger(gpus) ? gpus : 0, resourceId };
}

function readEnvironments(value: unknown): Record<string, string> {
  if (value === undefined) return {};
  if (!isRecord(value)) throw invalidParameter('Environments is not an object.');
  return Object.fromEntries(Object.keys(value).map((name) => [name, readText(value, name, 'Environments.') as string]));
}
