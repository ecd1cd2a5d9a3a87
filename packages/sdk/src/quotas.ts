import { listPages } from './list-pages.ts';
import { omitUndefined } from './omit-undefined.ts';
import type { PaiTransport } from './pai-transport.ts';
import type { QuotaResourceType, WireQuota, WireResourceAmount } from './studio-wire.ts';

interface CallOptions {
  signal?: AbortSignal | undefined;
}

/** Some of a quota's resources. */
export interface ResourceAmount {
  readonly gpus: number;
  readonly cpus: number;
  readonly memoryGiB: number;
}

/** A quota and what of it is free. */
export interface Quota {
  readonly quotaId: string;
  readonly name?: string;
  readonly resourceType?: string;
  readonly status?: string;
  /** Masked by PAI, such as GU108. */
  readonly gpuType?: string;
  /** Network that its jobs run in. */
  readonly vpcId?: string;
  readonly allocatable: ResourceAmount;
  readonly allocated: ResourceAmount;
  /** What a job can be given now: allocatable less allocated. */
  readonly free: ResourceAmount;
}

/** Each must be asked for: without the parameter PAI lists ECS quotas alone. */
const RESOURCE_TYPES: readonly QuotaResourceType[] = ['ECS', 'Lingjun', 'ACS'];

/** The resource quotas that the account can use. */
export class Quotas {
  readonly #pai: PaiTransport;

  constructor(pai: PaiTransport) {
    this.#pai = pai;
  }

  /** Quotas of every resource type, or of one, page by page as it is read on. */
  async *list({
    resourceType,
    signal,
  }: CallOptions & { resourceType?: QuotaResourceType } = {}): AsyncGenerator<Quota, void, undefined> {
    for (const ResourceType of resourceType ? [resourceType] : RESOURCE_TYPES) {
      const pages = listPages(
        async (page) => {
          const query = { ResourceType, Verbose: true, ...page };
          const { Quotas, TotalCount } = await this.#pai.call('ListQuotas', { query }, { signal });
          return { items: Quotas, total: TotalCount };
        },
        ({ QuotaId }) => QuotaId,
      );
      for await (const quota of pages) yield toQuota(quota);
    }
  }

  async get(quotaId: string, { signal }: CallOptions = {}): Promise<Quota> {
    const query = { Verbose: true };
    return toQuota(await this.#pai.call('GetQuota', { path: { QuotaId: quotaId }, query }, { signal }));
  }
}

function toQuota({ QuotaId, QuotaName, ResourceType, Status, QuotaDetails = {}, QuotaConfig }: WireQuota): Quota {
  const allocatable = toAmount(QuotaDetails.AllocatableQuota);
  const allocated = toAmount(QuotaDetails.AllocatedQuota);
  const left = (key: keyof ResourceAmount) => Math.max(0, allocatable[key] - allocated[key]);
  return omitUndefined({
    quotaId: QuotaId,
    name: QuotaName,
    resourceType: ResourceType,
    status: Status,
    gpuType: QuotaDetails.AllocatableQuota?.GPUType || undefined,
    vpcId: QuotaConfig?.UserVpc?.VpcId || undefined,
    allocatable,
    allocated,
    free: { gpus: left('gpus'), cpus: left('cpus'), memoryGiB: left('memoryGiB') },
  });
}

function toAmount({ CPU, GPU, Memory }: WireResourceAmount = {}): ResourceAmount {
  const count = (text: string | undefined) => Number.parseFloat(text ?? '0') || 0;
  return { gpus: count(GPU), cpus: count(CPU), memoryGiB: toGiB(Memory) };
}

/** `1000Gi`, `512Mi`, or a number, which is GiB. */
function toGiB(text = '0'): number {
  const amount = Number.parseFloat(text) || 0;
  if (/Ti/i.test(text)) return amount * 1024;
  return /Mi/i.test(text) ? amount / 1024 : amount;
}
