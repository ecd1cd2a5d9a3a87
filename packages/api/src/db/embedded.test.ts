import { execFile, spawn } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runOn } from '../../test/test-database.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from './embedded.ts';
import { type Account, locateBinaries, usableBinaries } from './embedded-binaries.ts';

const isRoot = process.getuid?.() === 0;
let dataDirectory: string;
const cluster = () => join(dataDirectory, 'postgres');

beforeAll(async () => {
  dataDirectory = await mkdtemp(join(tmpdir(), 'cpt-embedded-'));
  await chmod(dataDirectory, 0o755); // as root, the server runs as another user
  const server = await startEmbeddedPostgres({ dataDirectory });
  await runOn(server.url, "create table kept as select 'first' as word");
  await server.stop();
});
afterAll(() => rm(dataDirectory, { recursive: true, force: true }));

const kept = async ({ url }: EmbeddedPostgres) =>
  (await runOn<{ word: string }>(url, 'select word from kept'))[0]?.word;

/** Runs `use` on a server over the cluster of all tests, and stops it. */
async function withServer<T>(use: (server: EmbeddedPostgres) => Promise<T>): Promise<T> {
  const server = await startEmbeddedPostgres({ dataDirectory });
  try {
    return await use(server);
  } finally {
    await server.stop();
  }
}

/** What a killed owner leaves: a lock in the name of a process that is gone. */
async function forgetOwner(): Promise<void> {
  await writeFile(join(cluster(), 'owner-1.json'), JSON.stringify({ pid: 2 ** 22 + 1, startedAt: 'before' }));
}

describe('startEmbeddedPostgres', () => {
  it('keeps what was committed, and ends its server when it is stopped', async () => {
    const pid = await withServer(async (server) => {
      expect(server.directory).toBe(cluster());
      expect(await kept(server)).toBe('first');
      return server.pid;
    });
    expect(() => process.kill(pid, 0)).toThrow('ESRCH');
    expect(await readdir(cluster())).toEqual(['data', 'password', 'server.log']);
  });

  it('loses nothing at a power cut, and answers only on loopback and with the password', async () => {
    await withServer(async ({ url }) => {
      const read = async (name: string) => (await runOn<Record<string, string>>(url, `show ${name}`))[0]?.[name];
      expect(await read('fsync')).toBe('on');
      expect(await read('synchronous_commit')).toBe('on');
      expect(await read('full_page_writes')).toBe('on');
      expect(await read('listen_addresses')).toBe('127.0.0.1');
      expect(await read('unix_socket_directories')).toBe('');
      const guess = new URL(url);
      guess.password = 'password';
      await expect(runOn(guess.href, 'select 1')).rejects.toMatchObject({ code: '28P01' });
      expect((await stat(join(cluster(), 'password'))).mode & 0o777).toBe(0o600);
    });
  });

  it('refuses a data directory that is in use, naming the process', async () => {
    await withServer(async (server) => {
      const second = startEmbeddedPostgres({ dataDirectory });
      await expect(second).rejects.toMatchObject({ code: 'CPT_CONFIG_DATA_DIRECTORY_IN_USE' });
      await expect(second).rejects.toThrow(`is used by process ${process.pid};`);
      expect(await kept(server)).toBe('first');
    });
  });

  it('takes another port when the one it picked is taken', async () => {
    const blocker: Server = createServer();
    await new Promise<void>((resolve) => blocker.listen(0, '127.0.0.1', resolve));
    const { port: taken } = blocker.address() as { port: number };
    const ports = [taken, taken, 0];
    const server = await startEmbeddedPostgres({
      dataDirectory,
      pickPort: async () => ports.shift() || freePort(),
    });
    expect(await kept(server)).toBe('first');
    expect(new URL(server.url).port).not.toBe(String(taken));
    await server.stop();
    blocker.close();
  });

  it('stops the server of an owner that was killed, and starts its own', async () => {
    const left = await startEmbeddedPostgres({ dataDirectory });
    await runOn(left.url, "update kept set word = 'second'");
    await forgetOwner();
    const lines: string[] = [];
    const server = await startEmbeddedPostgres({ dataDirectory, log: (line) => lines.push(line) });
    await left.exited;
    expect(lines).toEqual([expect.stringContaining('left behind')]);
    expect(await kept(server)).toBe('second');
    await server.stop();
  });

  it('recovers when the server was killed', async () => {
    await withServer(async (server) => {
      await runOn(server.url, "update kept set word = 'third'");
      process.kill(server.pid, 'SIGKILL');
      await server.exited;
    });
    expect(await readdir(join(cluster(), 'data'))).toContain('postmaster.pid');
    expect(await withServer(kept)).toBe('third');
  });

  it('starts when postmaster.pid names a process that is none of its own, and spares that', async () => {
    const data = join(cluster(), 'data');
    // Of the same user: PostgreSQL itself tells only the processes of other users from its own.
    const { uid, gid } = await stat(data);
    const stranger = spawn('sleep', ['60'], isRoot ? { uid, gid, cwd: '/' } : {});
    await writeFile(join(data, 'postmaster.pid'), `${stranger.pid}\n${data}\n1\n`);
    expect(await withServer(kept)).toBe('third');
    expect(stranger.exitCode).toBeNull();
    stranger.kill();
  });

  it('makes the cluster anew when an earlier attempt was interrupted', async () => {
    const interrupted = join(dataDirectory, 'interrupted');
    await mkdir(join(interrupted, 'postgres', 'data.tmp-1234', 'base'), { recursive: true });
    const server = await startEmbeddedPostgres({ dataDirectory: interrupted });
    await server.stop();
    expect(await readdir(join(interrupted, 'postgres'))).toEqual(['data', 'password', 'server.log']);
  });

  it('refuses a cluster of another major version and leaves it alone', async () => {
    const old = join(dataDirectory, 'old');
    await mkdir(join(old, 'postgres', 'data'), { recursive: true });
    await writeFile(join(old, 'postgres', 'data', 'PG_VERSION'), '17\n');
    await expect(startEmbeddedPostgres({ dataDirectory: old })).rejects.toMatchObject({
      code: 'CPT_CONFIG_DATA_DIRECTORY',
      message: expect.stringMatching(/made by PostgreSQL 17, this is PostgreSQL 18\./),
    });
    expect(await readFile(join(old, 'postgres', 'data', 'PG_VERSION'), 'utf8')).toBe('17\n');
    expect(await readdir(join(old, 'postgres'))).not.toContain('owner-1.json');
  });

  it('says why the server did not start, and starts when that is gone', async () => {
    const settings = join(cluster(), 'data', 'postgresql.auto.conf');
    await writeFile(settings, 'no_such_setting = 1\n');
    await expect(startEmbeddedPostgres({ dataDirectory })).rejects.toMatchObject({
      code: 'CPT_SERVICE_DATABASE',
      message: expect.stringContaining('no_such_setting'),
    });
    await writeFile(settings, '');
    expect(await withServer(kept)).toBe('third');
  });

  it('names a data directory that cannot be', async () => {
    const file = join(dataDirectory, 'file');
    await writeFile(file, '');
    await expect(startEmbeddedPostgres({ dataDirectory: file })).rejects.toMatchObject({
      code: 'CPT_CONFIG_DATA_DIRECTORY',
      message: expect.stringContaining(`${file}/postgres: it cannot be made`),
    });
  });
});

