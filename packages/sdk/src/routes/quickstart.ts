import { InvalidInputError } from '@pai-cpt/core';
import { omitUndefined } from '../omit-undefined.ts';
import type { PaiTransport } from '../pai-transport.ts';
import type { InputProblem } from '../parse-input.ts';
import { type CptRunSpec, DEFAULT_HYPER_PARAMETERS } from '../run-spec.ts';
import type { WireComputeResource, WireHyperParameter, WireInputChannel } from '../studio-wire.ts';
import type { TrainingJobBody } from '../training-jobs.ts';
import { findTrainingTarget, type TrainingTarget } from './gallery.ts';
import { checkHyperParameters, type GivenHyperParameter } from './hyper-parameters.ts';
import { findPlace } from './quickstart-input.ts';

/** The inputs of a continued pre-training, by the names that QuickStart's algorithms give them. */
const CHANNELS = { model: 'model', train: 'train', validation: 'validation' } as const;

/**
 * The training job of a run on QuickStart: the card of the Model Gallery, its algorithm, and the run's values in the
 * algorithm's names. Reads the gallery and the output's data set; creates nothing.
 * @throws InvalidInputError `CPT_INPUT_INVALID` with every problem in `details.errors`: hyper-parameters that the algorithm
 * does not know or allow, channels it lacks, an output that is not on NAS.
 */
