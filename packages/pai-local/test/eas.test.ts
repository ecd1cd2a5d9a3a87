import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Answer, type Call, caller, isRunning, openSandbox, type Sandbox, sendRaw, until } from './client.ts';

const VERSION = '2021-07-01';
const SERVICES = '/api/v2/services';
const REGION = 'cn-hangzhou';

/** A web server as an image has it: `serve FOLDER --port N`, ready after a while. */
const SERVE = `#!/usr/bin/env node
const { createServer } = require('node:http');
const { readFileSync } = require('node:fs');
const { parseArgs } = require('node:util');
const { values, positionals } = parseArgs({ allowPositionals: true, options: { port: { type: 'string' } } });
const model = readFileSync(positionals[0] + '/model.txt', 'utf8');
console.log('loading ' + model + ' as ' + process.pid);
process.on('SIGTERM', () => setTimeout(process.exit, 200)); // as one that ends what it is doing
let isReady = false;
setTimeout(() => { isReady = true; console.log('ready'); }, 50);
createServer((request, response) => {
  if (request.url === '/health') return response.writeHead(isReady ? 200 : 503).end();
  if (request.url === '/crash') process.exit(9);
  if (request.url === '/stream') {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
    let count = 0;
    const timer = setInterval(() => response.write('data: ' + ++count + '\\n\\n'), 100);
    request.on('close', () => { clearInterval(timer); console.log('client gone'); });
    return;
  }
  let body = '';
  request.on('data', (chunk) => { body += chunk; });
  request.on('end', () => {
    response.writeHead(201, { 'content-type': 'application/json', 'x-model': model });
    response.end(JSON.stringify({ model, method: request.method, url: request.url, headers: request.headers, body }));
  });
}).listen(Number(values.port), '127.0.0.1');
`;

let sandbox: Sandbox;
let url: string;
let call: Call;
beforeEach(async () => {
  sandbox = await openSandbox();
  await mkdir(join(sandbox.directory, 'images/web/bin'), { recursive: true });
  await writeFile(join(sandbox.directory, 'images/web/bin/serve'), SERVE, { mode: 0o755 });
  await mkdir(join(sandbox.directory, 'nas/fs1/hf'), { recursive: true });
  await writeFile(join(sandbox.directory, 'nas/fs1/hf/model.txt'), 'tiny');
  ({ url } = await sandbox.start());
  call = caller(url, VERSION);
});
afterEach(() => sandbox.close());

const nfs = (path: string) => ({ server: `fs1.${REGION}.nas.aliyuncs.com`, path, readOnly: true });
const CONFIG = {
  metadata: { name: 'web_one', instance: 1, workspace_id: '268' },
  cloud: { computing: { instances: [{ type: 'ecs.c6.large' }] } },
  storage: [{ mount_path: '/model', nfs: nfs('/hf') }],
  containers: [{ image: 'registry.example/ns/web:1', port: 8000, script: 'serve /model --port 8000' }],
};
const withScript = (script: string, more = {}) => ({
  ...CONFIG,
  containers: [{ ...CONFIG.containers[0], script, ...more }],
});

const create = (body: unknown = CONFIG, query: Record<string, string> = {}) =>
  call('CreateService', 'POST', SERVICES, { body, query });
const service = (action: string, method: string, suffix = '', query: Record<string, string> = {}, name = 'web_one') =>
  call(action, method, `${SERVICES}/${REGION}/${name}${suffix}`, { query });
const describeService = (name?: string) => service('DescribeService', 'GET', '', {}, name);
const awaitStatus = (status: string, name?: string) =>
  until(
    () => describeService(name),
    ({ body }) => body.Status === status,
  );
const logs = async (query: Record<string, string> = {}) =>
  (await service('DescribeServiceLog', 'GET', '/logs', query)).body;
const predict = (path: string, token?: string, method = 'GET', body?: string) =>
  sendRaw(url, {
    method,
    url: `/api/predict/web_one${path}`,
    headers: [
      ['content-type', 'text/plain'],
      ['te', 'trailers'],
      ...(token === undefined ? [] : ([['Authorization', token]] as [string, string][])),
    ],
    ...(body !== undefined && { body }),
  });

async function startService(): Promise<string> {
  await create();
  const { body } = await awaitStatus('Running');
  await until(
    () => predict('/v1/models', body.AccessToken),
    ({ status }) => status === 201,
  );
  return body.AccessToken;
}
async function servicePid(): Promise<number> {
  const { Logs } = await logs();
  return Number(/as (\d+)$/.exec(Logs[0])?.[1]);
}

