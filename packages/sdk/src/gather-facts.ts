import { CptError } from '@pai-cpt/core';
import { omitUndefined } from './omit-undefined.ts';
import type { PaiTransport } from './pai-transport.ts';
import type { PlanFacts } from './plan/plan-facts.ts';
import { Quotas } from './quotas.ts';
import type { CptRunSpec } from './run-spec.ts';

/** Facts from PAI, and what could not be asked. */
export interface GatheredFacts {
  /** `platform.source` says which operations its numbers come from. */
  readonly facts: PlanFacts;
  /** Why a fact is missing; planning goes on without it. */
  readonly unreached: readonly string[];
}

type Platform = NonNullable<PlanFacts['platform']>;

/**
 * What PAI says of the place where the run is to happen: the region, the free GPUs and the network of its quota, or the size of
 * its machine type, and where the datasets lie that it names. `known` facts stay. A refusal or an outage costs the fact, never the plan.
 */
export async function gatherFacts(
  pai: PaiTransport,
  spec: CptRunSpec,
  known: PlanFacts = {},
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<GatheredFacts> {
  const { quotaId, ecsSpec } = spec.compute;
  const unreached: string[] = [];
  const attempt = async <T>(read: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await read();
    } catch (error) {
      signal?.throwIfAborted();
      if (!CptError.isInstance(error)) throw error;
      unreached.push(error.message);
      return undefined;
    }
  };
  const place =
    quotaId !== undefined
      ? await attempt(() => quotaFacts(pai, quotaId, signal))
      : await attempt(() => machineFacts(pai, ecsSpec as string, signal));
  const ids = [...spec.dataSources, spec.output].flatMap(({ datasetId }) => datasetId ?? []);
  const datasets: NonNullable<Platform['datasets']> = [];
  for (const datasetId of new Set(ids)) {
    const found = await attempt(() => datasetPlace(pai, datasetId, signal));
    if (found) datasets.push(found);
  }
  const places = datasets.length > 0 ? { datasets } : {};
  const platform = { regionId: pai.regionId, ...place, ...places, ...known.platform };
  return { facts: { ...known, platform }, unreached };
}

async function quotaFacts(pai: PaiTransport, quotaId: string, signal: AbortSignal | undefined): Promise<Platform> {
  const { name, free, allocatable, allocated, vpcId } = await new Quotas(pai).get(quotaId, { signal });
  const which = name === undefined ? quotaId : `${quotaId} (${name})`;
  const source = `GetQuota ${which}: ${allocatable.gpus} GPUs allocatable, ${allocated.gpus} allocated`;
  return omitUndefined({ quotaGpus: free.gpus, source, quotaVpcId: vpcId });
}

/** Where a dataset lies that the run names by its id alone. */
async function datasetPlace(
  pai: PaiTransport,
  DatasetId: string,
  signal: AbortSignal | undefined,
): Promise<NonNullable<Platform['datasets']>[number]> {
  const { Uri: uri, DataSourceType: sourceType } = await pai.call('GetDataset', { path: { DatasetId } }, { signal });
  return omitUndefined({ datasetId: DatasetId, uri, sourceType });
}

/** PAI lists the machines of the two kinds apart. */
async function machineFacts(pai: PaiTransport, ecsSpec: string, signal: AbortSignal | undefined): Promise<Platform> {
  for (const ResourceType of ['ECS', 'Lingjun'] as const) {
    const query = { InstanceTypes: ecsSpec, ResourceType, PageNumber: 1, PageSize: 50 };
    const { EcsSpecs: specs = [] } = await pai.call('ListEcsSpecs', { query }, { signal });
    const found = specs.find(({ InstanceType }) => InstanceType === ecsSpec);
    if (!found) continue;
    return omitUndefined({
      instanceGpus: found.Gpu,
      instanceGpuMemoryGiB: found.GpuMemory,
      isInstanceAvailable: found.IsAvailable,
      source: `ListEcsSpecs ${ResourceType} ${ecsSpec}`,
    });
  }
  return { isInstanceListed: false, source: `ListEcsSpecs in ${pai.regionId}` };
}
