import { mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { InvalidInputError } from '@pai-cpt/core';
import { type Clock, systemClock } from './clock.ts';
import { type Image, imageEnvironment } from './images.ts';
import { type Mount, type PlacedMount, rewriteMounts } from './mounts.ts';
import { type ProcessGroup, startProcessGroup } from './process-group.ts';
import { openLogWriter } from './process-log.ts';
import { createUsageSampler, type UsageSampler } from './process-usage.ts';
import { type Reaper, startReaper } from './reaper.ts';

/** The machine that jobs and services run on. */
export interface Host {
  readonly clock: Clock;
  /** How long each passing state lasts at least, in milliseconds. */
  readonly paceMs: number;
  readonly stateDirectory: string;
  /** These three are free of characters that a shell would split or expand; the first is the state directory. */
  readonly mountsDirectory: string;
  readonly imagesDirectory: string;
  readonly nasDirectory: string;
  readonly reaper: Reaper;
  /** What containers use, each under its owner and name: `jobs/<job>/<pod>`. */
  readonly usage: UsageSampler;
  close(): Promise<void>;
}

/** Prepares the directories of a host. */
export async function openHost(options: {
  clock: Clock;
  paceMs: number;
  stateDirectory: string;
  imagesDirectory: string;
  nasDirectory: string;
}): Promise<Host> {
  await mkdir(options.stateDirectory, { recursive: true });
  const unlock = await lockState(options.stateDirectory);
  await mkdir(options.nasDirectory, { recursive: true });
  const links: string[] = [];
  const plain = async (directory: string): Promise<string> => {
    const path = resolve(directory);
    if (/^[\w./+@%,:=-]+$/.test(path)) return path;
    const folder = await mkdtemp(join(tmpdir(), 'pai-local-'));
    links.push(folder);
    await symlink(path, join(folder, 'd'));
    return join(folder, 'd');
  };
  const reaper = startReaper();
  const usage = createUsageSampler(options.clock.now);
  return {
    clock: options.clock,
    paceMs: options.paceMs,
    stateDirectory: resolve(options.stateDirectory),
    mountsDirectory: await plain(options.stateDirectory),
    imagesDirectory: await plain(options.imagesDirectory),
    nasDirectory: await plain(options.nasDirectory),
    reaper,
    usage,
    async close() {
      usage.close();
      reaper.close();
      for (const folder of links) await rm(folder, { recursive: true, force: true });
      await unlock();
    },
  };
}

/** Keeps a second pai-local off the directory: it would take the jobs of the first for ended. */
async function lockState(directory: string): Promise<() => Promise<void>> {
  const path = join(resolve(directory), 'pai-local.pid');
  const owner = await readFile(path, 'utf8').catch(() => undefined);
  if (owner !== undefined && isAlive(Number(owner))) {
    throw new InvalidInputError(
      'CPT_INPUT_INVALID',
      `${directory} is in use by process ${owner}; name another state directory, or remove ${path} if that is no pai-local`,
    );
  }
  await rm(path, { force: true });
  await writeFile(path, String(process.pid), { flag: 'wx' });
  return () => rm(path, { force: true });
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** The log of a pod or service instance; `owner` is its job or service. */
export function logPath(host: Host, owner: string, name: string): string {
  return join(host.stateDirectory, 'logs', owner, `${name}.log`);
}

/** Removes what the processes of a job or service left outside its mounts. */
export async function removeTraces(host: Host, owner: string): Promise<void> {
  host.usage.forget(`${owner}/`);
  await rm(join(host.stateDirectory, 'logs', owner), { recursive: true, force: true });
  await rm(join(host.stateDirectory, 'work', owner), { recursive: true, force: true });
}

/** A command in an image, with its mounts. */
export interface Container {
  readonly owner: string;
  readonly name: string;
  /** Of its log and its working folder, where it is not the first of this name: a new pod has an empty disk. */
  readonly traceName?: string;
  readonly image: Image;
  readonly command: string;
  /** What the user set; mount paths in it are replaced like those in the command. */
  readonly env: Readonly<Record<string, string>>;
  /** What the platform sets; it wins. */
  readonly platformEnv: Readonly<Record<string, string>>;
  readonly mounts: readonly Mount[];
  /** Makes the mounted folders that are missing; without it they are an error. */
  readonly makesMounts: boolean;
}

/**
 * Starts the container in a folder of its own, which is also its HOME.
 * @throws InvalidInputError `CPT_INPUT_FILE_MISSING` for a mounted folder that is not there.
 */
export async function startContainer(host: Host, container: Container): Promise<ProcessGroup> {
  const { traceName = container.name } = container;
  const directory = join(host.stateDirectory, 'work', container.owner, traceName);
  await mkdir(directory, { recursive: true });
  const mounts = await Promise.all(container.mounts.map((mount) => placeMount(host, mount, container.makesMounts)));
  const userEnv = Object.entries(container.env).map(([name, value]) => [name, rewriteMounts(value, mounts)]);
  const started = startProcessGroup({
    command: rewriteMounts(container.command, mounts),
    directory,
    env: {
      ...imageEnvironment(container.image, directory, process.env.PATH ?? ''),
      ...Object.fromEntries(userEnv),
      ...container.platformEnv,
    },
    log: openLogWriter(logPath(host, container.owner, traceName), host.clock.now),
    reaper: host.reaper,
    clock: systemClock, // processes live in real time, whatever the time of the server
  });
  const usageName = `${container.owner}/${container.name}`;
  const { pid } = started;
  if (pid !== undefined) {
    host.usage.watch(usageName, pid);
    void started.exited.then(() => host.usage.unwatch(usageName, pid));
  }
  return started;
}

async function placeMount(host: Host, mount: Mount, makesMounts: boolean): Promise<PlacedMount> {
  const hostPath = mount.hostPath ?? join(host.nasDirectory, mount.nasPath);
  if (makesMounts) await mkdir(hostPath, { recursive: true });
  const found = await stat(hostPath).catch(() => undefined);
  if (found?.isDirectory()) return { ...mount, hostPath };
  throw new InvalidInputError(
    'CPT_INPUT_FILE_MISSING',
    `${mount.mountPath}: there is no folder ${hostPath} to mount; check the path on the NAS`,
    { file: hostPath },
  );
}

/** A TCP port that was free a moment ago. */
export function findFreePort(): Promise<number> {
  return new Promise((done, fail) => {
    const server = createServer();
    server.once('error', fail);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => done(port));
    });
  });
}
