import { toIsoSeconds } from './clock.ts';
import { isRecord } from './parameters.ts';
import { configOf } from './service-instance.ts';
import type { ServiceRunner } from './service-runner.ts';
import type { ServiceRecord } from './state.ts';

/** Where the gateway at `baseUrl` answers for a service or a group. */
export function serviceUrl(baseUrl: string, name: string): string {
  return `${baseUrl}/api/predict/${name}`;
}

const WANTED = ['Creating', 'Waiting', 'Running', 'Scaling', 'Updating'];

/** A service as DescribeService and ListServices send it. */
export function toWireService(service: ServiceRecord, where: { url: string; region: string }): Record<string, unknown> {
  const url = serviceUrl(where.url, service.name);
  const total = WANTED.includes(service.status) ? service.instances : 0;
  const running = Math.min(total, service.readyInstances);
  const config = configOf(service, service.version);
  const [container]: unknown[] = Array.isArray(config.containers) ? config.containers : [];
  const { group } = service;
  return {
    ServiceId: service.serviceId,
    ServiceUid: service.serviceId,
    ServiceName: service.name,
    Region: where.region,
    Status: service.status,
    Message: service.message,
    Reason: service.status === 'Failed' ? 'RUNNING_FAILED' : '',
    AccessToken: service.accessToken,
    InternetEndpoint: url,
    IntranetEndpoint: url,
    RunningInstance: running,
    PendingInstance: total - running,
    TotalInstance: total,
    CurrentVersion: service.version,
    LatestVersion: service.versions.length,
    ...(group && { ServiceGroup: group.name, Weight: group.weight, TrafficState: group.trafficState }),
    Image: isRecord(container) ? container.image : '',
    ServiceConfig: JSON.stringify(config),
    Labels: Object.entries(service.labels).map(([key, value]) => ({ LabelKey: key, LabelValue: value })),
    AutoscalerEnabled: service.autoScaler !== undefined,
    ...(service.workspaceId !== undefined && { WorkspaceId: service.workspaceId }),
    CreateTime: toIsoSeconds(service.createdAt),
    UpdateTime: toIsoSeconds(service.updatedAt),
  };
}

/** An instance of a service, while it has a process. */
export function toWireInstance(instance: ReturnType<ServiceRunner['instances']>[number]): Record<string, unknown> {
  const isReady = instance.readyAt !== undefined;
  return {
    InstanceName: instance.name,
    Status: isReady ? 'Running' : 'Pending',
    Reason: '',
    ReadyProcesses: isReady ? 1 : 0,
    TotalProcesses: 1,
    RestartCount: instance.restarts,
    HostIP: '127.0.0.1',
    ...(instance.readyAt !== undefined && { StartTime: toIsoSeconds(instance.readyAt) }),
  };
}
