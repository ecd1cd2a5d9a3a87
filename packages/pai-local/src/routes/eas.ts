import { randomBytes } from 'node:crypto';
import { ApiError, invalidParameter } from '../api-error.ts';
import type { Host } from '../host.ts';
import { type ApiRequest, type Operation, parseBody } from '../operations.ts';
import { type Query, readJsonMap } from '../parameters.ts';
import { parseServiceRequest } from '../service-request.ts';
import type { ServiceRunner } from '../service-runner.ts';
import { serviceUrl, toWireService } from '../service-wire.ts';
import { nextSequence, type ServiceGroupRecord, type ServiceRecord, type Store } from '../state.ts';
import { easChangeOperations } from './eas-change.ts';
import { easListOperations } from './eas-lists.ts';
import { type Eas, type Here, SERVICES, VERSION } from './eas-operation.ts';
import { easScalerOperations } from './eas-scalers.ts';

/** The operations of EAS that are emulated. */
export function easOperations(
  host: Host,
  here: Here,
  services: Store<ServiceRecord>,
  runner: ServiceRunner,
): Operation[] {
  const eas: Eas = {
    ...{ host, here, services, runner },
    findService({ path }) {
      const service = path.ClusterId === here.region ? services.get(path.ServiceName as string) : undefined;
      if (service) return service;
      const message = `Service ${path.ServiceName} is not found in ${path.ClusterId}.`;
      throw new ApiError(404, 'InvalidService.NotFound', message);
    },
  };
  const create: Operation = {
    ...{ action: 'CreateService', version: VERSION, method: 'POST', path: SERVICES },
    query: ['WorkspaceId', 'Labels'],
    async handle({ body, query }) {
      const service = createService(parseBody(body), query, services, host.clock.now());
      services.put(service.name, service);
      await services.flush();
      runner.start(service);
      const wire = toWireService(service, here);
      const { ServiceId, ServiceName, Region, Status, InternetEndpoint, IntranetEndpoint } = wire;
      return { ServiceId, ServiceName, Region, Status, InternetEndpoint, IntranetEndpoint };
    },
  };
  return [
    create,
    ...easListOperations(eas),
    ...easChangeOperations(eas),
    ...easScalerOperations(eas),
    ...groupOperations(eas),
  ];
}

/** A group is made by the first service that names it, and goes with its last. */
function groupOperations({ here, services }: Eas): Operation[] {
  const path = '/api/v2/groups/{ClusterId}/{GroupName}';
  const findMembers = ({ path: { ClusterId, GroupName } }: ApiRequest): ServiceGroupRecord[] => {
    const groups = services.values().flatMap(({ group }) => (group && group.name === GroupName ? [group] : []));
    if (ClusterId === here.region && groups.length > 0) return groups;
    throw new ApiError(404, 'InvalidGroup.NotFound', `Group ${GroupName} is not found in ${ClusterId}.`);
  };
  return [
    {
      ...{ action: 'DescribeGroup', version: VERSION, method: 'GET', path, query: [] },
      handle(request) {
        const [{ name, accessToken, trafficMode }] = findMembers(request) as [ServiceGroupRecord];
        const url = serviceUrl(here.url, name);
        const endpoints = { InternetEndpoint: url, IntranetEndpoint: url };
        return { Name: name, ClusterId: here.region, AccessToken: accessToken, TrafficMode: trafficMode, ...endpoints };
      },
    },
    {
      ...{ action: 'UpdateGroup', version: VERSION, method: 'PUT', path, query: [] },
      handle(request) {
        const members = findMembers(request);
        const { TrafficMode } = parseBody(request.body);
        if (TrafficMode !== 'auto' && TrafficMode !== 'customized') {
          throw invalidParameter(`TrafficMode is ${String(TrafficMode)}; it can be auto, customized.`);
        }
        for (const member of members) member.trafficMode = TrafficMode;
        for (const service of services.values()) {
          if (service.group && members.includes(service.group)) services.put(service.name, service);
        }
        return {};
      },
    },
  ];
}

function createService(
  config: Record<string, unknown>,
  query: Query,
  services: Store<ServiceRecord>,
  now: number,
): ServiceRecord {
  const { name, instances, group } = parseServiceRequest(config);
  const all = services.values();
  const taken = all.find((service) => service.name === name || service.group?.name === name);
  if (taken) throw new ApiError(409, 'ServiceAlreadyExists', `Service ${name} already exists; it is ${taken.status}.`);
  if (group !== undefined && services.get(group)) {
    throw new ApiError(409, 'ServiceAlreadyExists', `The group ${group} would have the name of a service.`);
  }
  const workspaceId = query.get('WorkspaceId');
  return {
    kind: 'service',
    name,
    serviceId: `eas-m-${randomBytes(8).toString('hex')}`,
    sequence: nextSequence(all),
    versions: [config],
    version: 1,
    instances,
    readyInstances: 0,
    ...(workspaceId !== undefined && { workspaceId }),
    labels: readJsonMap(query, 'Labels'),
    accessToken: newToken(),
    ...(group !== undefined && { group: joinGroup(group, all) }),
    status: 'Creating',
    message: 'Service is being created',
    createdAt: now,
    updatedAt: now,
    events: [],
  };
}

/** A service that joins a group gets none of its traffic until it is released. */
function joinGroup(name: string, services: readonly ServiceRecord[]): ServiceGroupRecord {
  const other = services.find(({ group }) => group?.name === name)?.group;
  const { accessToken = newToken(), trafficMode = 'auto' } = other ?? {};
  return { name, accessToken, trafficMode, weight: 0, trafficState: 'standalone' };
}

const newToken = (): string => randomBytes(24).toString('base64url');
