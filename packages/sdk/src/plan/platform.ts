import type { CptRunSpec } from '../run-spec.ts';
import type { Finding } from '../schemas.ts';
import type { PlanInput } from './plan-input.ts';

/** torch.load of older versions runs code from a file even with weights_only (CVE-2025-32434, CVE-2026-24747). */
const SAFE_TORCH = [2, 10] as const;

type Platform = NonNullable<PlanInput['facts']['platform']>;
type Fault = readonly [message: string, advice: string, numbers?: Record<string, number>];

/** P16, as far as facts are given: the place the run is to happen in. What is not known is listed in one finding. */
export function checkPlatform(input: PlanInput): Finding[] {
  const { spec, gpus, facts } = input;
  const { platform = {} } = facts;
  const { quotaGpus, source } = platform;
  const from = source === undefined ? '' : ` (${source})`;
  const faults: Fault[] = [
    ...quotaFaults(gpus, platform, from),
    ...machineFaults(spec.compute, platform).map(([message, ...rest]): Fault => [`${message}${from}`, ...rest]),
    ...storageFaults(spec, platform),
    ...networkFaults(spec, platform),
    ...imageFaults(platform),
  ];
  const findings: Finding[] = faults.map(([message, advice, numbers = {}]) => ({
    ...{ check: 'P16', level: 'block', message, numbers, advice },
  }));
  findings.push(...imageHint(spec, platform), ...networkHint(spec, platform));
  if (quotaGpus !== undefined && quotaGpus >= gpus) {
    const message = `the quota has ${quotaGpus} free GPUs ≥ ${gpus}${from}`;
    findings.push({ check: 'P16', level: 'info', message, numbers: { quotaGpus, gpus } });
  }
  return [...findings, ...unknowns(spec, platform)];
}

function quotaFaults(gpus: number, { quotaGpus }: Platform, from: string): Fault[] {
  if (quotaGpus === undefined || quotaGpus >= gpus) return [];
  const advice = 'use fewer nodes, another quota, or wait until it is free';
  return [[`the quota has ${quotaGpus} free GPUs${from}, the run needs ${gpus}`, advice, { quotaGpus, gpus }]];
}

