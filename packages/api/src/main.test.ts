import { type ChildProcess, spawn } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest';

const MAIN = fileURLToPath(new URL('main.ts', import.meta.url));
const LOADER = new URL('../../../checks/register-typescript.mjs', import.meta.url).href;

let directory: string;
const running = new Set<ChildProcess>();

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'cpt-main-'));
  await chmod(directory, 0o755); // as root, the database runs as another user
});
afterEach(() => {
  for (const child of running) child.kill('SIGKILL');
});
afterAll(() => rm(directory, { recursive: true, force: true }));

/** The program with nothing in its environment but what is given: no PATH, no HOME. */
function startProgram(environment: Record<string, string>, options: string[] = [], stdin: 'pipe' | 'ignore' = 'pipe') {
  const flags = ['--conditions=development', '--import', LOADER, MAIN, ...options];
  const env = { PAI_REGION: 'cn-hangzhou', ...environment };
  const child = spawn(process.execPath, flags, { env, cwd: directory, stdio: [stdin, 'pipe', 'pipe'] });
  running.add(child);
  let [out, err] = ['', ''];
  child.stdout?.on('data', (data) => (out += data));
  child.stderr?.on('data', (data) => (err += data));
  const ended = new Promise<{ code: number | null; signal: string | null; out: string; err: string }>((resolve) => {
    child.once('close', (code, signal) => {
      running.delete(child);
      resolve({ code, signal, out, err });
    });
  });
  const url = new Promise<string>((resolve, reject) => {
    child.stdout?.on('data', () => {
      const line = /^(.*)\n/.exec(out)?.[1];
      if (line !== undefined) resolve(JSON.parse(line).url);
    });
    void ended.then(({ err: why }) => reject(new Error(`it ended: ${why}`)));
  });
  url.catch(() => undefined); // not every test waits for it
  return { child, ended, url };
}

const database = () => ({ DATABASE_URL: inject('embeddedUrl') });
const postmaster = async (data: string) =>
  Number((await readFile(join(directory, data, 'postgres', 'data', 'postmaster.pid'), 'utf8')).split('\n')[0]);

/** False also for a zombie, which nobody reaps where process 1 does not. */
async function isAlive(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return stat !== '' && !/\) Z /.test(stat);
}

function occupy(port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}

describe('cpt-api with its own PostgreSQL', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)(
    'prints one line, answers, and on %s ends with its database',
    async (signal) => {
      const { child, ended, url } = startProgram({ DATA_DIR: 'data', PORT: '0' });
      const base = await url;
      expect(base).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
      expect(await (await fetch(`${base}/healthz`)).json()).toEqual({ status: 'ok' });
      const pid = await postmaster('data');
      expect(await isAlive(pid)).toBe(true);
      child.kill(signal);
      const { code, out } = await ended;
      expect(code).toBe(0);
      expect(out).toBe(`${JSON.stringify({ url: base })}\n`);
      expect(await isAlive(pid)).toBe(false);
    },
  );

  it('takes over what a killed process left behind, and goes when its parent goes', async () => {
    const first = startProgram({ DATA_DIR: 'data', PORT: '0' });
    await first.url;
    const left = await postmaster('data');
    first.child.kill('SIGKILL');
    await first.ended;
    expect(await isAlive(left)).toBe(true);

    const second = startProgram({ DATA_DIR: 'data', PORT: '0' }, ['--exit-with-parent']);
    await second.url;
    expect(await isAlive(left)).toBe(false);
    const own = await postmaster('data');

    const third = await startProgram({ DATA_DIR: 'data', PORT: '0' }).ended;
    expect(third).toMatchObject({ code: 1, out: '' });
    expect(third.err).toMatch(new RegExp(`^error: [^\n]* is used by process ${second.child.pid};[^\n]*\n$`));

    second.child.stdin?.end();
    expect((await second.ended).code).toBe(0);
    expect(await isAlive(own)).toBe(false);
  });

  it('fails when its database ends', async () => {
    const { ended, url } = startProgram({ DATA_DIR: 'data', PORT: '0' });
    await url;
    process.kill(await postmaster('data'), 'SIGKILL');
    const { code, err } = await ended;
    expect(code).toBe(1);
    expect(err).toContain('the embedded PostgreSQL ended by itself');
  });
});

describe('cpt-api', () => {
  it('names the variable that is wrong, in one line', async () => {
    const { code, out, err } = await startProgram({ PORT: 'http' }).ended;
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toBe('error: PORT: "http" is not a port; give 0 to 65535, 0 for any free one [CPT_CONFIG_INVALID]\n');
  });

  it('says in one line that the database is not there', async () => {
    const { code, err } = await startProgram({ DATABASE_URL: 'postgres://cpt:s3cret@127.0.0.1:1/cpt' }).ended;
    expect(code).toBe(1);
    expect(err).toMatch(/^error: the database does not answer: connect ECONNREFUSED[^\n]*\n$/);
  });

  it('does not listen elsewhere when the port it was given is taken, unless it may', async () => {
    const blocker = await occupy(0);
    const { port } = blocker.address() as { port: number };
    const refused = await startProgram({ PORT: String(port), ...database() }).ended;
    expect(refused.code).toBe(2);
    expect(refused.err).toMatch(new RegExp(`^error: PORT: ${port} on 127.0.0.1 is taken;[^\n]*\n$`));

    const allowed = startProgram({ PORT: String(port), PORT_FALLBACK: '1', ...database() });
    expect(await allowed.url).not.toContain(`:${port}`);
    allowed.child.kill();
    expect((await allowed.ended).code).toBe(0);
    blocker.close();
  });

  it('goes at once when it has no input to wait on', async () => {
    const fromNull = startProgram({ PORT: '0', ...database() }, ['--exit-with-parent'], 'ignore');
    expect((await fromNull.ended).code).toBe(0);
  });

  it('answers that PAI cannot be reached', async () => {
    const { child, ended, url } = startProgram({
      PORT: '0',
      PAI_ENDPOINT: 'http://127.0.0.1:1',
      ALIBABA_CLOUD_ACCESS_KEY_ID: 'id',
      ALIBABA_CLOUD_ACCESS_KEY_SECRET: 's3cret',
      CPT_API_TOKEN: 'tok3n',
      ...database(),
    });
    const response = await fetch(`${await url}/v1/jobs`, { headers: { authorization: 'Bearer tok3n' } });
    expect(response.status).toBe(502);
    expect(await response.json()).toMatchObject({ code: 'CPT_PAI_UNAVAILABLE', retryable: true });
    child.kill();
    expect((await ended).err).not.toMatch(/s3cret|tok3n/);
  });
});
