import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { mkdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { caller, isRunning, openSandbox, type Sandbox, until } from './client.ts';

/** The program as it is installed; `build` comes before `test`. */
const BIN = join(import.meta.dirname, '../bin/pai-local.js');
const JOBS = '/api/v1/jobs';

let sandbox: Sandbox;
let programs: ChildProcessWithoutNullStreams[];
beforeEach(async () => {
  sandbox = await openSandbox();
  programs = [];
  await mkdir(join(sandbox.directory, 'images/shell/bin'), { recursive: true });
});
afterEach(async () => {
  for (const program of programs) program.kill('SIGKILL');
  await sandbox.close();
});

function run(...more: string[]) {
  const { directory } = sandbox;
  const folders = [
    '--state',
    join(directory, 'state'),
    '--nas',
    join(directory, 'nas'),
    '--images',
    join(directory, 'images'),
  ];
  const program = spawn(process.execPath, [BIN, ...folders, '--pace', '20', ...more]);
  programs.push(program);
  const seen = { out: '', err: '' };
  program.stdout.on('data', (chunk) => {
    seen.out += chunk;
  });
  program.stderr.on('data', (chunk) => {
    seen.err += chunk;
  });
  const ended = new Promise<number | null>((resolve) => program.once('close', resolve));
  const url = async () => {
    const out = await until(
      () => seen.out,
      (text) => text.includes('\n'),
    );
    return (JSON.parse(out) as { url: string }).url;
  };
  return { program, seen, ended, url };
}
const KEY_OPTION = ['--access-key', 'testid:testsecret'];

/** Starts a job on the server and gives back the id of a process in it. */
async function startJob(url: string): Promise<number> {
  const body = {
    DisplayName: 'x',
    JobType: 'PyTorchJob',
    JobSpecs: [{ Type: 'Worker', Image: 'shell', PodCount: 1, EcsSpec: 'ecs.c6.large' }],
    UserCommand: 'sleep 60 & echo $! > /mnt/out/pid; wait',
    DataSources: [{ Uri: 'nas://fs.cn-hangzhou/out', MountPath: '/mnt/out' }],
  };
  const answer = await caller(url, '2020-12-03')('CreateJob', 'POST', JOBS, { body });
  expect(answer.status).toBe(200);
  const path = join(sandbox.directory, 'nas/fs/out/pid');
  const text = await until(() => readFile(path, 'utf8').catch(() => ''), Boolean);
  expect(await isRunning(Number(text))).toBe(true);
  return Number(text);
}
const untilGone = (pid: number) =>
  until(
    () => isRunning(pid),
    (is) => !is,
  );

describe('pai-local', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)('prints where it is, and ends everything on %s', async (signal) => {
    const { program, seen, ended, url } = run(...KEY_OPTION);
    const pid = await startJob(await url());
    program.kill(signal);
    expect(await ended).toBe(0);
    expect(await isRunning(pid)).toBe(false);
    expect(seen.out).toMatch(/^\{"url":"http:\/\/127\.0\.0\.1:\d+"\}\n$/);
    expect(seen.err).toBe('');
  });

  it('leaves nothing running when it is killed', async () => {
    const { program, ended, url } = run(...KEY_OPTION);
    const pid = await startJob(await url());
    program.kill('SIGKILL');
    await ended;
    await untilGone(pid);
  });

  it('ends with its parent when it is told to, and not otherwise', async () => {
    const bound = run(...KEY_OPTION, '--exit-with-parent');
    const pid = await startJob(await bound.url());
    bound.program.stdin.end();
    expect(await bound.ended).toBe(0);
    expect(await isRunning(pid)).toBe(false);

    const free = run(...KEY_OPTION);
    const url = await free.url();
    free.program.stdin.end();
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect((await caller(url, '2020-12-03')('ListJobs', 'GET', JOBS)).body.TotalCount).toBe(1);
  });

  it('takes another port when its own is taken, and says so', async () => {
    const blocker = createServer();
    await new Promise<void>((resolve) => blocker.listen(0, '127.0.0.1', resolve));
    const address = blocker.address();
    const port = String(typeof address === 'object' ? address?.port : '');
    try {
      const { seen, url } = run('--access-key', 'testid:testsecret', '--access-key', 'STS.x:s:token', '--port', port);
      const signer = { id: 'STS.x', secret: 's', securityToken: 'token' };
      expect((await caller(await url(), '2020-12-03', signer)('ListJobs', 'GET', JOBS)).status).toBe(200);
      expect(await url()).not.toContain(`:${port}`);
      expect(seen.err).toBe(`pai-local: port ${port} is taken; using a free one\n`);
    } finally {
      blocker.close();
    }
  });

  it('makes a key of its own when none is given, and tells it', async () => {
    const { seen, url } = run('--port', '0');
    await url();
    const { accessKeyId: id, accessKeySecret: secret } = JSON.parse(seen.out);
    expect((await caller(await url(), '2020-12-03', { id, secret })('ListJobs', 'GET', JOBS)).status).toBe(200);
    expect((await caller(await url(), '2020-12-03')('ListJobs', 'GET', JOBS)).status).toBe(404); // another key
  });

  it.each([
    [['--access-key', 'testid'], 'ID:SECRET'],
    [[...KEY_OPTION, '--port', 'x'], 'not a whole number'],
  ])('refuses %j', async (options, message) => {
    const { ended, seen } = run(...options);
    expect(await ended).toBe(2);
    expect(seen.err).toContain(message);
    expect(seen.out).toBe('');
  });
});
