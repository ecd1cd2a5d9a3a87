import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { InvalidInputError } from '@pai-cpt/core';
import { type Admission, createAdmission, machineResource, quotaResource } from './admission.ts';
import { answerApiRequest, answerPlainRequest, type Endpoint, type PlainRequest } from './api-endpoint.ts';
import { type Clock, isVirtual, systemClock } from './clock.ts';
import { CONTROL_PREFIX, handleControlRequest } from './control.ts';
import { createFaults, type Faults } from './faults.ts';
import type { WireAnswer } from './faulty-answer.ts';
import { GATEWAY_PREFIX, handleGatewayRequest } from './gateway.ts';
import { type Host, openHost } from './host.ts';
import { parseJobRequest } from './job-request.ts';
import { createJobRunner } from './job-runner.ts';
import { dlcOperations } from './routes/dlc.ts';
import { easOperations } from './routes/eas.ts';
import type { Here } from './routes/eas-operation.ts';
import { jobMetricsOperation } from './routes/job-metrics.ts';
import { QUOTA_GPUS } from './routes/quotas.ts';
import type { Scenario } from './scenario.ts';
import { createServiceRunner } from './service-runner.ts';
import { createTraffic } from './service-traffic.ts';
import { type AccessKey, signatureVerifier } from './signature.ts';
import { type JobRecord, openStore, type ServiceRecord, type Store } from './state.ts';
import { openStudio, type Studio } from './studio.ts';

export interface PaiLocalOptions {
  /** Secrets by access key id; with a security token it is a temporary (STS) key. */
  readonly accessKeys: Readonly<Record<string, string | AccessKey>>;
  /** Records, logs and the working folders of processes. */
  readonly stateDirectory: string;
  /** What stands for NAS: `nas://<id>.<region>/<path>` is the folder `<id>/<path>` in it. */
  readonly nasDirectory: string;
  readonly region?: string;
  /** What stands for a registry: one folder per image. */
  readonly imagesDirectory?: string;
  /** How long each passing state lasts at least, in milliseconds. */
  readonly pace?: number;
  /** With a virtual one, signatures are dated by the clock of this machine all the same. */
  readonly clock?: Clock;
  /** Opens `/_local/faults` to whoever sends it as a bearer token; without one there is no such path. */
  readonly controlToken?: string;
  /** What StopJob does with a job that has ended, which PAI does not document; by default nothing. */
  readonly stopOfEnded?: 'ignore' | 'refuse';
  /** What jobs do instead of running, and which faults strike from the start. */
  readonly scenario?: Scenario;
}

/** A built server, and what there is to close behind it. */
export interface BuiltPaiLocal {
  readonly server: Server;
  /** Tells the APIs the address at which the gateway is reached. */
  setUrl(url: string): void;
  /** The faults that strike requests. */
  readonly faults: Faults;
  /** Takes the machine from under a pod (`preempt`), or kills it. False when no such pod runs. */
  strikePod(how: 'preempt' | 'kill', podId: string): boolean;
  /** Answers without a socket and without a signature, for simulations in one process. */
  answer(request: PlainRequest): Promise<WireAnswer>;
  /** Ends every job and service, and writes what became of them. */
  close(): Promise<void>;
}

/** A server that listens. */
export interface PaiLocal {
  readonly url: string;
  readonly faults: Faults;
  readonly strikePod: BuiltPaiLocal['strikePod'];
  close(): Promise<void>;
}

const DEFAULT_PACE_MS = 200;

/**
 * A local PAI without a port yet: its HTTP server, with the jobs and services of an earlier run loaded.
 * @throws InvalidInputError `CPT_INPUT_INVALID` when no access key is given, or the state directory is in use
 * @throws FormatError `CPT_FORMAT_STATE_FILE`
 */
