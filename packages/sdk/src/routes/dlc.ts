import { InvalidInputError } from '@pai-cpt/core';
import { megatronCommand } from '../megatron-command.ts';
import { omitUndefined } from '../omit-undefined.ts';
import type { WireCreateJob, WireDataSource, WireJobSpec } from '../pai-wire.ts';
import type { CptRunSpec } from '../run-spec.ts';

/** PAI's limit on all parameters of CreateJob together (help page 459672). */
export const MAX_JOB_BYTES = 65_536;

/**
 * The CreateJob body of a run: a PyTorchJob with one master and a worker for every further node.
 * @throws InvalidInputError `CPT_INPUT_JOB_TOO_LARGE` past 65,536 bytes.
 */
export function toCreateJob(spec: CptRunSpec, workspaceId?: string): WireCreateJob {
  const { nodes, quotaId } = spec.compute;
  const body: WireCreateJob = omitUndefined({
    DisplayName: spec.hyperParameters.job_name,
    JobType: 'PyTorchJob' as const,
    JobSpecs: [podGroup(spec, 'Master', 1), ...(nodes > 1 ? [podGroup(spec, 'Worker', nodes - 1)] : [])],
    UserCommand: megatronCommand(spec),
    WorkspaceId: spec.workspaceId ?? workspaceId,
    ResourceId: quotaId,
    Envs: spec.environment,
    DataSources: [...spec.dataSources, spec.output].map(toDataSource),
    UserVpc: spec.vpc && {
      VpcId: spec.vpc.vpcId,
      SwitchId: spec.vpc.switchId,
      SecurityGroupId: spec.vpc.securityGroupId,
    },
    Priority: spec.priority,
    JobMaxRunningTimeMinutes: spec.maxRunningTimeMinutes,
    Settings: spec.tags && { Tags: spec.tags },
  });
  checkJobSize(body);
  return body;
}

function podGroup(spec: CptRunSpec, type: WireJobSpec['Type'], podCount: number): WireJobSpec {
  const { ecsSpec, gpusPerNode, gpuType, cpusPerNode, memoryGiBPerNode, sharedMemoryGiBPerNode } = spec.compute;
  const gibibytes = (value: number | undefined) => (value === undefined ? undefined : `${value}Gi`);
  return {
    Type: type,
    Image: spec.image as string, // on this route the specification has one
    PodCount: podCount,
    // The launch script always loads the base model, so a restarted pod would train from it again without a word.
    RestartPolicy: 'Never',
    ...(ecsSpec !== undefined
      ? { EcsSpec: ecsSpec }
      : {
          ResourceConfig: omitUndefined({
            GPU: String(gpusPerNode),
            GPUType: gpuType,
            CPU: cpusPerNode === undefined ? undefined : String(cpusPerNode),
            Memory: gibibytes(memoryGiBPerNode),
            SharedMemory: gibibytes(sharedMemoryGiBPerNode),
          }),
        }),
  };
}

/** A folder to mount, as PAI takes it. */
export function toDataSource(source: { uri?: string; datasetId?: string; mountPath: string }): WireDataSource {
  return omitUndefined({ DataSourceId: source.datasetId, Uri: source.uri, MountPath: source.mountPath });
}

/** @throws InvalidInputError `CPT_INPUT_JOB_TOO_LARGE` */
export function checkJobSize(body: WireCreateJob): void {
  const bytes = Buffer.byteLength(JSON.stringify(body));
  if (bytes <= MAX_JOB_BYTES) return;
  throw new InvalidInputError(
    'CPT_INPUT_JOB_TOO_LARGE',
    `the job takes ${bytes} bytes; PAI accepts ${MAX_JOB_BYTES} for all parameters together: shorten environment or tags`,
    { bytes, limit: MAX_JOB_BYTES },
  );
}