describe('a service', () => {
  it('comes up through Creating and Waiting, and is described', async () => {
    const created = await create(CONFIG, { WorkspaceId: '268', Labels: '{"team":"cpt"}' });
    const endpoint = `${url}/api/predict/web_one`;
    expect(created).toMatchObject({
      status: 200,
      body: { ServiceName: 'web_one', Region: REGION, Status: 'Creating', InternetEndpoint: endpoint },
    });
    const { body } = await awaitStatus('Running');
    // Its own record of it: a busy machine may look too late for the states between.
    const { Events } = (await service('DescribeServiceEvent', 'GET', '/events')).body;
    const reasons = Events.map(({ Reason }: { Reason: string }) => Reason).reverse();
    expect(reasons).toEqual(['Waiting', 'Started', 'Running']);
    expect(body).toMatchObject({
      ServiceId: created.body.ServiceId,
      AccessToken: expect.stringMatching(/^[\w-]{32}$/),
      IntranetEndpoint: endpoint,
      RunningInstance: 1,
      TotalInstance: 1,
      Labels: [{ LabelKey: 'team', LabelValue: 'cpt' }],
      Image: 'registry.example/ns/web:1',
    });
    expect(JSON.parse(body.ServiceConfig)).toEqual(CONFIG);

    const endpoints = await service('DescribeServiceEndpoints', 'GET', '/endpoints');
    expect(endpoints.body).toMatchObject({
      AccessToken: body.AccessToken,
      Endpoints: [{ EndpointType: 'DefaultGateway', InternetEndpoints: [endpoint] }],
    });
    const instances = await service('ListServiceInstances', 'GET', '/instances');
    expect(instances.body).toMatchObject({ TotalCount: 1, Instances: [{ Status: 'Running', ReadyProcesses: 1 }] });
    const name = instances.body.Instances[0].InstanceName;
    expect(await logs({ PageSize: '1', PageNum: '2' })).toMatchObject({
      Logs: ['ready'],
      TotalCount: 2,
      TotalPageNum: 2,
    });
    expect((await logs({ Keyword: 'tiny', InstanceName: name })).Logs).toEqual([
      expect.stringMatching(/^loading tiny as/),
    ]);
    expect((await logs({ EndTime: '2020-01-01 00:00:00', StartTime: '2019-01-01 00:00:00' })).TotalCount).toBe(0);
    expect((await logs({ InstanceName: 'other' })).Code).toBe('InvalidParameter');
  });

  it('has a name of its own', async () => {
    await create();
    expect(await create()).toMatchObject({ status: 409, body: { Code: 'ServiceAlreadyExists' } });
    expect((await create({ ...CONFIG, metadata: {} })).body.Code).toBe('MissingParameter');
    expect((await create(CONFIG, { Develop: 'true' })).body.Code).toBe('InvalidParameter');
  });

  it('is found only in its region', async () => {
    await create();
    const elsewhere = await call('DescribeService', 'GET', `${SERVICES}/cn-beijing/web_one`);
    expect(elsewhere).toMatchObject({ status: 404, body: { Code: 'InvalidService.NotFound' } });
    expect((await describeService('web_two')).status).toBe(404);
  });

  it('stops, starts again with the same token, and is deleted', async () => {
    // Slow enough that a busy machine sees each state between two calls.
    ({ url } = await sandbox.start({ pace: 300, stateDirectory: join(sandbox.directory, 'slow') }));
    call = caller(url, VERSION);
    const token = await startService();
    const pid = await servicePid();
    expect(await isRunning(pid)).toBe(true);
    expect((await service('StopService', 'PUT', '/stop')).status).toBe(200);
    expect((await describeService()).body.Status).toBe('Stopping');
    expect((await service('StartService', 'PUT', '/start')).body.Code).toBe('InvalidServiceStatus');
    expect((await predict('/', token)).status).toBe(503);
    await awaitStatus('Stopped');
    expect(await isRunning(pid)).toBe(false);
    expect((await service('ListServiceInstances', 'GET', '/instances')).body.TotalCount).toBe(0);

    await service('StartService', 'PUT', '/start');
    expect((await describeService()).body.Status).toBe('Waiting');
    expect((await awaitStatus('Running')).body.AccessToken).toBe(token);
    const second = (await logs({ Keyword: 'loading' })).Logs;
    expect(second).toHaveLength(2);

    expect((await service('DeleteService', 'DELETE')).status).toBe(200);
    expect((await describeService()).body.Status).toBe('Deleting');
    expect((await create()).body.Code).toBe('ServiceAlreadyExists');
    expect((await service('StopService', 'PUT', '/stop')).body.Code).toBe('InvalidServiceStatus');
    await until(describeService, ({ status }) => status === 404);
    expect(await isRunning(Number(/as (\d+)$/.exec(second[1])?.[1]))).toBe(false);
    expect((await create()).status).toBe(200);
  });

  it('stays deleted when it was being stopped', async () => {
    const slow = caller(
      (await sandbox.start({ pace: 150, stateDirectory: join(sandbox.directory, 'slow') })).url,
      VERSION,
    );
    const path = `${SERVICES}/${REGION}/web_one`;
    const describeIt = () => slow('DescribeService', 'GET', path);
    await slow('CreateService', 'POST', SERVICES, { body: withScript('sleep 60') });
    await until(describeIt, ({ body }) => body.Status === 'Waiting');
    await slow('StopService', 'PUT', `${path}/stop`);
    await new Promise((resolve) => setTimeout(resolve, 100));
    await slow('DeleteService', 'DELETE', path);
    const seen = new Set<string>();
    await until(
      async () => {
        const answer = await describeIt();
        seen.add(answer.body.Status ?? answer.body.Code);
        return answer;
      },
      ({ status }) => status === 404,
    );
    expect([...seen]).toEqual(['Deleting', 'InvalidService.NotFound']);
  });

  it.each([
    ['its image is unknown', withScript('serve /model --port 8000', { image: 'r/none' }), 'no folder "none"'],
    ['its process ends', withScript('echo no such model; exit 4'), 'exited with code 4: no such model'],
    ['its folder is missing', { ...CONFIG, storage: [{ mount_path: '/model', nfs: nfs('/none') }] }, 'no folder'],
  ])('fails when %s', async (_, config, message) => {
    await create(config);
    const { body } = await awaitStatus('Failed');
    expect(body.Message).toContain(message);
    expect(body.RunningInstance).toBe(0);
    expect((await predict('/', body.AccessToken)).status).toBe(503);
  });

  it('fails when it crashes later, and can be started again', async () => {
    const token = await startService();
    expect((await predict('/crash', token)).status).toBe(503);
    expect((await awaitStatus('Failed')).body.Message).toContain('exited with code 9');
    await service('StartService', 'PUT', '/start');
    await awaitStatus('Running');
  });

  it('uses the port of its JSON when the script names none, if that is free', async () => {
    const blocker = createServer((_, response) => response.end());
    await new Promise<void>((resolve) => blocker.listen(0, '127.0.0.1', resolve));
    const address = blocker.address();
    const port = typeof address === 'object' ? (address?.port as number) : 0;
    const script = `node -e "require('http').createServer((q, s) => s.writeHead(404).end()).listen(${port}, '127.0.0.1')"`;
    await create(withScript(script, { port }));
    expect((await awaitStatus('Failed')).body.Message).toContain(`Port ${port} is in use`);
    await new Promise((resolve) => blocker.close(resolve));
    await service('StartService', 'PUT', '/start');
    await awaitStatus('Running');
  });
});