export async function buildPaiLocal(options: PaiLocalOptions): Promise<BuiltPaiLocal> {
  const accessKeys = new Map(
    Object.entries(options.accessKeys).map(([id, key]): [string, AccessKey] => [
      id,
      typeof key === 'string' ? { secret: key } : key,
    ]),
  );
  if (accessKeys.size === 0) throw new InvalidInputError('CPT_INPUT_INVALID', 'give at least one access key');
  const clock = options.clock ?? systemClock;
  const host = await openHost({
    clock,
    paceMs: options.pace ?? DEFAULT_PACE_MS,
    stateDirectory: options.stateDirectory,
    imagesDirectory: options.imagesDirectory ?? fileURLToPath(new URL('../images', import.meta.url)),
    nasDirectory: options.nasDirectory,
  });
  try {
    const jobs = await openStore<JobRecord>(join(host.stateDirectory, 'jobs'), 'job');
    const services = await openStore<ServiceRecord>(join(host.stateDirectory, 'services'), 'service');
    const quotas = [...QUOTA_GPUS].map(([id, gpus]) => [quotaResource(id), gpus]);
    const stock = Object.entries(options.scenario?.stock ?? {}).map(([type, count]) => [machineResource(type), count]);
    const admission = createAdmission(Object.fromEntries([...quotas, ...stock]));
    const here = { url: '', region: options.region ?? 'cn-hangzhou' };
    const studio = await openStudio(host, here.region, admission);
    const verify = signatureVerifier(accessKeys, isVirtual(clock) ? systemClock.now : clock.now);
    const isDenied = (id: string, action: string) => accessKeys.get(id)?.denies?.includes(action) ?? false;
    return assemble(host, here, jobs, services, studio, admission, { verify, isDenied }, options);
  } catch (error) {
    await host.close();
    throw error;
  }
}

function assemble(
  host: Host,
  here: Here,
  jobs: Store<JobRecord>,
  services: Store<ServiceRecord>,
  studio: Studio,
  admission: Admission,
  who: Pick<Endpoint, 'verify' | 'isDenied'>,
  { controlToken, scenario, stopOfEnded }: PaiLocalOptions,
): BuiltPaiLocal {
  const jobRunner = createJobRunner(
    host,
    jobs,
    ({ request }) => parseJobRequest(request, studio.uriOfDataset),
    admission,
    scenario?.jobs,
  );
  const serviceRunner = createServiceRunner(host, services);
  const traffic = createTraffic(services, serviceRunner);
  const operations = [
    ...dlcOperations(host, jobs, jobRunner, studio.uriOfDataset, admission, stopOfEnded),
    jobMetricsOperation(host, jobs, scenario?.jobs),
    ...easOperations(host, here, services, serviceRunner),
    ...studio.operations,
  ];
  async function closeAll(): Promise<void> {
    await Promise.all([jobRunner.close(), serviceRunner.close(), studio.close()]);
    await Promise.all([jobs.flush(), services.flush(), studio.flush()]).finally(() => host.close());
  }
  const faults = createFaults();
  if (scenario?.faults) faults.set(scenario.faults);
  const controlled = { faults, runner: jobRunner, clock: host.clock, admission };
  const endpoint = { operations, ...who, faults, clock: host.clock };
  let closing: Promise<void> | undefined;
  return {
    faults,
    strikePod: (how, podId) => jobRunner.strike(how, podId),
    answer: (request) => answerPlainRequest(endpoint, request),
    server: createServer((incoming, outgoing) => {
      const { url = '' } = incoming;
      if (url.startsWith(GATEWAY_PREFIX)) handleGatewayRequest(traffic, incoming, outgoing);
      else if (url.startsWith(CONTROL_PREFIX)) void handleControlRequest(controlled, controlToken, incoming, outgoing);
      else void answerApiRequest(endpoint, incoming, outgoing);
    }),
    setUrl(url) {
      here.url = url;
    },
    close() {
      closing ??= closeAll();
      return closing;
    },
  };
}

/**
 * Starts a local PAI on `port` of the loopback, a free one by default.
 * Rejects with the system's error, code `EADDRINUSE`, when the port is taken.
 */
export async function startPaiLocal(options: PaiLocalOptions & { readonly port?: number }): Promise<PaiLocal> {
  const built = await buildPaiLocal(options);
  const { server } = built;
  try {
    await listen(server, options.port ?? 0);
  } catch (error) {
    await built.close();
    throw error;
  }
  const address = server.address();
  const url = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
  built.setUrl(url);
  return {
    url,
    faults: built.faults,
    strikePod: built.strikePod,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      await built.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      server.off('error', reject);
      resolve();
    });
  });
}