export async function toTrainingJob(
  pai: PaiTransport,
  spec: CptRunSpec,
  workspaceId?: string,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<TrainingJobBody> {
  const target = await findTrainingTarget(pai, spec, options);
  const output = spec.output.datasetId as string; // the schema's cross-check asks for it on this route
  const dataset = await pai.call('GetDataset', { path: { DatasetId: output } }, options);
  const problems: InputProblem[] = [];
  if (dataset.DataSourceType !== undefined && dataset.DataSourceType !== 'NAS') {
    const message = `is ${output}, a data set on ${dataset.DataSourceType}; QuickStart writes to a data set on NAS only`;
    problems.push({ pointer: '/output/datasetId', message });
  }
  const body = describeTrainingJob(spec, target, workspaceId, problems);
  const [first] = problems;
  if (!first) return body;
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : '';
  throw new InvalidInputError('CPT_INPUT_INVALID', `run specification: ${first.pointer} ${first.message}${more}`, {
    field: first.pointer,
    errors: problems,
  });
}

/** As `toTrainingJob`, from what was read; `problems` receives what is wrong. */
export function describeTrainingJob(
  spec: CptRunSpec,
  target: TrainingTarget,
  workspaceId: string | undefined,
  problems: InputProblem[],
): TrainingJobBody {
  const workspace = spec.workspaceId ?? workspaceId;
  if (workspace === undefined) problems.push({ pointer: '/workspaceId', message: 'is missing; QuickStart needs one' });
  return omitUndefined({
    DisplayName: spec.hyperParameters.job_name,
    JobType: 'PyTorchJob' as const,
    JobSpecs: [],
    UserCommand: '',
    WorkspaceId: workspace,
    Envs: spec.environment,
    Settings: {
      Tags: { ...Object.fromEntries(target.labels.map(({ Key, Value }) => [Key, Value])), ...spec.tags },
    },
    TrainingJob: omitUndefined({
      ...target.algorithm,
      HyperParameters: hyperParametersOf(spec, target, problems),
      InputChannels: inputsOf(spec, target, problems),
      OutputChannels: [{ Name: outputName(target, problems), DatasetId: spec.output.datasetId as string }],
      ComputeResource: computeOf(spec.compute),
      Scheduler:
        spec.maxRunningTimeMinutes === undefined
          ? undefined
          : { MaxRunningTimeInSeconds: spec.maxRunningTimeMinutes * 60 },
      UserVpc: spec.vpc && {
        VpcId: spec.vpc.vpcId,
        SwitchId: spec.vpc.switchId,
        SecurityGroupId: spec.vpc.securityGroupId,
      },
      Priority: spec.priority,
    }),
  });
}

/** The card's defaults, replaced by the run's values. `job_name` is the algorithm's own: the guide says not to change it. */
function hyperParametersOf(spec: CptRunSpec, target: TrainingTarget, problems: InputProblem[]): WireHyperParameter[] {
  const definitions = target.spec.HyperParameters ?? target.hyperParameters.map(({ Name }) => ({ Name }));
  const { job_name: _, ...ten } = spec.hyperParameters;
  const defaults: Readonly<Record<string, unknown>> = DEFAULT_HYPER_PARAMETERS;
  // What an algorithm does not have is left out while it is at its default; a value that was chosen is not dropped silently.
  const isKnown = (name: string) => definitions.some(({ Name }) => Name === name);
  const given: GivenHyperParameter[] = [
    ...Object.entries(ten)
      .filter(([name, value]) => isKnown(name) || value !== defaults[name])
      .map(([name, value]) => ({ name, value, pointer: `/hyperParameters/${name}` })),
    ...Object.entries(spec.quickstart?.hyperParameters ?? {}).map(([name, value]) => ({
      ...{ name, value, pointer: `/quickstart/hyperParameters/${name}` },
    })),
  ];
  problems.push(...checkHyperParameters(definitions, given));
  const values = new Map(target.hyperParameters.map(({ Name, Value }) => [Name, Value]));
  for (const { name, value } of given) values.set(name, String(value));
  return [...values].map(([Name, Value]) => ({ Name, Value }));
}

function inputsOf(spec: CptRunSpec, target: TrainingTarget, problems: InputProblem[]): WireInputChannel[] {
  const channels = new Map<string, WireInputChannel>(target.inputs.map((channel) => [channel.Name, channel]));
  const known = (target.spec.InputChannels ?? []).map(({ Name }) => Name);
  const bind = (Name: string, pointer: string, folder: string | undefined) => {
    if (folder === undefined) return;
    if (known.length > 0 && !known.includes(Name)) {
      problems.push({
        pointer,
        message: `has no input channel "${Name}" to go to; the algorithm has ${known.join(', ')}`,
      });
      return;
    }
    const place = findPlace(folder, spec.dataSources);
    if (typeof place === 'string') problems.push({ pointer, message: place });
    else channels.set(Name, omitUndefined({ Name, InputUri: place.uri, DatasetId: place.datasetId }));
  };
  bind(CHANNELS.model, '/baseCheckpoint', spec.baseCheckpoint);
  bind(CHANNELS.train, '/data/train', folderOf(spec.data.train));
  bind(CHANNELS.validation, '/data/validation', spec.data.validation && folderOf(spec.data.validation));
  for (const { Name, Required } of target.spec.InputChannels ?? []) {
    if (Required === true && !channels.has(Name)) {
      problems.push({
        pointer: '/dataSources',
        message: `give nothing for the input channel "${Name}", which is required`,
      });
    }
  }
  return [...channels.values()];
}

const folderOf = (prefix: string): string => prefix.slice(0, prefix.lastIndexOf('/'));

/** The only output channel, or the one that is required. */
function outputName({ spec: { OutputChannels: channels = [] } }: TrainingTarget, problems: InputProblem[]): string {
  const found = channels.length === 1 ? channels[0] : channels.find(({ Required }) => Required === true);
  if (!found) problems.push({ pointer: '/output', message: 'has no output channel of the algorithm to go to' });
  return found?.Name ?? '';
}

function computeOf(compute: CptRunSpec['compute']): WireComputeResource {
  const { nodes, ecsSpec, quotaId, gpusPerNode, gpuType, cpusPerNode, memoryGiBPerNode, sharedMemoryGiBPerNode } =
    compute;
  if (ecsSpec !== undefined) return { EcsSpec: ecsSpec, EcsCount: nodes };
  const text = (value: number | undefined) => (value === undefined ? undefined : String(value));
  return {
    ResourceId: quotaId as string,
    InstanceCount: nodes,
    InstanceSpec: omitUndefined({
      CPU: text(cpusPerNode),
      GPU: text(gpusPerNode),
      GPUType: gpuType,
      Memory: text(memoryGiBPerNode),
      SharedMemory: text(sharedMemoryGiBPerNode),
    }),
  };
}
