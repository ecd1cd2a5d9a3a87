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

/**
 * What PAI says of the place where the run is to happen: the region, the free GPUs of its quota, or the size of its machine
 * type. `known` facts stay. A refusal or an outage costs the fact, never the plan.
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
  const platform = { regionId: pai.regionId, ...place, ...known.platform };
  return { facts: { ...known, platform }, unreached };
}

type Platform = NonNullable<PlanFacts['platform']>;

async function quotaFacts(pai: PaiTransport, quotaId: string, signal: AbortSignal | undefined): Promise<Platform> {
  const { name, free, allocatable, allocated } = await new Quotas(pai).get(quotaId, { signal });
  const which = name === undefined ? quotaId : `${quotaId} (${name})`;
  const source = `GetQuota ${which}: ${allocatable.gpus} GPUs allocatable, ${allocated.gpus} allocated`;
  return { quotaGpus: free.gpus, source };
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
