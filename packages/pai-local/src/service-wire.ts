import { toIsoSeconds } from './clock.ts';
import { isRecord } from './parameters.ts';
import { instanceName } from './service-runner.ts';
import type { ServiceRecord } from './state.ts';

/** Where the gateway at `baseUrl` answers for a service. */
export function serviceUrl(baseUrl: string, name: string): string {
  return `${baseUrl}/api/predict/${name}`;
}

/** A service as DescribeService and ListServices send it. */
export function toWireService(service: ServiceRecord, where: { url: string; region: string }): Record<string, unknown> {
  const url = serviceUrl(where.url, service.name);
  const isRunning = service.status === 'Running';
  const isWanted = isRunning || service.status === 'Creating' || service.status === 'Waiting';
  const [container]: unknown[] = Array.isArray(service.config.containers) ? service.config.containers : [];
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
    RunningInstance: isRunning ? 1 : 0,
    PendingInstance: isWanted && !isRunning ? 1 : 0,
    TotalInstance: isWanted ? 1 : 0,
    CurrentVersion: 1,
    LatestVersion: 1,
    Image: isRecord(container) ? container.image : '',
    ServiceConfig: JSON.stringify(service.config),
    Labels: Object.entries(service.labels).map(([key, value]) => ({ LabelKey: key, LabelValue: value })),
    ...(service.workspaceId !== undefined && { WorkspaceId: service.workspaceId }),
    CreateTime: toIsoSeconds(service.createdAt),
    UpdateTime: toIsoSeconds(service.updatedAt),
  };
}

/** The instance of a service, while it has a process. */
export function toWireInstance(service: ServiceRecord): Record<string, unknown> {
  const isReady = service.runningAt !== undefined;
  return {
    InstanceName: instanceName(service),
    Status: isReady ? 'Running' : 'Pending',
    Reason: '',
    ReadyProcesses: isReady ? 1 : 0,
    TotalProcesses: 1,
    RestartCount: 0,
    HostIP: '127.0.0.1',
    ...(service.runningAt !== undefined && { StartTime: toIsoSeconds(service.runningAt) }),
  };
}
