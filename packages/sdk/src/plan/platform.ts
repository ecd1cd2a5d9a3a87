import type { Finding } from '../schemas.ts';
import type { PlanInput } from './plan-input.ts';

/** torch.load of older versions runs code from a file even with weights_only (CVE-2025-32434, CVE-2026-24747). */
const SAFE_TORCH = [2, 10] as const;

/** P16, as far as facts are given: the place the run is to happen in. */
export function checkPlatform({ spec, gpus, facts }: PlanInput): Finding[] {
  const { regionId, quotaGpus, torchVersion, isOutputWritable, source } = facts.platform ?? {};
  const from = source === undefined ? '' : ` (${source})`;
  const findings: Finding[] = [];
  const block = (message: string, advice: string, numbers: Record<string, number> = {}): void => {
    findings.push({ check: 'P16', level: 'block', message, numbers, advice });
  };
  if (quotaGpus !== undefined && quotaGpus < gpus) {
    const advice = 'use fewer nodes, another quota, or wait until it is free';
    block(`the quota has ${quotaGpus} free GPUs${from}, the run needs ${gpus}`, advice, { quotaGpus, gpus });
  }
  for (const [message, advice, numbers] of machineFaults(spec.compute, facts.platform)) {
    block(`${message}${from}`, advice, numbers);
  }
  for (const { uri } of [...spec.dataSources, spec.output]) {
    const region = /^nas:\/\/[^/.]+\.([^/]+)\//.exec(uri ?? '')?.[1];
    if (regionId === undefined || region === undefined || region === regionId) continue;
    block(
      `${uri} lies in ${region}, the job runs in ${regionId}, which cannot mount it`,
      'copy it to a NAS of the region',
    );
  }
  if (isOutputWritable === false) {
    block(
      `the job may not write to ${spec.output.mountPath}`,
      'allow writing in the dataset’s or the NAS’s permissions',
    );
  }
  if (torchVersion !== undefined && isOlder(torchVersion)) {
    const message = `the image has torch ${torchVersion}; before ${SAFE_TORCH.join('.')} a checkpoint can run code when it is loaded`;
    block(message, 'use an image with a newer torch');
  }
  return findings;
}

type Fault = [message: string, advice: string, numbers: Record<string, number>];

/** Where the machine type is not what the specification takes it for. */
function machineFaults(
  { ecsSpec, gpusPerNode, gpuMemoryGiB }: PlanInput['spec']['compute'],
  platform: PlanInput['facts']['platform'] = {},
): Fault[] {
  const { isInstanceListed, isInstanceAvailable, instanceGpus, instanceGpuMemoryGiB } = platform;
  const faults: Fault[] = [];
  if (isInstanceListed === false)
    faults.push([`the region has no machine type ${ecsSpec}`, 'choose one that it lists', {}]);
  if (isInstanceAvailable === false)
    faults.push([`${ecsSpec} is out of stock now`, 'wait, or choose another type', {}]);
  if (instanceGpus !== undefined && instanceGpus !== gpusPerNode) {
    const message = `${ecsSpec} has ${instanceGpus} GPUs, the run is written for ${gpusPerNode} on each node`;
    faults.push([message, 'set compute.gpusPerNode to what the machine has', { instanceGpus, gpusPerNode }]);
  }
  if (instanceGpuMemoryGiB !== undefined && instanceGpuMemoryGiB > 0 && instanceGpuMemoryGiB < gpuMemoryGiB) {
    const message = `a GPU of ${ecsSpec} has ${instanceGpuMemoryGiB} GiB, the plan counts on ${gpuMemoryGiB}`;
    faults.push([message, 'set compute.gpuMemoryGiB to what it has', { instanceGpuMemoryGiB, gpuMemoryGiB }]);
  }
  return faults;
}

function isOlder(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map((part) => Number.parseInt(part, 10));
  return major < SAFE_TORCH[0] || (major === SAFE_TORCH[0] && minor < SAFE_TORCH[1]);
}
