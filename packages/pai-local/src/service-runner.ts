import { describeError } from '@pai-cpt/core/node';
import { type Host, removeTraces } from './host.ts';
import { createFleet, type Fleet } from './service-fleet.ts';
import type { ServiceRecord, Store } from './state.ts';

/** Runs services, each as process groups that listen on ports of the loopback. */
export interface ServiceRunner {
  start(service: ServiceRecord): void;
  /** The service is `Stopping` when this returns, and later `Stopped`. */
  stop(service: ServiceRecord): void;
  /** The service is `Deleting` when this returns, and later gone. */
  remove(service: ServiceRecord): void;
  /** The instances or the version that the service wants have changed. */
  change(service: ServiceRecord, status: 'Scaling' | 'Updating', message: string): void;
  /** Ends every instance and starts it anew. */
  restart(service: ServiceRecord): void;
  /** Where the gateway sends the next request for this service; `undefined` while there is nowhere to send it. */
  route(name: string): number | undefined;
  /** The instances that have a process. */
  instances(name: string): ReturnType<Fleet['instances']>;
  close(): Promise<void>;
}

interface LiveService {
  readonly service: ServiceRecord;
  /** Aborted when the service is to end. */
  readonly stop: AbortController;
  readonly fleet: Fleet;
  done: Promise<void>;
}

const GRACE_MS = 5000;
const CLOSE_GRACE_MS = 2000;
/** More than a person reads; the oldest go first. */
const MAX_EVENTS = 1000;
const CLOSED = 'pai-local ended, and the service with it; StartService starts it again.';

/** A runner over `services`. Those that an earlier run left up are `Stopped` now: their processes ended with it. */
export function createServiceRunner(host: Host, services: Store<ServiceRecord>): ServiceRunner {
  const live = new Map<string, LiveService>();
  const { clock, paceMs } = host;
  let isClosing = false;

  function enter(service: ServiceRecord, status: string, message: string): void {
    service.status = status;
    service.message = message;
    service.updatedAt = clock.now();
    addEvent(service, status === 'Failed' ? 'Warning' : 'Normal', status, message);
    services.put(service.name, service);
  }
  function addEvent(service: ServiceRecord, type: 'Normal' | 'Warning', reason: string, message: string): void {
    service.events.push({ at: clock.now(), type, reason, message });
    service.events.splice(0, service.events.length - MAX_EVENTS);
    services.put(service.name, service);
  }
  for (const service of services.values()) {
    service.readyInstances = 0;
    if (service.status === 'Deleting') services.delete(service.name);
    else if (service.status !== 'Failed' && service.status !== 'Stopped') enter(service, 'Stopped', CLOSED);
  }

  async function run({ service, stop, fleet }: LiveService): Promise<void> {
    const message = await fleet.run().catch(describeError);
    if (!stop.signal.aborted) enter(service, 'Failed', message);
    await fleet.terminate(isClosing ? CLOSE_GRACE_MS : GRACE_MS);
  }
  /** Ends the processes of a service, if it has some, and then does `last`. */
  async function end(service: ServiceRecord, last: () => void | Promise<void>): Promise<void> {
    const task = live.get(service.name);
    task?.stop.abort();
    if (!isClosing) await clock.sleep(paceMs);
    await task?.done;
    if (live.get(service.name) === task) live.delete(service.name);
    await last();
  }
  const endings = new Set<Promise<void>>();
  function endLater(service: ServiceRecord, last: () => void | Promise<void>): void {
    const ending = end(service, last).finally(() => endings.delete(ending));
    endings.add(ending);
  }
  function stop(service: ServiceRecord): void {
    enter(service, 'Stopping', 'Service is stopping');
    endLater(service, () => {
      // Deleted meanwhile, it stays so.
      if (service.status === 'Stopping') enter(service, 'Stopped', isClosing ? CLOSED : 'Service is stopped');
    });
  }
  function openFleet(service: ServiceRecord, { signal }: AbortController): Fleet {
    const report = {
      enter: (status: string, text: string) => enter(service, status, text),
      event: (type: 'Normal' | 'Warning', reason: string, text: string) => addEvent(service, type, reason, text),
      count(ready: number) {
        service.readyInstances = ready;
        services.put(service.name, service);
      },
    };
    return createFleet(host, service, report, signal);
  }
  return {
    start(service) {
      const before = live.get(service.name)?.done;
      const ending = new AbortController();
      const fleet = openFleet(service, ending);
      const task: LiveService = { service, stop: ending, fleet, done: Promise.resolve() };
      live.set(service.name, task);
      if (service.status !== 'Creating') enter(service, 'Waiting', 'Service is waiting for its instance');
      task.done = Promise.resolve(before).then(() => run(task));
    },
    stop,
    remove(service) {
      enter(service, 'Deleting', 'Service is being deleted');
      endLater(service, async () => {
        await removeTraces(host, `services/${service.name}`);
        services.delete(service.name);
      });
    },
    change(service, status, message) {
      const task = live.get(service.name);
      if (!task || task.stop.signal.aborted || service.status === 'Failed') return services.put(service.name, service);
      enter(service, service.status === 'Running' ? status : service.status, message);
      task.fleet.wake();
    },
    restart(service) {
      const task = live.get(service.name);
      if (!task || task.stop.signal.aborted) return;
      enter(service, 'Waiting', 'Service is restarting');
      task.fleet.restart();
    },
    route(name) {
      const task = live.get(name);
      return task && !task.stop.signal.aborted && task.service.status !== 'Failed' ? task.fleet.nextPort() : undefined;
    },
    instances: (name) => live.get(name)?.fleet.instances() ?? [],
    async close() {
      isClosing = true;
      const ended = ['Stopping', 'Stopped', 'Deleting', 'Failed'];
      for (const task of live.values()) {
        if (!ended.includes(task.service.status)) stop(task.service);
        void task.fleet.terminate(CLOSE_GRACE_MS);
      }
      await Promise.all(endings);
      await Promise.all([...live.values()].map((task) => task.done));
    },
  };
}
