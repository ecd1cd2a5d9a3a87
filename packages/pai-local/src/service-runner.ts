import { get } from 'node:http';
import { describeError } from '@pai-cpt/core/node';
import type { Clock } from './clock.ts';
import { findFreePort, type Host, logPath, removeTraces, startContainer } from './host.ts';
import { openImage } from './images.ts';
import type { ProcessGroup } from './process-group.ts';
import { readNewestLines } from './process-log.ts';
import { parseServiceRequest, rewritePort } from './service-request.ts';
import type { ServiceRecord, Store } from './state.ts';

/** Runs services, each as one process group that listens on a port of the loopback. */
export interface ServiceRunner {
  start(service: ServiceRecord): void;
  /** The service is `Stopping` when this returns, and later `Stopped`. */
  stop(service: ServiceRecord): void;
  /** The service is `Deleting` when this returns, and later gone. */
  remove(service: ServiceRecord): void;
  /** Where the gateway sends requests for this service; `undefined` while there is nowhere to send them. */
  route(name: string): number | undefined;
  /** True while the service has a process. */
  hasInstance(name: string): boolean;
  close(): Promise<void>;
}

interface LiveService {
  readonly service: ServiceRecord;
  /** Aborted when the service is to end. */
  readonly stop: AbortController;
  process?: ProcessGroup;
  port?: number;
  routableAt?: number;
  done: Promise<void>;
}

const PROBE_MS = 100;
const PROBE_TIMEOUT_MS = 2000;
/** A large model loads for minutes; past this it is stuck. */
const START_LIMIT_MS = 30 * 60_000;
const GRACE_MS = 5000;
const CLOSE_GRACE_MS = 2000;
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
    services.put(service.name, service);
  }
  for (const service of services.values()) {
    if (service.status === 'Deleting') services.delete(service.name);
    else if (service.status !== 'Failed' && service.status !== 'Stopped') enter(service, 'Stopped', CLOSED);
  }

  async function run(task: LiveService): Promise<void> {
    const { service, stop } = task;
    const message = await serve(host, task, (status, text) => enter(service, status, text)).catch(describeError);
    delete task.port;
    if (!stop.signal.aborted) enter(service, 'Failed', message);
    await task.process?.terminate(GRACE_MS);
    delete task.process;
    delete service.runningAt;
  }
  /** Ends the process of a service, if it has one, and then does `last`. */
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
  return {
    start(service) {
      const before = live.get(service.name)?.done;
      const task: LiveService = { service, stop: new AbortController(), done: Promise.resolve() };
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
    route(name) {
      const task = live.get(name);
      const isOpen = task?.routableAt !== undefined && clock.now() >= task.routableAt && !task.stop.signal.aborted;
      return isOpen ? task.port : undefined;
    },
    hasInstance: (name) => live.get(name)?.process !== undefined,
    async close() {
      isClosing = true;
      const ended = ['Stopping', 'Stopped', 'Deleting', 'Failed'];
      for (const task of live.values()) {
        if (!ended.includes(task.service.status)) stop(task.service);
        void task.process?.terminate(CLOSE_GRACE_MS);
      }
      await Promise.all(endings);
      await Promise.all([...live.values()].map((task) => task.done));
    },
  };
}

/** From `Creating` to the end of the process; the text says why it ended. Rejects when the service is to end. */
async function serve(host: Host, task: LiveService, enter: (status: string, message: string) => void): Promise<string> {
  const { service, stop } = task;
  const { signal } = stop;
  await host.clock.sleep(host.paceMs, signal);
  enter('Waiting', 'Service is waiting for its instance');
  const request = parseServiceRequest(service.config);
  const image = await openImage(host.imagesDirectory, request.image);
  const freePort = await findFreePort();
  const rewritten = rewritePort(request.script, request.port, freePort);
  const port = rewritten === undefined ? request.port : freePort;
  if (rewritten === undefined && (await probe(port, '/')) !== undefined) {
    throw new Error(
      `Port ${port} is in use on this machine; let the script say "--port ${port}", and it gets another.`,
    );
  }
  signal.throwIfAborted();
  const process = await startContainer(host, {
    owner: `services/${service.name}`,
    name: instanceName(service),
    image,
    command: rewritten ?? request.script,
    env: request.env,
    platformEnv: {},
    mounts: request.mounts,
    makesMounts: false,
  });
  task.process = process;
  const hasExited = process.exited.then((code) => describeExit(host, service, code));
  const exit = new AbortController();
  void hasExited.finally(() => exit.abort()); // ends the probing
  const early = await Promise.race([hasExited, untilReady(host.clock, port, AbortSignal.any([signal, exit.signal]))]);
  if (early !== undefined) return early;
  signal.throwIfAborted();
  task.port = port;
  service.runningAt = host.clock.now();
  task.routableAt = service.runningAt + host.paceMs; // on PAI, too, Running comes before the gateway knows the way
  enter('Running', 'Service is now running');
  const stopped = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
  return Promise.race([hasExited, stopped]);
}

/** The one instance of a service. */
export function instanceName(service: ServiceRecord): string {
  return `${service.name}-${service.serviceId.slice(-8)}-0`;
}

/** Where its output is kept. */
export function serviceLogPath(host: Host, service: ServiceRecord): string {
  return logPath(host, `services/${service.name}`, instanceName(service));
}

async function describeExit(host: Host, service: ServiceRecord, code: number): Promise<string> {
  const window = { from: 0, to: Number.MAX_SAFE_INTEGER };
  const [last] = await readNewestLines(serviceLogPath(host, service), window, 1);
  return `Instance ${instanceName(service)} exited with code ${code}${last === undefined ? '' : `: ${last}`}`;
}

/** Resolves when the service answers: /health with success, or, where there is no /health, /v1/models with anything. */
async function untilReady(clock: Clock, port: number, signal: AbortSignal): Promise<undefined> {
  for (let leftMs = START_LIMIT_MS; leftMs > 0; leftMs -= PROBE_MS) {
    const health = await probe(port, '/health');
    if (health !== undefined && health < 400) return undefined;
    if (health === 404 && ((await probe(port, '/v1/models')) ?? 500) < 500) return undefined;
    await clock.sleep(PROBE_MS, signal);
  }
  throw new Error(`The instance did not answer on port ${port} within ${START_LIMIT_MS / 60_000} minutes.`);
}

/** The HTTP status of `path`; `undefined` when nobody answers. */
function probe(port: number, path: string): Promise<number | undefined> {
  return new Promise((resolve) => {
    const request = get({ host: '127.0.0.1', port, path, agent: false, timeout: PROBE_TIMEOUT_MS }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    request.on('timeout', () => request.destroy(new Error('no answer')));
    request.on('error', () => resolve(undefined));
  });
}