describe('ListServices', () => {
  it('filters and pages', async () => {
    for (const [name, team] of [
      ['web_one', 'a'],
      ['web_two', 'b'],
      ['other', 'a'],
    ]) {
      await create(
        { ...withScript('sleep 60'), metadata: { name } },
        { Labels: JSON.stringify({ team }), WorkspaceId: team as string },
      );
    }
    const list = async (query: Record<string, string>) => (await call('ListServices', 'GET', SERVICES, { query })).body;
    const names = async (query: Record<string, string>) =>
      (await list(query)).Services.map((one: { ServiceName: string }) => one.ServiceName);
    expect(await names({})).toEqual(['other', 'web_two', 'web_one']);
    expect(await names({ Filter: 'web', Sort: 'CreateTime', Order: 'asc' })).toEqual(['web_one', 'web_two']);
    expect(await names({ ServiceName: 'other' })).toEqual(['other']);
    expect(await names({ WorkspaceId: 'b' })).toEqual(['web_two']);
    expect(await names({ Label: '{"team":"a"}' })).toEqual(['other', 'web_one']);
    expect(await names({ ServiceStatus: 'Running' })).toEqual([]);
    expect(await list({ PageNumber: '2', PageSize: '2' })).toMatchObject({
      Services: [{ ServiceName: 'web_one' }],
      TotalCount: 3,
    });
    expect((await list({ PageSize: '0' })).Code).toBe('InvalidParameter');
  });
});

