import type { Static } from 'typebox';
import { omitUndefined } from './omit-undefined.ts';
import { type InputProblem, parseInput } from './parse-input.ts';
import { ServiceSpecSchema } from './schemas.ts';
import { shellQuote } from './shell-quote.ts';

/** A service as a caller writes it; what has a default may be left out. */
export type ServiceSpecInput = Static<typeof ServiceSpecSchema>;

/** A service with its defaults filled in. */
export type ServiceSpec = Omit<ServiceSpecInput, 'checkpoint' | 'servedModelName' | 'port' | 'instances'> & {
  checkpoint: Required<ServiceSpecInput['checkpoint']>;
  servedModelName: string;
  port: number;
  instances: number;
};

/**
 * The service that `value` describes, with defaults filled in.
 * @throws InvalidInputError `CPT_INPUT_INVALID`, as `parseRunSpec` does.
 */
export function parseServiceSpec(value: unknown): ServiceSpec {
  const spec = parseInput(ServiceSpecSchema, value, 'service specification', crossCheck);
  return { ...spec, servedModelName: spec.servedModelName ?? spec.name } as ServiceSpec;
}

function crossCheck(spec: ServiceSpecInput): InputProblem[] {
  if ((spec.instanceType === undefined) !== (spec.resource === undefined)) return [];
  const what = spec.resource ? 'both instanceType and' : 'neither instanceType nor';
  return [
    { pointer: '', message: `has ${what} resource; give the instance type of the public pool, or a resource group` },
  ];
}

/** The service JSON of EAS: its own lower-case names, not those of the API around it. */
export function toServiceJson(spec: ServiceSpec, workspaceId?: string): Record<string, unknown> {
  const { instanceType, resource, vpc } = spec;
  const cloud = omitUndefined({
    computing: instanceType === undefined ? undefined : { instances: [{ type: instanceType }] },
    networking: vpc && { vpc_id: vpc.vpcId, vswitch_id: vpc.switchId, security_group_id: vpc.securityGroupId },
  });
  return omitUndefined({
    metadata: omitUndefined({
      name: spec.name,
      instance: spec.instances,
      workspace_id: spec.workspaceId ?? workspaceId,
      resource: resource?.resourceId,
      gpu: resource?.gpus,
      cpu: resource?.cpus,
      memory: resource?.memoryMiB,
      group: spec.group,
      shm_size: spec.sharedMemoryGiB,
      disk: spec.diskGiB === undefined ? undefined : `${spec.diskGiB}Gi`,
    }),
    cloud: Object.keys(cloud).length > 0 ? cloud : undefined,
    storage: [storageOf(spec.checkpoint)],
    containers: [{ image: spec.image, port: spec.port, script: serveScript(spec) }],
  });
}

/** The folder as EAS mounts it. Read-only: a served model never changes. */
function storageOf({ uri, mountPath }: ServiceSpec['checkpoint']): Record<string, unknown> {
  const { protocol, host, pathname } = new URL(uri);
  const path = pathname === '' ? '/' : decodeURIComponent(pathname);
  if (protocol === 'nas:') {
    return { mount_path: mountPath, nfs: { server: `${host}.nas.aliyuncs.com`, path, readOnly: true } };
  }
  const [bucket = '', ...endpoint] = host.split('.');
  const oss = { path: `oss://${bucket}${path.replace(/\/*$/, '/')}`, readOnly: true };
  return { mount_path: mountPath, oss: endpoint.length > 0 ? { ...oss, endpoint: endpoint.join('.') } : oss };
}

function serveScript(spec: ServiceSpec): string {
  const words: (string | number)[] = ['vllm', 'serve', spec.checkpoint.mountPath];
  words.push('--served-model-name', spec.servedModelName, '--port', spec.port);
  const parallel = spec.tensorParallelSize ?? spec.resource?.gpus;
  if (parallel !== undefined && parallel > 1) words.push('--tensor-parallel-size', parallel);
  if (spec.maxModelLength !== undefined) words.push('--max-model-len', spec.maxModelLength);
  return words.map((word) => shellQuote(String(word))).join(' ');
}
