import type { ServiceRunner } from './service-runner.ts';
import type { ServiceRecord, Store } from './state.ts';

/** A service that a request is for, and the port to send it to; none while nothing takes requests. */
export interface Destination {
  readonly name: string;
  readonly accessToken: string;
  readonly status: string;
  port(): number | undefined;
}

/** Finds what answers under a name of the gateway: a service, or a group of them. */
export function createTraffic(services: Store<ServiceRecord>, runner: ServiceRunner) {
  /** What each service of a group has been owed since it was last chosen. */
  const credit = new Map<string, number>();

  /**
   * Smooth weighted round robin: each request gives every service its weight, the richest serves it and pays for all. So 5 : 95 sends
   * exactly every twentieth request to the first, not five in a row.
   */
  function choose(members: readonly ServiceRecord[]): number | undefined {
    const open = members.flatMap((service) => {
      const port = weightOf(service) > 0 ? runner.route(service.name) : undefined;
      return port === undefined ? [] : [{ name: service.name, weight: weightOf(service), port }];
    });
    if (open.length === 0) {
      // A request that finds nobody wakes whoever of the group sleeps and takes part.
      for (const { name, group } of members) if (group?.trafficState === 'grouping') runner.countRequest(name);
      return undefined;
    }
    const total = open.reduce((sum, { weight }) => sum + weight, 0);
    for (const { name, weight } of open) credit.set(name, (credit.get(name) ?? 0) + weight);
    const [best] = [...open].sort((a, b) => (credit.get(b.name) ?? 0) - (credit.get(a.name) ?? 0));
    if (!best) return undefined;
    credit.set(best.name, (credit.get(best.name) ?? 0) - total);
    runner.countRequest(best.name);
    return best.port;
  }

  return {
    find(name: string): Destination | undefined {
      const service = services.get(name);
      if (service) {
        const { accessToken, status } = service;
        const port = () => {
          runner.countRequest(name);
          return runner.route(name);
        };
        return { name, accessToken, status, port };
      }
      const members = services.values().filter(({ group }) => group?.name === name);
      const group = members[0]?.group;
      if (!group) return undefined;
      const status = `of ${members.length} services`;
      return { name, accessToken: group.accessToken, status, port: () => choose(members) };
    },
  };
}

/** In the mode `auto` a service has as much of the traffic as it has of the instances. */
function weightOf({ group, readyInstances }: ServiceRecord): number {
  if (group?.trafficState !== 'grouping') return 0;
  return group.trafficMode === 'auto' ? readyInstances : group.weight;
}
