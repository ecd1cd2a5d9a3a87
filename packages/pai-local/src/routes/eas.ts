import { randomBytes } from 'node:crypto';
import { ApiError, invalidParameter } from '../api-error.ts';
import type { Host } from '../host.ts';
import { type ApiRequest, type Operation, parseBody } from '../operations.ts';
import { compareBy, pageOf, type Query, readChoice, readInteger, readJsonMap, readWindow } from '../parameters.ts';
import { readLogPage } from '../process-log.ts';
import { parseServiceRequest } from '../service-request.ts';
import { instanceName, type ServiceRunner, serviceLogPath } from '../service-runner.ts';
import { serviceUrl, toWireInstance, toWireService } from '../service-wire.ts';
import { nextSequence, type ServiceRecord, type Store } from '../state.ts';

const VERSION = '2021-07-01';
const SERVICES = '/api/v2/services';
const SERVICE = `${SERVICES}/{ClusterId}/{ServiceName}`;
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

/** The server as its own answers name it. */
export interface Here {
  /** Known once it listens. */
  url: string;
  readonly region: string;
}

/** The operations of EAS that are emulated. */
export function easOperations(
  host: Host,
  here: Here,
  services: Store<ServiceRecord>,
  runner: ServiceRunner,
): Operation[] {
  const { now } = host.clock;
  const operation = (
    action: string,
    method: string,
    path: string,
    query: readonly string[],
    handle: Operation['handle'],
  ): Operation => ({ action, version: VERSION, method, path, query, handle });

  // What EAS calls a cluster is the region.
  const findService = ({ path }: ApiRequest): ServiceRecord => {
    const service = path.ClusterId === here.region ? services.get(path.ServiceName as string) : undefined;
    if (service) return service;
    throw new ApiError(
      404,
      'InvalidService.NotFound',
      `Service ${path.ServiceName} is not found in ${path.ClusterId}.`,
    );
  };
  return [
    operation('CreateService', 'POST', SERVICES, ['WorkspaceId', 'Labels'], async ({ body, query }) => {
      const service = createService(parseBody(body), query, services, now());
      services.put(service.name, service);
      await services.flush();
      runner.start(service);
      const { ServiceId, ServiceName, Region, Status, InternetEndpoint, IntranetEndpoint } = toWireService(
        service,
        here,
      );
      return { ServiceId, ServiceName, Region, Status, InternetEndpoint, IntranetEndpoint };
    }),
    operation('ListServices', 'GET', SERVICES, LIST_QUERY, ({ query }) => listServices(services.values(), query, here)),
    operation('DescribeService', 'GET', SERVICE, [], (request) => toWireService(findService(request), here)),
    operation('DeleteService', 'DELETE', SERVICE, [], (request) => {
      const service = findService(request);
      if (service.status !== 'Deleting') runner.remove(service);
      return { Message: `Service [${service.name}] in region [${here.region}] is deleting` };
    }),
    operation('StartService', 'PUT', `${SERVICE}/start`, [], (request) => {
      const service = findService(request);
      if (service.status === 'Stopping' || service.status === 'Deleting') throw isBusy(service);
      if (service.status === 'Stopped' || service.status === 'Failed') runner.start(service);
      return { Message: `Service [${service.name}] in region [${here.region}] is starting` };
    }),
    operation('StopService', 'PUT', `${SERVICE}/stop`, [], (request) => {
      const service = findService(request);
      if (service.status === 'Deleting') throw isBusy(service);
      if (service.status !== 'Stopping' && service.status !== 'Stopped') runner.stop(service);
      return { Message: `Service [${service.name}] in region [${here.region}] is stopping` };
    }),
    operation('DescribeServiceEndpoints', 'GET', `${SERVICE}/endpoints`, [], (request) => {
      const service = findService(request);
      const url = serviceUrl(here.url, service.name);
      return {
        AccessToken: service.accessToken,
        Endpoints: [{ EndpointType: 'DefaultGateway', InternetEndpoints: [url], IntranetEndpoints: [url] }],
      };
    }),
    operation('ListServiceInstances', 'GET', `${SERVICE}/instances`, ['PageNumber', 'PageSize'], (request) => {
      const service = findService(request);
      const instances = runner.hasInstance(service.name) ? [toWireInstance(service)] : [];
      const { pageNumber, pageSize } = readPage(request.query, 'PageNumber', 100);
      return {
        Instances: pageOf(instances, pageNumber, pageSize),
        PageNumber: pageNumber,
        PageSize: pageSize,
        TotalCount: instances.length,
      };
    }),
    operation('DescribeServiceLog', 'GET', `${SERVICE}/logs`, LOG_QUERY, (request) =>
      describeLog(host, findService(request), request.query),
    ),
  ];
}

const isBusy = (service: ServiceRecord): ApiError =>
  new ApiError(
    400,
    'InvalidServiceStatus',
    `Service ${service.name} is ${service.status}; try again when that is done.`,
  );

function createService(
  config: Record<string, unknown>,
  query: Query,
  services: Store<ServiceRecord>,
  now: number,
): ServiceRecord {
  const { name } = parseServiceRequest(config);
  const existing = services.get(name);
  if (existing) {
    throw new ApiError(409, 'ServiceAlreadyExists', `Service ${name} already exists; it is ${existing.status}.`);
  }
  const workspaceId = query.get('WorkspaceId');
  return {
    kind: 'service',
    name,
    serviceId: `eas-m-${randomBytes(8).toString('hex')}`,
    sequence: nextSequence(services.values()),
    config,
    ...(workspaceId !== undefined && { workspaceId }),
    labels: readJsonMap(query, 'Labels'),
    accessToken: randomBytes(24).toString('base64url'),
    status: 'Creating',
    message: 'Service is being created',
    createdAt: now,
    updatedAt: now,
  };
}

function listServices(services: readonly ServiceRecord[], query: Query, here: Here): Record<string, unknown> {
  readChoice(query, 'Sort', ['CreateTime'], 'CreateTime');
  const order = readChoice(query, 'Order', ['desc', 'asc'], 'desc');
  const { pageNumber, pageSize } = readPage(query, 'PageNumber', 100);
  const labels = Object.entries(readJsonMap(query, 'Label'));
  const equals = (parameter: string, value: unknown) => (query.get(parameter) || value) === value;
  const found = services
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

/** Lists count pages by PageNumber, logs by PageNum. */
function readPage(query: Query, name: 'PageNumber' | 'PageNum', fallbackSize: number) {
  return {
    pageNumber: readInteger(query, name, { fallback: 1, min: 1, max: 1_000_000 }),
    pageSize: readInteger(query, 'PageSize', { fallback: fallbackSize, min: 1, max: 1000 }),
  };
}

async function describeLog(host: Host, service: ServiceRecord, query: Query): Promise<Record<string, unknown>> {
  const instance = query.get('InstanceName');
  if (instance && instance !== instanceName(service)) {
    throw invalidParameter(`Service ${service.name} has no instance ${instance}.`);
  }
  const { pageNumber, pageSize } = readPage(query, 'PageNum', 500);
  const page = { number: pageNumber, size: pageSize, keyword: query.get('Keyword') ?? '' };
  const { lines, total } = await readLogPage(serviceLogPath(host, service), readWindow(query, host.clock.now()), page);
  return { Logs: lines, PageNum: pageNumber, TotalCount: total, TotalPageNum: Math.ceil(total / pageSize) };
}