describe('the gateway', () => {
  it('passes requests and answers through', async () => {
    const token = await startService();
    const answer = await predict('/v1/chat?x=1&y=%20', token, 'POST', 'ünï');
    expect(answer).toMatchObject({ status: 201, headers: { 'x-model': 'tiny' } });
    expect(answer.body).toMatchObject({ model: 'tiny', method: 'POST', url: '/v1/chat?x=1&y=%20', body: 'ünï' });
    expect(answer.body.headers).toMatchObject({ 'content-type': 'text/plain', authorization: token });
    expect(answer.body.headers).not.toHaveProperty('te'); // it was for the gateway
    expect((await predict('', token)).body.url).toBe('/');
    expect((await predict('?a=1', `Bearer ${token}`)).body.url).toBe('/?a=1');
  });

  it('asks for the token of the service', async () => {
    const token = await startService();
    for (const wrong of [undefined, '', 'Bearer', `${token}x`, token.slice(1), `Basic ${token}`]) {
      expect(await predict('/', wrong)).toMatchObject({ status: 401, body: { Code: 'Unauthorized' } });
    }
  });

  it('knows no other service', async () => {
    const unknown = await sendRaw(url, { method: 'GET', url: '/api/predict/none/v1/models' });
    expect(unknown).toMatchObject({ status: 404, body: { Code: 'ServiceNotFound' } });
  });

  it('has no way to a service that is not up, nor for a moment after', async () => {
    // Slow enough that a busy machine sees each state between two calls.
    ({ url } = await sandbox.start({ pace: 500, stateDirectory: join(sandbox.directory, 'slow') }));
    call = caller(url, VERSION);
    await create();
    const token = (await describeService()).body.AccessToken;
    expect(await predict('/', token)).toMatchObject({ status: 503, body: { Code: 'ServiceUnavailable' } });
    const answers: Answer[] = [];
    await until(
      async () => {
        const [status, answer] = [(await describeService()).body.Status, await predict('/', token)];
        if (status === 'Running') answers.push(answer);
        return answer.status;
      },
      (status) => status === 201,
    );
    expect(answers[0]?.status).toBe(503);
  });

  it('streams, and tells the service when the client has gone', async () => {
    const token = await startService();
    const times: number[] = [];
    await new Promise<void>((resolve, reject) => {
      const outgoing = request(`${url}/api/predict/web_one/stream`, {
        headers: { Authorization: token },
        agent: false,
      });
      outgoing.on('error', reject).on('response', (response) => {
        expect(response.headers['content-type']).toBe('text/event-stream');
        times.push(Date.now());
        response.on('data', () => {
          times.push(Date.now());
          if (times.length < 4) return;
          outgoing.destroy();
          resolve();
        });
      });
      outgoing.end();
    });
    // The head, and then one event every 100 ms: not all at once at the end.
    const [head = 0, first = 0, , third = 0] = times;
    expect(first - head).toBeGreaterThan(60);
    expect(third - first).toBeGreaterThan(120);
    await until(logs, ({ Logs }) => Logs.includes('client gone'));
  });
});

describe('a restart', () => {
  it('stops services, and starts them on request', async () => {
    const stateDirectory = join(sandbox.directory, 'restart');
    const first = await sandbox.start({ stateDirectory });
    const earlier = caller(first.url, VERSION);
    await earlier('CreateService', 'POST', SERVICES, { body: CONFIG });
    const path = `${SERVICES}/${REGION}/web_one`;
    const status = (via: Call) => async () => (await via('DescribeService', 'GET', path)).body;
    await until(status(earlier), ({ Status }) => Status === 'Running');
    const log = (await earlier('DescribeServiceLog', 'GET', `${path}/logs`)).body.Logs[0];
    await first.close();
    expect(await isRunning(Number(/as (\d+)$/.exec(log)?.[1]))).toBe(false);
    const file = join(stateDirectory, 'services/web_one.json');
    const record = JSON.parse(await readFile(file, 'utf8'));
    expect(record.status).toBe('Stopped');
    // As a killed server leaves them.
    await writeFile(file, JSON.stringify({ ...record, status: 'Running' }));
    const half = { ...record, name: 'half_gone', status: 'Deleting' };
    await writeFile(join(stateDirectory, 'services/half_gone.json'), JSON.stringify(half));

    const later = caller((await sandbox.start({ stateDirectory })).url, VERSION);
    expect(await status(later)()).toMatchObject({
      Status: 'Stopped',
      Message: expect.stringContaining('StartService'),
    });
    expect((await later('ListServices', 'GET', SERVICES)).body.TotalCount).toBe(1);
    await later('StartService', 'PUT', `${path}/start`);
    await until(status(later), ({ Status }) => Status === 'Running');
  });
});
