import type { Operation } from '../operations.ts';
import { compareBy, pageOf, readChoice, readInteger, readList } from '../parameters.ts';

type Row = [
  type: string,
  cpu: number,
  memoryGiB: number,
  gpus: number,
  gpuType: string,
  gpuMemoryGiB: number,
  isLingjun: boolean,
];

/** Some machine types with the sizes that their names stand for; GPU types are masked, as PAI masks them. */
export const MACHINES: readonly Row[] = [
  ['ecs.c6.large', 2, 4, 0, '', 0, false],
  ['ecs.g6.2xlarge', 8, 32, 0, '', 0, false],
  ['ecs.gn7i-c8g1.2xlarge', 8, 30, 1, 'GU30', 24, false],
  ['ecs.gn7e-c16g1.4xlarge', 16, 125, 1, 'GU80', 80, false],
  ['ecs.gn7e-c16g1.16xlarge', 64, 500, 4, 'GU80', 80, false],
  ['ecs.gn7e-c16g1.32xlarge', 128, 1000, 8, 'GU80', 80, false],
  ['ml.gu8xf.8xlarge-gu108', 128, 1000, 8, 'GU108', 96, true],
];

const QUERY = ['AcceleratorType', 'InstanceTypes', 'ResourceType', 'SortBy', 'Order', 'PageNumber', 'PageSize'];

/** DLC's list of the machine types of the public pool. It has no prices. `isInStock` tells whether there is any of a type. */
export function ecsSpecOperations(isInStock: (ecsSpec: string) => boolean): Operation[] {
  return [
    {
      ...{ action: 'ListEcsSpecs', version: '2020-12-03', method: 'GET', path: '/api/v1/ecsspecs', query: QUERY },
      handle({ query }) {
        const accelerator = query.get('AcceleratorType')
          ? readChoice(query, 'AcceleratorType', ['CPU', 'GPU'], 'CPU')
          : '';
        const resourceType = readChoice(query, 'ResourceType', ['ECS', 'Lingjun'], 'ECS');
        const sortBy = readChoice(query, 'SortBy', ['CPU', 'GPU', 'Memory', 'GmtCreateTime'], 'GmtCreateTime');
        const order = readChoice(query, 'Order', ['asc', 'desc'], 'desc');
        const types = readList(query, 'InstanceTypes');
        const pageNumber = readInteger(query, 'PageNumber', { fallback: 1, min: 1, max: 1_000_000 });
        const pageSize = readInteger(query, 'PageSize', { fallback: 10, min: 1, max: 100 });
        const column = { CPU: 1, Memory: 2, GPU: 3, GmtCreateTime: 0 }[sortBy] as 0 | 1 | 2 | 3;
        const found = MACHINES.filter(
          ([type, , , gpus, , , isLingjun]) =>
            isLingjun === (resourceType === 'Lingjun') &&
            (accelerator === '' || gpus > 0 === (accelerator === 'GPU')) &&
            (types === undefined || types.includes(type)),
        ).sort(compareBy((row) => row[column], order));
        return {
          EcsSpecs: pageOf(found, pageNumber, pageSize).map((row) => toWire(row, isInStock(row[0]))),
          TotalCount: found.length,
        };
      },
    },
  ];
}

function toWire(
  [type, cpu, memory, gpus, gpuType, gpuMemory, isLingjun]: Row,
  IsAvailable: boolean,
): Record<string, unknown> {
  return {
    ...{ InstanceType: type, Cpu: cpu, Memory: memory, Gpu: gpus, GpuType: gpuType, GpuMemory: gpuMemory },
    ...{ AcceleratorType: gpus > 0 ? 'GPU' : 'CPU', ResourceType: isLingjun ? 'Lingjun' : 'ECS', IsAvailable },
    ...{ PaymentTypes: ['PostPaid'], SpotStockStatus: 'NoStock' },
  };
}
