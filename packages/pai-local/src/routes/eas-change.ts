import { ApiError, invalidParameter, missingParameter } from '../api-error.ts';
import { type ApiRequest, type Operation, parseBody } from '../operations.ts';
import { isRecord, readChoice } from '../parameters.ts';
import { configOf } from '../service-instance.ts';
import { isInstanceCount, MAX_INSTANCES, parseServiceRequest } from '../service-request.ts';
import type { ServiceRecord } from '../state.ts';
import { doneWith, type Eas, onService } from './eas-operation.ts';

/** The operations that change a service. */
export function easChangeOperations({ findService, here, runner, services }: Eas): Operation[] {
  const done = (service: ServiceRecord, what: string) => doneWith(here, service, what);
  const findIdle = (request: ApiRequest): ServiceRecord => {
    const service = findService(request);
    if (service.status === 'Deleting' || service.status === 'Stopping') throw isBusy(service);
    return service;
  };
  function setVersion(service: ServiceRecord, version: number): void {
    const { instances } = parseServiceRequest(configOf(service, version));
    Object.assign(service, { version, instances });
    runner.change(service, 'Updating', `Version ${version} takes the place of the one before`);
  }
  return [
    onService('UpdateService', 'PUT', '', ['UpdateType'], (request) => {
      const service = findIdle(request);
      const how = readChoice(request.query, 'UpdateType', ['merge', 'replace'], 'merge');
      const change = parseBody(request.body);
      const config = how === 'merge' ? merge(configOf(service, service.version), change) : change;
      const { name, group } = parseServiceRequest(config);
      if (name !== service.name || group !== service.group?.name) {
        throw invalidParameter('metadata.name and metadata.group cannot be changed.');
      }
      service.versions.push(config);
      setVersion(service, service.versions.length);
      return done(service, 'updating');
    }),
    onService('UpdateServiceVersion', 'PUT', '/version', [], (request) => {
      const service = findIdle(request);
      const { Version } = parseBody(request.body);
      if (Version === undefined) throw missingParameter('Version');
      if (!Number.isInteger(Version) || !service.versions[(Version as number) - 1]) {
        throw invalidParameter(
          `Version is ${String(Version)}; service ${service.name} has 1 to ${service.versions.length}.`,
        );
      }
      if (Version !== service.version) setVersion(service, Version as number);
      return done(service, `switching to version ${String(Version)}`);
    }),
    onService('DeleteService', 'DELETE', '', [], (request) => {
      const service = findService(request);
      if (service.status !== 'Deleting') runner.remove(service);
      return done(service, 'deleting');
    }),
    onService('StartService', 'PUT', '/start', [], (request) => {
      const service = findIdle(request);
      if (service.status === 'Stopped' || service.status === 'Failed') runner.start(service);
      return done(service, 'starting');
    }),
    onService('StopService', 'PUT', '/stop', [], (request) => {
      const service = findService(request);
      if (service.status === 'Deleting') throw isBusy(service);
      if (service.status !== 'Stopping' && service.status !== 'Stopped') runner.stop(service);
      return done(service, 'stopping');
    }),
    onService('RestartService', 'PUT', '/restart', [], (request) => {
      const service = findIdle(request);
      if (service.status === 'Stopped' || service.status === 'Failed') throw isBusy(service);
      runner.restart(service);
      return done(service, 'restarting');
    }),
    onService('ScaleService', 'PUT', '/scale', [], (request) => {
      const service = findIdle(request);
      const { Instance } = parseBody(request.body);
      if (Instance === undefined) throw missingParameter('Instance');
      if (!isInstanceCount(Instance)) {
        throw invalidParameter(`Instance is ${JSON.stringify(Instance)}; pai-local runs 0 to ${MAX_INSTANCES}.`);
      }
      service.instances = Instance;
      runner.change(service, 'Scaling', `Service is scaled to ${Instance} instances`);
      return done(service, `scaling to ${Instance} instances`);
    }),
    onService('ReleaseService', 'PUT', '/release', [], (request) => {
      const service = findIdle(request);
      const { group } = service;
      if (!group) throw invalidParameter(`Service ${service.name} is in no group, so it has no share of a traffic.`);
      const { Weight, TrafficState = group.trafficState } = parseBody(request.body);
      const isWeight = Number.isInteger(Weight) && (Weight as number) >= -1 && (Weight as number) <= 1000;
      if (!isWeight)
        throw invalidParameter(`Weight is ${JSON.stringify(Weight)}; it is a whole number from -1 to 1000.`);
      if (TrafficState !== 'standalone' && TrafficState !== 'grouping') {
        throw invalidParameter(`TrafficState is ${JSON.stringify(TrafficState)}; it can be standalone, grouping.`);
      }
      Object.assign(group, { weight: Weight, trafficState: TrafficState });
      services.put(service.name, service);
      return {
        Message: `Releasing service [${service.name}] in region [${here.region}] with weight [${Weight}], service status: [${service.status}]`,
      };
    }),
  ];
}

const isBusy = (service: ServiceRecord): ApiError =>
  new ApiError(
    400,
    'InvalidServiceStatus',
    `Service ${service.name} is ${service.status}; try again when that is done.`,
  );

/** Objects are merged field by field; lists, such as `containers`, are replaced. */
function merge(config: Readonly<Record<string, unknown>>, change: Readonly<Record<string, unknown>>) {
  const merged: Record<string, unknown> = { ...config };
  for (const [name, value] of Object.entries(change)) {
    const before = merged[name];
    merged[name] = isRecord(before) && isRecord(value) ? merge(before, value) : value;
  }
  return merged;
}
