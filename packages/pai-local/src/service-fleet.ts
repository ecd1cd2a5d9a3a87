import { describeError } from '@pai-cpt/core/node';
import type { Host } from './host.ts';
import { type Instance, startInstance, untilReady } from './service-instance.ts';
import type { ServiceRecord } from './state.ts';

/** What a fleet tells of its service. */
export interface FleetReport {
  /** A new status; the message is for people. */
  enter(status: string, message: string): void;
  event(type: 'Normal' | 'Warning', reason: string, message: string): void;
  /** The number of instances that answer has changed. */
  count(ready: number): void;
}

/** The instances of one service: as many as it wants, of the version it wants. */
export interface Fleet {
  /** Runs until the service fails, and gives why; rejects when `signal` ends it. */
  run(): Promise<string>;
  /** Looks again at what the service wants. */
  wake(): void;
  /** Starts every instance anew. */
  restart(): void;
  instances(): readonly (Instance & { readonly restarts: number })[];
  /** The port of the next instance in turn that takes requests. */
  nextPort(): number | undefined;
  /** Ends every process. */
  terminate(graceMs: number): Promise<void>;
}

const GRACE_MS = 5000;

/** A fleet without instances yet. */
export function createFleet(host: Host, service: ServiceRecord, report: FleetReport, signal: AbortSignal): Fleet {
  const { clock, paceMs } = host;
  let alive: Instance[] = [];
  /** Told to end, and perhaps not gone yet. */
  const leaving = new Set<Instance>();
  const restarts = new Map<string, number>();
  let turn = 0;
  let wake = () => {};
  let isWoken = false;
  let restartsAll = false;

  const countReady = () => report.count(alive.filter(({ readyAt }) => readyAt !== undefined).length);
  const ofVersion = () => alive.filter(({ version }) => version === service.version);

  async function end(instances: readonly Instance[], graceMs = GRACE_MS): Promise<void> {
    alive = alive.filter((instance) => !instances.includes(instance));
    countReady();
    for (const instance of instances) leaving.add(instance);
    await Promise.all(instances.map(({ process }) => process.terminate(graceMs)));
    for (const instance of instances) leaving.delete(instance);
  }
  /** As `end`, but what an instance is answering now it answers to the end, unless that takes long. */
  async function retire(instances: readonly Instance[]): Promise<void> {
    if (instances.length === 0) return;
    alive = alive.filter((instance) => !instances.includes(instance));
    await clock.sleep(paceMs, signal).catch(() => {}); // when all end, these do not wait
    await end(instances);
  }
  async function start(index: number): Promise<Instance> {
    const instance = await startInstance(host, service, index, signal);
    alive.push(instance);
    report.event('Normal', 'Started', `Started instance ${instance.name}`);
    try {
      await untilReady(clock, instance, signal);
    } catch (error) {
      await end([instance]);
      throw error;
    }
    countReady();
    void instance.exited.then((message) => {
      if (!alive.includes(instance)) return; // ended on purpose
      alive = alive.filter((other) => other !== instance);
      countReady();
      restarts.set(instance.name, (restarts.get(instance.name) ?? 0) + 1);
      report.event('Warning', 'BackOff', message);
      lastExit = message;
      notify();
    });
    return instance;
  }
  let lastExit: string | undefined;
  function notify(): void {
    isWoken = true;
    wake();
  }

  /** Makes what runs into what is wanted. Throws why, when nothing is left that could serve. */
  async function reconcile(): Promise<void> {
    if (restartsAll) {
      restartsAll = false;
      await end(alive);
    }
    const present = ofVersion();
    const taken = new Set(present.map(({ index }) => index));
    const free = Array.from({ length: service.instances }, (_, index) => index).filter((index) => !taken.has(index));
    const missing = free.slice(0, Math.max(0, service.instances - present.length));
    const isUpdate = alive.length > present.length;
    const outcomes = await Promise.allSettled(missing.map(start));
    signal.throwIfAborted();
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed) fallBack(describeError(failed.reason), isUpdate);
    const old = alive.filter(({ version }) => version !== service.version);
    if (old.length > 0) await clock.sleep(paceMs, signal); // until the gateway knows the way to the new ones
    const surplus = ofVersion().sort((a, b) => a.index - b.index);
    await retire([...old, ...surplus.slice(service.instances)]);
  }
  /** A version that does not come up leaves the one before in place, an instance that does not, the others. */
  function fallBack(message: string, isUpdate: boolean): void {
    report.event('Warning', 'FailedStart', message);
    const before = alive.find(({ version }) => version !== service.version);
    if (isUpdate && before) {
      void end(ofVersion());
      report.event('Warning', 'RolledBack', `Version ${service.version} did not come up; ${before.version} serves on`);
      service.version = before.version;
    } else if (ofVersion().length === 0) throw new Error(message);
    else service.instances = ofVersion().length;
  }

  return {
    async run() {
      await clock.sleep(paceMs, signal);
      report.enter('Waiting', 'Service is waiting for its instance');
      for (let isFirst = true; ; isFirst = false) {
        const woken = new Promise<void>((resolve) => {
          wake = resolve;
        });
        isWoken = false;
        // The last instance that ended by itself takes the service with it.
        if (!isFirst && lastExit !== undefined && alive.length === 0) return lastExit;
        lastExit = undefined;
        await reconcile();
        if (isWoken) continue; // more was wanted meanwhile
        report.enter('Running', 'Service is now running');
        await Promise.race([woken, untilAborted(signal)]);
      }
    },
    wake: notify,
    restart() {
      restartsAll = true;
      notify();
    },
    instances: () => alive.map((instance) => ({ ...instance, restarts: restarts.get(instance.name) ?? 0 })),
    nextPort() {
      // On PAI, too, an instance runs before the gateway knows the way to it.
      const open = alive.filter(({ readyAt }) => readyAt !== undefined && clock.now() >= readyAt + paceMs);
      return open.length === 0 ? undefined : open[turn++ % open.length]?.port;
    },
    // Also a second caller waits until they are gone.
    terminate: (graceMs) => end([...alive, ...leaving], graceMs),
  };
}

function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}
