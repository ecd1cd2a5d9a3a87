import { mkdtemp, rm } from 'node:fs/promises';
import { request as send } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type PaiLocal, type PaiLocalOptions, startPaiLocal } from '../src/index.ts';
import { type Signer, sign } from './sign.ts';

export interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  // biome-ignore lint/suspicious/noExplicitAny: a body is looked into field by field, and a wrong guess fails the test
  body: any;
  text: string;
}

/** Sends one request as it is. */
export function sendRaw(
  baseUrl: string,
  request: { method: string; url: string; headers?: [string, string][]; body?: string },
): Promise<Answer> {
  const { hostname, port } = new URL(baseUrl);
  return new Promise((resolve, reject) => {
    const headers = Object.fromEntries(request.headers ?? []);
    const outgoing = send({ hostname, port, method: request.method, path: request.url, headers, agent: false });
    outgoing.on('error', reject);
    outgoing.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => {
        const isJson = text !== '' && /json/.test(response.headers['content-type'] ?? '');
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: isJson ? JSON.parse(text) : text,
          text,
        });
      });
      response.on('error', reject);
    });
    outgoing.end(request.body);
  });
}

export const KEY: Signer = { id: 'testid', secret: 'testsecret' };

export type Call = (
  action: string,
  method: string,
  path: string,
  more?: { query?: Record<string, string>; body?: unknown },
) => Promise<Answer>;

/** Signed calls of one product. */
export function caller(baseUrl: string, version: string, signer: Signer = KEY, now?: () => number): Call {
  return (action, method, path, { query = {}, body } = {}) => {
    const { url, ...rest } = sign(
      {
        method,
        path,
        query,
        host: new URL(baseUrl).host,
        action,
        version,
        ...(body !== undefined && { body: JSON.stringify(body) }),
      },
      { ...signer, ...(now && { date: now() }) },
    );
    return sendRaw(baseUrl, { method, url, ...rest });
  };
}

export interface Sandbox {
  directory: string;
  start(options?: Partial<PaiLocalOptions> & { port?: number }): Promise<PaiLocal>;
  /** Closes what was started and removes the directory. */
  close(): Promise<void>;
}

/** A folder with room for state, NAS and images, and the servers started in it. */
export async function openSandbox(): Promise<Sandbox> {
  const directory = await mkdtemp(join(tmpdir(), 'pai-local-test-'));
  const started: PaiLocal[] = [];
  return {
    directory,
    async start(options) {
      const server = await startPaiLocal({
        accessKeys: { testid: 'testsecret' },
        stateDirectory: join(directory, 'state'),
        nasDirectory: join(directory, 'nas'),
        imagesDirectory: join(directory, 'images'),
        pace: 40,
        ...options,
      });
      started.push(server);
      return server;
    },
    async close() {
      for (const server of started) await server.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** The first value of `read` that `isWanted`; rejects with the last one seen when `limitMs` is over. */
export async function until<T>(
  read: () => Promise<T> | T,
  isWanted: (value: T) => boolean,
  limitMs = 15_000,
): Promise<T> {
  const deadline = Date.now() + limitMs;
  for (;;) {
    const value = await read();
    if (isWanted(value)) return value;
    if (Date.now() > deadline) throw new Error(`not within ${limitMs} ms; last: ${JSON.stringify(value)}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** True while a process with this id runs; a zombie that nobody collects does not. */
export async function isRunning(pid: number): Promise<boolean> {
  const { readFile } = await import('node:fs/promises');
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => undefined);
  return stat === undefined ? process.platform !== 'linux' : !/\) [ZX] /.test(stat);
}
