import { ApiError } from '../api-error.ts';
import { parseCronScaler, toWireCronScaler } from '../cron-scaler.ts';
import { type ApiRequest, type Operation, parseBody } from '../operations.ts';
import { parseScalingRule } from '../scaling-rule.ts';
import type { ServiceRecord } from '../state.ts';
import { doneWith, type Eas, onService } from './eas-operation.ts';

/** The operations on what sets the number of a service's instances: by its load, and by the clock. */
export function easScalerOperations(eas: Eas): Operation[] {
  return [...autoScalerOperations(eas), ...cronScalerOperations(eas)];
}

function autoScalerOperations({ findService, here, runner, services }: Eas): Operation[] {
  const path = '/autoscaler';
  const set = (request: ApiRequest) => {
    const service = findService(request);
    const body = parseBody(request.body);
    parseScalingRule(body);
    service.autoScaler = body;
    services.put(service.name, service);
    return doneWith(here, service, 'scaled automatically');
  };
  const findScaler = (service: ServiceRecord) => service.autoScaler ?? missing(service, 'AutoScaler');
  return [
    onService('CreateServiceAutoScaler', 'POST', path, [], set),
    onService('UpdateServiceAutoScaler', 'PUT', path, [], (request) => {
      findScaler(findService(request));
      return set(request);
    }),
    // Asked for in lower case, told in capitals, as the models of the generated client have it.
    onService('DescribeServiceAutoScaler', 'GET', path, [], (request) => {
      const service = findService(request);
      const body = findScaler(service);
      const { min, max, strategies } = parseScalingRule(body);
      return {
        ...{ ServiceName: service.name, MinReplica: min, MaxReplica: max },
        ScaleStrategies: strategies.map(({ metric, threshold, service: other = service.name }) => ({
          ...{ metricName: metric, threshold, service: other },
        })),
        CurrentMetrics: runner.currentMetrics(service.name),
        Behavior: body.behavior ?? {},
      };
    }),
    onService('DeleteServiceAutoScaler', 'DELETE', path, [], (request) => {
      const service = findService(request);
      findScaler(service);
      delete service.autoScaler;
      services.put(service.name, service);
      return doneWith(here, service, 'no longer scaled automatically');
    }),
  ];
}

function cronScalerOperations({ findService, here, host, services }: Eas): Operation[] {
  const path = '/cronscaler';
  const set = (request: ApiRequest) => {
    const service = findService(request);
    service.cronScaler = parseCronScaler(parseBody(request.body), host.clock.now());
    services.put(service.name, service);
    return doneWith(here, service, 'scaled by the clock');
  };
  const findExisting = (request: ApiRequest): ServiceRecord => {
    const service = findService(request);
    return service.cronScaler ? service : missing(service, 'CronScaler');
  };
  return [
    onService('CreateServiceCronScaler', 'POST', path, [], set),
    onService('UpdateServiceCronScaler', 'PUT', path, [], (request) => {
      findExisting(request);
      return set(request);
    }),
    onService('DescribeServiceCronScaler', 'GET', path, [], (request) => toWireCronScaler(findExisting(request))),
    onService('DeleteServiceCronScaler', 'DELETE', path, [], (request) => {
      const service = findExisting(request);
      delete service.cronScaler;
      services.put(service.name, service);
      return doneWith(here, service, 'no longer scaled by the clock');
    }),
  ];
}

function missing({ name }: ServiceRecord, what: 'AutoScaler' | 'CronScaler'): never {
  throw new ApiError(
    404,
    `${what}.NotFound`,
    `Service ${name} has no ${what === 'AutoScaler' ? 'auto' : 'cron'} scaler.`,
  );
}