/** Where the machine type is not what the specification takes it for. */
function machineFaults({ ecsSpec, gpusPerNode, gpuMemoryGiB }: CptRunSpec['compute'], platform: Platform): Fault[] {
  const { isInstanceListed, isInstanceAvailable, instanceGpus, instanceGpuMemoryGiB } = platform;
  const faults: Fault[] = [];
  if (isInstanceListed === false)
    faults.push([`the region has no machine type ${ecsSpec}`, 'choose one that it lists']);
  if (isInstanceAvailable === false) faults.push([`${ecsSpec} is out of stock now`, 'wait, or choose another type']);
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

/** Each mounted folder is in the region; the output is on NAS, the only storage that the training writes to, and writable. */
function storageFaults(
  { dataSources, output }: CptRunSpec,
  { regionId, datasets = [], isOutputWritable }: Platform,
): Fault[] {
  const known = (datasetId: string | undefined) => datasets.find((dataset) => dataset.datasetId === datasetId);
  const faults: Fault[] = [];
  for (const source of [...dataSources, output]) {
    const uri = source.uri ?? known(source.datasetId)?.uri;
    const region = /^nas:\/\/[^/.]+\.([^/]+)\//.exec(`${uri}/`)?.[1];
    if (regionId === undefined || region === undefined || region === regionId) continue;
    faults.push([
      `${uri} lies in ${region}, the job runs in ${regionId}, which cannot mount it`,
      'copy it to a NAS of the region',
    ]);
  }
  const place = known(output.datasetId);
  if (place && (place.sourceType ?? 'NAS') !== 'NAS') {
    const message = `the output ${place.datasetId} is a dataset on ${place.sourceType} (${place.uri}); the training can write to NAS only`;
    faults.push([message, 'register a folder on NAS: cpt datasets register <name> nas://…']);
  }
  if (isOutputWritable === false) {
    const advice = 'allow writing in the dataset’s or the NAS’s permissions';
    faults.push([`the job may not write to ${output.mountPath}`, advice]);
  }
  return faults;
}

/** NAS answers inside its own network alone; a job in another hangs at the mount until PAI gives it up. */
function networkFaults({ vpc }: CptRunSpec, { quotaVpcId, nasVpcId }: Platform): Fault[] {
  const jobVpcId = vpc?.vpcId ?? quotaVpcId;
  const faults: Fault[] = [];
  if (vpc && quotaVpcId !== undefined && vpc.vpcId !== quotaVpcId) {
    const message = `vpc is ${vpc.vpcId}, the quota runs in ${quotaVpcId}`;
    faults.push([message, 'set vpc to the quota’s network, or use another quota']);
  }
  if (nasVpcId !== undefined && jobVpcId !== undefined && nasVpcId !== jobVpcId) {
    const message = `the NAS is mounted in ${nasVpcId}, the job runs in ${jobVpcId}, which cannot reach it`;
    faults.push([message, 'add a mount target in the job’s network, or run the job in the NAS’s']);
  }
  return faults;
}

function networkHint({ vpc, dataSources, output, route }: CptRunSpec, { quotaVpcId }: Platform): Finding[] {
  const onNas = [...dataSources, output].some(
    ({ uri, datasetId }) => datasetId !== undefined || uri?.startsWith('nas:'),
  );
  if (vpc || quotaVpcId !== undefined || !onNas || route === 'quickstart') return [];
  const message =
    'no vpc: NAS answers inside its own network alone, and neither the run nor the quota is known to be in one';
  return [
    { check: 'P16', level: 'info', message, numbers: {}, advice: 'give vpc, unless the quota or the workspace has it' },
  ];
}

function imageFaults({ torchVersion }: Platform): Fault[] {
  if (torchVersion === undefined || !isOlder(torchVersion)) return [];
  const message = `the image has torch ${torchVersion}; before ${SAFE_TORCH.join('.')} a checkpoint can run code when it is loaded`;
  return [[message, 'use an image with a newer torch']];
}

/** A version in the image's name is a claim and not a fact, so it only warns. */
function imageHint({ image = '' }: CptRunSpec, { torchVersion }: Platform): Finding[] {
  const named = /(?:py)?torch[-_:]?v?(\d+\.\d+(?:\.\d+)?)/i.exec(image)?.[1];
  if (torchVersion !== undefined || named === undefined || !isOlder(named)) return [];
  const message = `the image calls itself torch ${named} (${image}); before ${SAFE_TORCH.join('.')} a checkpoint can run code when it is loaded`;
  return [{ check: 'P16', level: 'warn', message, numbers: {}, advice: 'use an image with a newer torch' }];
}

function unknowns({ compute, route }: CptRunSpec, platform: Platform): Finding[] {
  const isAsked =
    compute.quotaId === undefined ? (platform.isInstanceListed ?? platform.instanceGpus) : platform.quotaGpus;
  const names: [isKnown: boolean, what: string][] = [
    [
      isAsked !== undefined,
      compute.quotaId === undefined ? 'size and stock of the machine type' : 'free GPUs of the quota',
    ],
    [platform.torchVersion !== undefined || route === 'quickstart', 'torch of the image'],
    [platform.isOutputWritable !== undefined, 'whether the output can be written'],
  ];
  const missing = names.filter(([isKnown]) => !isKnown).map(([, what]) => what);
  if (missing.length === 0) return [];
  const message = `not known here: ${missing.join('; ')}`;
  const advice = 'cpt plan --ask asks PAI; the rest is given with --facts (see docs/guide.md)';
  return [{ check: 'P16', level: 'info', message, numbers: { unknown: missing.length }, advice }];
}

function isOlder(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map((part) => Number.parseInt(part, 10));
  return major < SAFE_TORCH[0] || (major === SAFE_TORCH[0] && minor < SAFE_TORCH[1]);
}