describe.runIf(isRoot)('as root, below a directory that only root may enter', () => {
  it('puts the cluster where its user can reach it, and finds it again', async () => {
    const closed = await mkdtemp(join(tmpdir(), 'cpt-closed-'));
    const lines: string[] = [];
    const start = () => startEmbeddedPostgres({ dataDirectory: join(closed, 'data'), log: (line) => lines.push(line) });
    const first = await start();
    await runOn(first.url, "create table kept as select 'here' as word");
    await first.stop();
    const second = await start();
    expect(await kept(second)).toBe('here');
    await second.stop();
    expect(second.directory).toMatch(/^\/tmp\/pai-cpt-postgres\/data-[0-9a-f]{12}$/);
    expect(lines[0]).toContain(`the database is in ${second.directory}`);
    expect(await readdir(join(closed, 'data'))).toEqual([]);
    await rm(second.directory, { recursive: true });
    await rm(closed, { recursive: true });
  });

  /** The user that the server runs as here. */
  async function findAccount(): Promise<Account> {
    const { uid, gid } = await stat(join(cluster(), 'data'));
    return { name: 'postgres', uid, gid };
  }

  it('copies the binaries for a user that cannot reach the installed ones, each library once', async () => {
    const closed = await mkdtemp(join(tmpdir(), 'cpt-closed-'));
    const { directory } = await locateBinaries();
    await symlink(directory, join(closed, 'native'));
    const installed = { directory: join(closed, 'native'), version: '18.4.0' };
    const found = await usableBinaries(installed, await findAccount(), async () => dataDirectory);
    expect(found).toEqual({ directory: join(dataDirectory, '18.4.0'), version: '18.4.0' });
    const blocks = async (root: string) =>
      Number((await promisify(execFile)('du', ['-s', root])).stdout.split('\t')[0]);
    expect(await blocks(found.directory)).toBeLessThan((await blocks(directory)) * 1.1);
    await rm(closed, { recursive: true });
  });

  it('copies them once, and again when the copy no longer works', async () => {
    const installed = { directory: await mkdtemp(join(tmpdir(), 'cpt-closed-')), version: '1' };
    await mkdir(join(installed.directory, 'bin'));
    for (const name of ['initdb', 'postgres']) {
      await writeFile(join(installed.directory, 'bin', name), '#!/bin/sh\n', { mode: 0o700 });
    }
    const home = join(dataDirectory, 'home');
    await mkdir(home);
    const account = await findAccount();
    const find = () => usableBinaries(installed, account, async () => home);
    expect(await Promise.all([find(), find()])).toEqual(
      [1, 2].map(() => ({ directory: join(home, '1'), version: '1' })),
    );
    expect(await readdir(home)).toEqual(['1']);

    await writeFile(join(home, '1', 'marker'), '');
    await find();
    expect(await readdir(join(home, '1'))).toEqual(['bin', 'marker']);
    await chmod(join(home, '1', 'bin', 'postgres'), 0o600);
    await find();
    expect(await readdir(join(home, '1'))).toEqual(['bin']);
    await rm(installed.directory, { recursive: true });
  });
});

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number };
      probe.close(() => resolve(port));
    });
  });
}
