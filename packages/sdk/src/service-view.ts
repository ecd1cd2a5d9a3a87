import { PaiError } from '@pai-cpt/core';
import { omitUndefined } from './omit-undefined.ts';
import type { Service } from './schemas.ts';
import { type ServiceEndpoint, serviceEndpoint, type TokenScheme } from './service-gateway.ts';
import { servicePhaseOf } from './service-status.ts';
import type { WireService } from './service-wire.ts';

/** A service in our words, without its access token. */
export function toService(wire: WireService): Service {
  return omitUndefined({
    name: wire.ServiceName,
    serviceId: wire.ServiceId || undefined,
    phase: servicePhaseOf(wire.Status),
    status: wire.Status,
    reason: wire.Reason || undefined,
    message: wire.Message || undefined,
    url: urlOf(wire),
    image: wire.Image || undefined,
    runningInstances: wire.RunningInstance,
    instances: wire.TotalInstance,
    version: wire.CurrentVersion,
    latestVersion: wire.LatestVersion,
    group: wire.ServiceGroup || undefined,
    weight: wire.ServiceGroup ? wire.Weight : undefined,
    trafficState: wire.ServiceGroup ? wire.TrafficState : undefined,
    workspaceId: wire.WorkspaceId || undefined,
    createdAt: wire.CreateTime || undefined,
    updatedAt: wire.UpdateTime || undefined,
  });
}

const urlOf = (wire: { InternetEndpoint?: string; IntranetEndpoint?: string }): string | undefined =>
  (wire.InternetEndpoint || wire.IntranetEndpoint || undefined)?.replace(/\/+$/, '');

/** Where a service answers. @throws PaiError `CPT_PAI_UNAVAILABLE` while it has no address. */
export function endpointOf(wire: WireService, scheme?: TokenScheme): ServiceEndpoint {
  const url = urlOf(wire);
  if (url) return serviceEndpoint(url, wire.AccessToken ?? '', scheme);
  throw new PaiError(
    'CPT_PAI_UNAVAILABLE',
    `service ${wire.ServiceName} is ${wire.Status} and has no endpoint yet; wait for it first`,
  );
}

/** Where a group answers. @throws PaiError `CPT_PAI_UNAVAILABLE` while it has no address. */
export function groupEndpointOf(
  group: string,
  wire: { InternetEndpoint?: string; IntranetEndpoint?: string; AccessToken?: string },
  scheme?: TokenScheme,
): ServiceEndpoint {
  const url = urlOf(wire);
  if (url) return serviceEndpoint(url, wire.AccessToken ?? '', scheme);
  throw new PaiError('CPT_PAI_UNAVAILABLE', `group ${group} has no endpoint yet`);
}

/** Why the wait for a service is over. */
export function serviceFailed(service: Service): PaiError {
  const why = [service.reason, service.message].filter(Boolean).join(': ');
  return new PaiError(
    'CPT_PAI_SERVICE_FAILED',
    `service ${service.name} is ${service.status}${why ? `: ${why}` : ''}; cpt services events ${service.name} says more`,
    { status: service.status },
  );
}
