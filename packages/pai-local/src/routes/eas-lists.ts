import { invalidParameter } from '../api-error.ts';
import { toIsoSeconds } from '../clock.ts';
import { logPath } from '../host.ts';
import type { Operation } from '../operations.ts';
import {
  compareBy,
  isInWindow,
  pageOf,
  type Query,
  readChoice,
  readInteger,
  readJsonMap,
  readList,
  readWindow,
} from '../parameters.ts';
import { listLogs, readLogPage } from '../process-log.ts';
import { serviceUrl, toWireInstance, toWireService } from '../service-wire.ts';
import type { ServiceRecord } from '../state.ts';
import { type Eas, onService, SERVICES, VERSION } from './eas-operation.ts';
import { MACHINES } from './ecs-specs.ts';

const LIST_QUERY = [
  'Filter',
  'ServiceName',
  'ServiceStatus',
  'WorkspaceId',
  'Label',
  'Sort',
  'Order',
  'PageNumber',
  'PageSize',
];
const LOG_QUERY = ['StartTime', 'EndTime', 'Keyword', 'InstanceName', 'PageNum', 'PageSize'];
const EVENT_QUERY = ['StartTime', 'EndTime', 'EventType', 'InstanceName', 'PageNum', 'PageSize'];

/** The operations that tell what there is. */
export function easListOperations(eas: Eas): Operation[] {
  const { findService, here, runner } = eas;
  return [
    {
      ...{ action: 'ListServices', version: VERSION, method: 'GET', path: SERVICES, query: LIST_QUERY },
      handle: ({ query }) => listServices(eas, query),
    },
    {
      ...{ action: 'DescribeMachineSpec', version: VERSION, method: 'GET', path: '/api/v2/public/instance_types' },
      query: ['InstanceTypes'],
      handle: ({ query }) => describeMachines(readList(query, 'InstanceTypes')),
    },
    onService('DescribeService', 'GET', '', [], (request) => toWireService(findService(request), here)),
    onService('DescribeServiceEndpoints', 'GET', '/endpoints', [], (request) => {
      const service = findService(request);
      const url = serviceUrl(here.url, service.name);
      return {
        AccessToken: service.accessToken,
        Endpoints: [{ EndpointType: 'DefaultGateway', InternetEndpoints: [url], IntranetEndpoints: [url] }],
      };
    }),
    onService('ListServiceInstances', 'GET', '/instances', ['PageNumber', 'PageSize'], (request) => {
      const instances = runner.instances(findService(request).name).map(toWireInstance);
      const { pageNumber, pageSize } = readPage(request.query, 'PageNumber', 100);
      return {
        Instances: pageOf(instances, pageNumber, pageSize),
        PageNumber: pageNumber,
        PageSize: pageSize,
        TotalCount: instances.length,
      };
    }),
    onService('DescribeServiceLog', 'GET', '/logs', LOG_QUERY, (request) =>
      describeLog(eas, findService(request), request.query),
    ),
    onService('DescribeServiceEvent', 'GET', '/events', EVENT_QUERY, (request) =>
      describeEvents(eas, findService(request), request.query),
    ),
  ];
}

/** The same machines that DLC has. */
function describeMachines(types: readonly string[] | undefined): Record<string, unknown> {
  const found = MACHINES.filter(([type]) => types?.includes(type) ?? true);
  return {
    InstanceMetas: found.map(([type, cpu, memory, gpus, gpuType, gpuMemory]) => ({
      ...{ InstanceType: type, CPU: cpu, Memory: memory, GPU: gpuType, GPUAmount: gpus, GPUMemory: gpuMemory },
      IsAvailable: true,
    })),
  };
}

function listServices({ services, here }: Eas, query: Query): Record<string, unknown> {
  readChoice(query, 'Sort', ['CreateTime'], 'CreateTime');
  const order = readChoice(query, 'Order', ['desc', 'asc'], 'desc');
  const { pageNumber, pageSize } = readPage(query, 'PageNumber', 100);
  const labels = Object.entries(readJsonMap(query, 'Label'));
  const equals = (parameter: string, value: unknown) => (query.get(parameter) || value) === value;
  const found = services
    .values()
    .filter(
      (service) =>
        service.name.includes(query.get('Filter') ?? '') &&
        equals('ServiceName', service.name) &&
        equals('ServiceStatus', service.status) &&
        equals('WorkspaceId', service.workspaceId) &&
        labels.every(([key, value]) => service.labels[key] === value),
    )
    .sort(compareBy(({ sequence }) => sequence, order));
  return {
    Services: pageOf(found, pageNumber, pageSize).map((service) => toWireService(service, here)),
    PageNumber: pageNumber,
    PageSize: pageSize,
    TotalCount: found.length,
  };
}

/** Lists count pages by PageNumber, logs and events by PageNum. */
function readPage(query: Query, name: 'PageNumber' | 'PageNum', fallbackSize: number) {
  return {
    pageNumber: readInteger(query, name, { fallback: 1, min: 1, max: 1_000_000 }),
    pageSize: readInteger(query, 'PageSize', { fallback: fallbackSize, min: 1, max: 1000 }),
  };
}

/** The lines of one instance, or of all that ever ran. */
async function describeLog({ host }: Eas, service: ServiceRecord, query: Query): Promise<Record<string, unknown>> {
  const owner = `services/${service.name}`;
  const instance = query.get('InstanceName');
  const names = await listLogs(logPath(host, owner, ''));
  if (instance && !names.includes(instance)) {
    throw invalidParameter(`Service ${service.name} has no instance ${instance}.`);
  }
  const paths = (instance ? [instance] : names).map((name) => logPath(host, owner, name));
  const { pageNumber, pageSize } = readPage(query, 'PageNum', 500);
  const page = { number: pageNumber, size: pageSize, keyword: query.get('Keyword') ?? '' };
  const { lines, total } = await readLogPage(paths, readWindow(query, host.clock.now()), page);
  return { Logs: lines, PageNum: pageNumber, TotalCount: total, TotalPageNum: Math.ceil(total / pageSize) };
}

/** Newest first. The words are in JSON text, as EAS has them. */
function describeEvents({ host }: Eas, service: ServiceRecord, query: Query): Record<string, unknown> {
  const type = readChoice(query, 'EventType', ['Normal', 'Warning', 'all'], 'all');
  const instance = query.get('InstanceName') ?? '';
  const window = readWindow(query, host.clock.now());
  const { pageNumber, pageSize } = readPage(query, 'PageNum', 100);
  const found = service.events
    .filter((event) => (type === 'all' || event.type === type) && isInWindow(event.at, window))
    .filter(({ message }) => message.includes(instance))
    .reverse();
  return {
    Events: pageOf(found, pageNumber, pageSize).map(({ at, type: Type, reason, message }) => ({
      Message: JSON.stringify({ message }),
      Reason: reason,
      Resource: `Service/${service.name}`,
      Time: toIsoSeconds(at),
      Type,
    })),
    PageNum: pageNumber,
    TotalCount: found.length,
    TotalPageNum: Math.ceil(found.length / pageSize),
  };
}
