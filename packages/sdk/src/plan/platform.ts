import type { Finding } from '../schemas.ts';
import type { PlanInput } from './plan-input.ts';

/** torch.load of older versions runs code from a file even with weights_only (CVE-2025-32434, CVE-2026-24747). */
const SAFE_TORCH = [2, 10] as const;

/** P16, as far as facts are given: the place the run is to happen in. */
export function checkPlatform({ spec, gpus, facts }: PlanInput): Finding[] {
  const { regionId, quotaGpus, torchVersion, isOutputWritable } = facts.platform ?? {};
  const findings: Finding[] = [];
  const block = (message: string, advice: string, numbers: Record<string, number> = {}): void => {
    findings.push({ check: 'P16', level: 'block', message, numbers, advice });
  };
  if (quotaGpus !== undefined && quotaGpus < gpus) {
    const advice = 'use fewer nodes, another quota, or wait until it is free';
    block(`the quota has ${quotaGpus} free GPUs, the run needs ${gpus}`, advice, { quotaGpus, gpus });
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

function isOlder(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map((part) => Number.parseInt(part, 10));
  return major < SAFE_TORCH[0] || (major === SAFE_TORCH[0] && minor < SAFE_TORCH[1]);
}
