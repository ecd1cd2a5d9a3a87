import { createHash } from 'node:crypto';
import { chmod, chown, lstat, mkdir, mkdtemp, realpath, rm, rmdir, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { InvalidInputError } from '@pai-cpt/core';
import { type Account, runProgram } from './embedded-binaries.ts';

/** Where a cluster lives and who may own it. */
export interface Place {
  /** Holds `data` (the cluster), `password`, `owner-<n>.json` and `server.log`. */
  readonly directory: string;
  readonly account: Account | undefined;
}

/**
 * A folder that PostgreSQL can use: `postgres` in the data directory. Root cannot run PostgreSQL, and the user it runs
 * as may be unable to reach the data directory (a project below `/root`, a clone made with `mktemp -d`); the folder is
 * then below `fallbackHome`, under a name made from the data directory, so that it is found again.
 * @throws InvalidInputError `CPT_CONFIG_DATA_DIRECTORY` when no folder does.
 */
export async function preparePlace(dataDirectory: string, log: (line: string) => void): Promise<Place> {
  const wanted = join(resolve(dataDirectory), 'postgres');
  await mkdir(wanted, { recursive: true }).catch((cause: NodeJS.ErrnoException) => {
    throw badDirectory(wanted, `it cannot be made (${cause.code})`, cause);
  });
  const account = await serverAccount(wanted);
  const reason = await whyUnfit(wanted, account);
  if (reason === undefined) return { directory: wanted, account };
  if (!account) throw badDirectory(wanted, reason);

  await rmdir(wanted).catch(() => undefined); // stays when it is not empty
  const name = createHash('sha256')
    .update(await realpath(dataDirectory))
    .digest('hex')
    .slice(0, 12);
  const directory = join(await fallbackHome(dataDirectory), `data-${name}`);
  await mkdir(directory, { recursive: true });
  await chmod(directory, 0o755);
  const still = await whyUnfit(directory, account);
  if (still !== undefined) throw badDirectory(directory, still);
  log(`user ${account.name} cannot use ${wanted} (${reason}); the database is in ${directory}`);
  return { directory, account };
}

/** The user to run the server as: the owner of an existing cluster, else `postgres`, which is created when missing. */
async function serverAccount(place: string): Promise<Account | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const cluster = await stat(join(place, 'data')).catch(() => undefined);
  if (cluster && cluster.uid !== 0) return { name: `uid ${cluster.uid}`, uid: cluster.uid, gid: cluster.gid };
  return (await lookUpAccount('postgres')) ?? createAccount('postgres');
}

async function lookUpAccount(name: string): Promise<Account | undefined> {
  const [uid, gid] = [await runProgram('id', ['-u', name]), await runProgram('id', ['-g', name])];
  return uid.isOk && gid.isOk ? { name, uid: Number(uid.output), gid: Number(gid.output) } : undefined;
}

async function createAccount(name: string): Promise<Account> {
  const args = ['--system', '--user-group', '--no-create-home', '--shell', '/usr/sbin/nologin', name];
  const { output } = await runProgram('useradd', args);
  const account = await lookUpAccount(name); // two processes may have tried; one success is enough
  if (account) return account;
  throw new InvalidInputError(
    'CPT_CONFIG_INVALID',
    `PostgreSQL does not run as root, and user ${name} cannot be created: ${output}; run as another user or set DATABASE_URL`,
    { field: 'DATABASE_URL' },
  );
}

/** Tries it for real, as the account: modes alone say nothing of access lists, network file systems and read-only mounts. */
async function whyUnfit(directory: string, account: Account | undefined): Promise<string | undefined> {
  let probe: string | undefined;
  try {
    probe = await mkdtemp(join(directory, '.probe-'));
    if (account) await chown(probe, account.uid, account.gid);
    if (((await stat(probe)).mode & 0o777) !== 0o700) return 'its file system does not keep file modes';
    if (!account) return undefined;
    const { isOk } = await runProgram('/bin/sh', ['-c', 'cd "$1" && : > written', 'sh', probe], account);
    return isOk ? undefined : 'a directory above it is closed to that user';
  } catch (error) {
    return (error as Error).message;
  } finally {
    if (probe !== undefined) await rm(probe, { recursive: true, force: true });
  }
}

/**
 * The folder for what cannot lie in the project, entered by everyone and written by root alone. What belongs to a
 * temporary data directory is temporary too; anything else must survive a reboot, and cleaners of `/tmp`.
 */
export async function fallbackHome(dataDirectory: string): Promise<string> {
  const inside = await realpath(dataDirectory);
  const temporary = [await realpath(tmpdir()), '/tmp', '/var/tmp'];
  const isTemporary = temporary.some((root) => !relative(root, inside).startsWith('..'));
  const home = join(isTemporary ? '/tmp' : '/var/lib', 'pai-cpt-postgres');
  await mkdir(home, { mode: 0o755, recursive: true });
  const { uid, mode } = await lstat(home);
  // In /tmp anyone may have been first, and what lies here is executed.
  if (uid !== 0) throw badDirectory(home, `it belongs to uid ${uid} and must belong to root`);
  if ((mode & 0o170000) !== 0o040000) throw badDirectory(home, 'it is not a directory');
  await chmod(home, 0o755);
  return home;
}

function badDirectory(directory: string, reason: string, cause?: unknown): InvalidInputError {
  return new InvalidInputError(
    'CPT_CONFIG_DATA_DIRECTORY',
    `${directory}: ${reason}; set DATA_DIR to another directory, or DATABASE_URL to a PostgreSQL server`,
    { field: 'DATA_DIR', file: directory },
    { cause },
  );
}
