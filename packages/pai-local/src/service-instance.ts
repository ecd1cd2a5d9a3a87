import { get } from 'node:http';
import type { Clock } from './clock.ts';
import { findFreePort, type Host, logPath, startContainer } from './host.ts';
import { openImage } from './images.ts';
import type { ProcessGroup } from './process-group.ts';
import { readNewestLines } from './process-log.ts';
import { parseServiceRequest, rewritePort } from './service-request.ts';
import type { ServiceRecord } from './state.ts';

/** One process group of a service, which listens on a port of the loopback. */
export interface Instance {
  readonly name: string;
  readonly index: number;
  readonly version: number;
  readonly process: ProcessGroup;
  readonly port: number;
  readonly startedAt: number;
  /** When it first answered. */
  readyAt?: number;
  /** Why it ended, with its exit code and its last line. */
  readonly exited: Promise<string>;
}

const PROBE_MS = 100;
const PROBE_TIMEOUT_MS = 2000;
/** A large model loads for minutes; past this it is stuck. */
const START_LIMIT_MS = 30 * 60_000;

/** Starts an instance of the service's present version. It may not answer yet: see `untilReady`. */
export async function startInstance(
  host: Host,
  service: ServiceRecord,
  index: number,
  signal: AbortSignal,
): Promise<Instance> {
  const { version } = service;
  const request = parseServiceRequest(configOf(service, version));
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
  const name = instanceName(service, version, index);
  const process = await startContainer(host, {
    owner: `services/${service.name}`,
    name,
    image,
    command: rewritten ?? request.script,
    env: request.env,
    platformEnv: {},
    mounts: request.mounts,
    makesMounts: false,
  });
  const exited = process.exited.then((code) => describeExit(host, service, name, code));
  return { name, index, version, process, port, startedAt: host.clock.now(), exited };
}

/** The JSON of a version. */
export const configOf = (service: ServiceRecord, version: number): Readonly<Record<string, unknown>> =>
  service.versions[version - 1] ?? {};

/** Instances of two versions run side by side while one takes the other's place. */
export function instanceName(service: ServiceRecord, version: number, index: number): string {
  const revision = version === 1 ? '' : `-v${version}`;
  return `${service.name}-${service.serviceId.slice(-8)}${revision}-${index}`;
}

async function describeExit(host: Host, service: ServiceRecord, name: string, code: number): Promise<string> {
  const window = { from: 0, to: Number.MAX_SAFE_INTEGER };
  const [last] = await readNewestLines(logPath(host, `services/${service.name}`, name), window, 1);
  return `Instance ${name} exited with code ${code}${last === undefined ? '' : `: ${last}`}`;
}

/**
 * Resolves when the instance answers: /health with success, or, where there is no /health, /v1/models with anything.
 * Rejects with why it ended instead.
 */
export async function untilReady(clock: Clock, instance: Instance, signal: AbortSignal): Promise<void> {
  const exit = new AbortController();
  const ended = instance.exited.then((message) => {
    exit.abort(); // ends the probing
    throw new Error(message);
  });
  await Promise.race([ended, probeUntilReady(clock, instance.port, AbortSignal.any([signal, exit.signal]))]);
  instance.readyAt = clock.now();
}

async function probeUntilReady(clock: Clock, port: number, signal: AbortSignal): Promise<void> {
  for (let leftMs = START_LIMIT_MS; leftMs > 0; leftMs -= PROBE_MS) {
    const health = await probe(port, '/health');
    if (health !== undefined && health < 400) return;
    if (health === 404 && ((await probe(port, '/v1/models')) ?? 500) < 500) return;
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
