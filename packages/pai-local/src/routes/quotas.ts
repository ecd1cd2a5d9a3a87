import { ApiError } from '../api-error.ts';
import type { Operation } from '../operations.ts';
import { pageOf, readChoice, readInteger, readList } from '../parameters.ts';
import { LOCAL_WORKSPACE } from '../workspaces.ts';
import { STUDIO_VERSION } from './studio.ts';

/** What a node of a quota has. */
interface QuotaShape {
  readonly id: string;
  readonly name: string;
  readonly resourceType: 'ECS' | 'Lingjun' | 'ACS';
  readonly nodes: number;
  readonly nodeType: string;
  readonly gpuType: string;
}

/** Four nodes of eight GPUs, twice: pay-as-you-go machines, and Lingjun, which a list without ResourceType does not show. */
const QUOTAS: readonly QuotaShape[] = [
  {
    ...{ id: 'quotalocalecs32', name: 'local_ecs', resourceType: 'ECS' },
    ...{ nodes: 4, nodeType: 'ecs.gn7e-c16g1.32xlarge', gpuType: 'A100-80G' },
  },
  {
    ...{ id: 'quotalocallingjun32', name: 'local_lingjun', resourceType: 'Lingjun' },
    ...{ nodes: 4, nodeType: 'ml.gu8xf.8xlarge-gu108', gpuType: 'GU108' },
  },
];
const GPUS_PER_NODE = 8;
const CPUS_PER_NODE = 128;
const GIB_PER_NODE = 1000;

/** The GPUs of every quota. */
export const QUOTA_GPUS: ReadonlyMap<string, number> = new Map(
  QUOTAS.map(({ id, nodes }) => [id, nodes * GPUS_PER_NODE]),
);

const LIST_QUERY = [
  ...['WorkspaceIds', 'QuotaIds', 'QuotaName', 'ResourceType', 'Statuses', 'Verbose', 'PageNumber', 'PageSize'],
  ...['SortBy', 'Order'],
];

/** The operations of PAI Studio on quotas. `gpusInUse` counts the GPUs of the jobs that hold some of a quota now. */
export function quotaOperations(gpusInUse: (quotaId: string) => number): Operation[] {
  const operation = (
    action: string,
    path: string,
    query: readonly string[],
    handle: Operation['handle'],
  ): Operation => ({
    ...{ action, version: STUDIO_VERSION, method: 'GET', path, query, handle },
  });
  const toWire = (quota: QuotaShape, isVerbose: boolean) => toWireQuota(quota, gpusInUse(quota.id), isVerbose);
  return [
    // The list has a slash at its end, which is signed like the rest.
    operation('ListQuotas', '/api/v1/quotas/', LIST_QUERY, ({ query }) => {
      const resourceType = readChoice(query, 'ResourceType', ['ECS', 'Lingjun', 'ACS'], 'ECS');
      const ids = readList(query, 'QuotaIds');
      const statuses = readList(query, 'Statuses');
      const workspaces = readList(query, 'WorkspaceIds');
      const pageNumber = readInteger(query, 'PageNumber', { fallback: 1, min: 1, max: 1_000_000 });
      const pageSize = readInteger(query, 'PageSize', { fallback: 10, min: 1, max: 100 });
      const found = QUOTAS.filter(
        (quota) =>
          quota.resourceType === resourceType &&
          (ids === undefined || ids.includes(quota.id)) &&
          quota.name.includes(query.get('QuotaName') ?? '') &&
          (statuses === undefined || statuses.includes('Ready')) &&
          (workspaces === undefined || workspaces.includes(LOCAL_WORKSPACE.WorkspaceId)),
      );
      const isVerbose = query.get('Verbose') === 'true';
      return {
        Quotas: pageOf(found, pageNumber, pageSize).map((quota) => toWire(quota, isVerbose)),
        TotalCount: found.length,
      };
    }),
    operation('GetQuota', '/api/v1/quotas/{QuotaId}', ['Verbose'], ({ path, query }) => {
      const quota = QUOTAS.find(({ id }) => id === path.QuotaId);
      if (quota) return toWire(quota, query.get('Verbose') !== 'false');
      throw new ApiError(404, 'QuotaNotFound', `Quota ${path.QuotaId} does not exist.`);
    }),
  ];
}

function toWireQuota(quota: QuotaShape, gpusInUse: number, isVerbose: boolean): Record<string, unknown> {
  const amount = (gpus: number) => {
    const share = gpus / GPUS_PER_NODE;
    return {
      ...{ CPU: String(share * CPUS_PER_NODE), GPU: String(gpus), Memory: `${share * GIB_PER_NODE}Gi` },
      GPUType: quota.gpuType,
    };
  };
  const all = quota.nodes * GPUS_PER_NODE;
  const allocated = amount(gpusInUse);
  return {
    ...{ QuotaId: quota.id, QuotaName: quota.name, ResourceType: quota.resourceType, Status: 'Ready' },
    ...{ AllocateStrategy: 'ByNodeSpec', QueueStrategy: 'PaiStrategyIntelligent', GPUType: quota.gpuType },
    ...{ GmtCreatedTime: '2024-01-01T00:00:00Z', GmtModifiedTime: '2024-01-01T00:00:00Z' },
    Min: { NodeSpecs: [{ Type: quota.nodeType, Count: quota.nodes }] },
    Workspaces: [{ WorkspaceId: LOCAL_WORKSPACE.WorkspaceId, WorkspaceName: LOCAL_WORKSPACE.WorkspaceName }],
    ...(isVerbose && {
      QuotaDetails: {
        ...{ DesiredMinQuota: amount(all), ActualMinQuota: amount(all), AllocatableQuota: amount(all) },
        ...{
          AllocatedQuota: allocated,
          SelfAllocatedQuota: allocated,
          UsedQuota: allocated,
          RequestedQuota: allocated,
        },
      },
    }),
  };
}
