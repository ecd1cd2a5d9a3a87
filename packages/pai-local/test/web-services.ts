import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PaiLocalOptions } from '../src/index.ts';
import { type Answer, caller, openSandbox, sendRaw, until } from './client.ts';

const SERVICES = '/api/v2/services';
const REGION = 'cn-hangzhou';

/** `serve ANSWER --port N`: says who answers, ends on /crash, is busy from /burn on, and never comes up as `broken`. */
const SERVE = `#!/usr/bin/env node
const [answer, , port] = process.argv.slice(2);
if (answer === 'broken') { console.log('cannot load'); process.exit(3); }
console.log('up as ' + process.pid);
const burn = () => { for (const end = Date.now() + 40; Date.now() < end; ); };
require('node:http').createServer((request, response) => {
  if (request.url === '/crash') process.exit(9);
  if (request.url === '/burn') setInterval(burn, 50);
  response.end(request.url === '/health' ? '' : JSON.stringify({ answer, pid: process.pid }));
}).listen(Number(port), '127.0.0.1');
`;

/** What a service of `config` said. */
export interface WebAnswer {
  status: number;
  answer: string;
  pid: number;
}

/** The JSON of a service that answers `answer`. */
export const config = (name: string, answer: string, metadata: object = {}) => ({
  metadata: { name, instance: 1, ...metadata },
  containers: [{ image: 'r/web', port: 8000, script: `serve ${answer} --port 8000` }],
});

export type WebServices = Awaited<ReturnType<typeof openWebServices>>;

/** A pai-local with the image `web`; whoever waits for something takes a `step` between two looks, to move a virtual clock. */
export async function openWebServices(options: Partial<PaiLocalOptions> = {}, step?: () => Promise<void>) {
  const sandbox = await openSandbox();
  await mkdir(join(sandbox.directory, 'images/web/bin'), { recursive: true });
  await writeFile(join(sandbox.directory, 'images/web/bin/serve'), SERVE, { mode: 0o755 });
  const { url } = await sandbox.start(options);
  const call = caller(url, '2021-07-01');

  const awaiting = <T>(read: () => Promise<T>, isWanted: (value: T) => boolean): Promise<T> =>
    until(async () => {
      await step?.();
      return read();
    }, isWanted);
  const on = async (
    action: string,
    method: string,
    name: string,
    suffix = '',
    more: { query?: Record<string, string>; body?: unknown } = {},
  ) => call(action, method, `${SERVICES}/${REGION}/${name}${suffix}`, more);
  const describeService = async (name: string) => (await on('DescribeService', 'GET', name)).body;
  const isUp = (instances: number) => (body: Answer['body']) =>
    body.Status === 'Running' && body.RunningInstance === instances;
  const awaitUp = (name: string, instances = 1) => awaiting(() => describeService(name), isUp(instances));
  const ask = async (name: string, token: string, path = '/'): Promise<WebAnswer> => {
    const headers: [string, string][] = [['Authorization', token]];
    const { status, text } = await sendRaw(url, { method: 'GET', url: `/api/predict/${name}${path}`, headers });
    return { status, ...(status === 200 ? JSON.parse(text || '{}') : {}) };
  };
  return {
    ...{ url, call, on, awaiting, awaitUp, describeService, ask },
    instancesOf: async (name: string) => (await on('ListServiceInstances', 'GET', name, '/instances')).body.Instances,
    /** Creates a service, waits for it, and gives its token. */
    async create(name: string, answer: string, metadata: { instance?: number; group?: string } = {}): Promise<string> {
      await call('CreateService', 'POST', SERVICES, { body: config(name, answer, metadata) });
      const { AccessToken } = await awaitUp(name, metadata.instance ?? 1);
      await awaiting(
        () => ask(name, AccessToken),
        ({ status }) => status === 200,
      );
      return AccessToken;
    },
    async askTimes(times: number, name: string, token: string): Promise<WebAnswer[]> {
      const answers = [];
      for (let at = 0; at < times; at++) answers.push(await ask(name, token));
      return answers;
    },
    /** Newest first. */
    events: async (name: string, type: string): Promise<{ at: number; text: string }[]> =>
      (await on('DescribeServiceEvent', 'GET', name, '/events', { query: { EventType: type } })).body.Events.map(
        (event: { Time: string; Reason: string; Message: string }) => ({
          at: Date.parse(event.Time),
          text: `${event.Reason}: ${JSON.parse(event.Message).message}`,
        }),
      ),
    close: () => sandbox.close(),
  };
}
