import { setMaxListeners } from 'node:events';
import { describeError } from '@pai-cpt/core/node';
import { type AutoScaler, type CurrentMetric, createAutoScaler, type ServiceLoad } from './auto-scaler.ts';
import { runCronScaler } from './cron-scaler.ts';
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
  /** A request for the service has come to the gateway, whether or not anything takes it. */
  countRequest(name: string): void;
  /** What the auto scaler of the service last measured. */
  currentMetrics(name: string): readonly CurrentMetric[];
  /** The instances that have a process. */
  instances(name: string): ReturnType<Fleet['instances']>;
  close(): Promise<void>;
}

interface LiveService {
  readonly service: ServiceRecord;
  /** Aborted when the service is to end. */
  readonly stop: AbortController;
  readonly fleet: Fleet;
  readonly scaler: AutoScaler;
  requests: number;
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
  const closing = new AbortController();
  setMaxListeners(0, closing.signal); // one for each service that is ending

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

  async function run({ service, stop, fleet, scaler }: LiveService): Promise<void> {
    const ended = new AbortController();
    const over = AbortSignal.any([stop.signal, ended.signal]);
    void scaler.run(over);
    void runCronScaler(clock, service, (instances, why) => scale(service, instances, why), over);
    const message = await fleet.run().catch(describeError);
    ended.abort();
    if (!stop.signal.aborted) enter(service, 'Failed', message);
    await fleet.terminate(closing.signal.aborted ? CLOSE_GRACE_MS : GRACE_MS);
  }
  /** Ends the processes of a service, if it has some, and then does `last`. */
  async function end(service: ServiceRecord, last: () => void | Promise<void>): Promise<void> {
    const task = live.get(service.name);
    task?.stop.abort();
    await clock.sleep(paceMs, closing.signal).catch(() => {});
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
      if (service.status === 'Stopping')
        enter(service, 'Stopped', closing.signal.aborted ? CLOSED : 'Service is stopped');
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
  function change(service: ServiceRecord, status: 'Scaling' | 'Updating', message: string): void {
    const task = live.get(service.name);
    if (!task || task.stop.signal.aborted || service.status === 'Failed') {
      services.put(service.name, service);
      return;
    }
    enter(service, service.status === 'Running' ? status : service.status, message);
    task.fleet.wake();
  }
  function scale(service: ServiceRecord, instances: number, why: string): void {
    service.instances = instances;
    change(service, 'Scaling', why);
  }
  function loadOf(name: string): ServiceLoad | undefined {
    const task = live.get(name);
    if (!task) return undefined;
    const instances = task.fleet.instances();
    return {
      requests: task.requests,
      instances: instances.length,
      cpuPercent(since) {
        const means = instances.flatMap((instance) => {
          const samples = host.usage.samplesOf(`services/${name}/${instance.name}`).filter(({ at }) => at >= since);
          const sum = samples.reduce((total, { cpuPercent }) => total + cpuPercent, 0);
          return samples.length === 0 ? [] : [sum / samples.length];
        });
        return means.length === 0 ? undefined : means.reduce((a, b) => a + b);
      },
    };
  }
  const openScaler = (service: ServiceRecord): AutoScaler =>
    createAutoScaler(clock, service, loadOf, {
      scale: (instances, why) => scale(service, instances, why),
      warn: (reason, message) => addEvent(service, 'Warning', reason, message),
    });
  return {
    start(service) {
      const before = live.get(service.name)?.done;
      const ending = new AbortController();
      const fleet = openFleet(service, ending);
      const scaler = openScaler(service);
      const task: LiveService = { service, stop: ending, fleet, scaler, requests: 0, done: Promise.resolve() };
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
    change,
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
    countRequest(name) {
      const task = live.get(name);
      if (!task) return;
      task.scaler.onRequest();
      task.requests += 1;
    },
    currentMetrics: (name) => live.get(name)?.scaler.current() ?? [],
    instances: (name) => live.get(name)?.fleet.instances() ?? [],
    async close() {
      closing.abort();
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
