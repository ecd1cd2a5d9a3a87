import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Answer, type Call, caller, isRunning, openSandbox, type Sandbox, sendRaw, until } from './client.ts';

const SERVICES = '/api/v2/services';
const REGION = 'cn-hangzhou';

/** `serve ANSWER --port N`: says who answers, ends on /crash, and never comes up as `broken`. */
const SERVE = `#!/usr/bin/env node
const [answer, , port] = process.argv.slice(2);
if (answer === 'broken') { console.log('cannot load'); process.exit(3); }
console.log('up as ' + process.pid);
require('node:http').createServer((request, response) => {
  if (request.url === '/crash') process.exit(9);
  response.end(request.url === '/health' ? '' : JSON.stringify({ answer, pid: process.pid }));
}).listen(Number(port), '127.0.0.1');
`;

let sandbox: Sandbox;
let url: string;
let call: Call;
beforeEach(async () => {
  sandbox = await openSandbox();
  await mkdir(join(sandbox.directory, 'images/web/bin'), { recursive: true });
  await writeFile(join(sandbox.directory, 'images/web/bin/serve'), SERVE, { mode: 0o755 });
  ({ url } = await sandbox.start());
  call = caller(url, '2021-07-01');
});
afterEach(() => sandbox.close());

const config = (name: string, answer: string, metadata: object = {}) => ({
  metadata: { name, instance: 1, ...metadata },
  containers: [{ image: 'r/web', port: 8000, script: `serve ${answer} --port 8000` }],
});
const on = async (
  action: string,
  method: string,
  name: string,
  suffix = '',
  more: { query?: Record<string, string>; body?: unknown } = {},
) => call(action, method, `${SERVICES}/${REGION}/${name}${suffix}`, more);
const describeService = async (name: string) => (await on('DescribeService', 'GET', name)).body;
const instancesOf = async (name: string) =>
  (await on('ListServiceInstances', 'GET', name, '/instances')).body.Instances;
const isUp = (instances: number) => (body: Answer['body']) =>
  body.Status === 'Running' && body.RunningInstance === instances;
const awaitUp = (name: string, instances = 1) => until(() => describeService(name), isUp(instances));

async function create(name: string, answer: string, metadata: object = {}): Promise<string> {
  await call('CreateService', 'POST', SERVICES, { body: config(name, answer, metadata) });
  const { AccessToken } = await awaitUp(name, (metadata as { instance?: number }).instance ?? 1);
  await until(
    () => ask(name, AccessToken),
    ({ status }) => status === 200,
  );
  return AccessToken;
}
const ask = async (name: string, token: string, path = '/') => {
  const headers: [string, string][] = [['Authorization', token]];
  const { status, text } = await sendRaw(url, { method: 'GET', url: `/api/predict/${name}${path}`, headers });
  return { status, ...(status === 200 ? JSON.parse(text || '{}') : {}) } as {
    status: number;
    answer: string;
    pid: number;
  };
};
const askTimes = async (times: number, name: string, token: string) => {
  const answers = [];
  for (let at = 0; at < times; at++) answers.push(await ask(name, token));
  return answers;
};
const events = async (name: string, type: string) =>
  (await on('DescribeServiceEvent', 'GET', name, '/events', { query: { EventType: type } })).body.Events.map(
    (event: { Reason: string; Message: string }) => `${event.Reason}: ${JSON.parse(event.Message).message}`,
  );

describe('ScaleService', () => {
  it('changes the number of processes behind the gateway', async () => {
    const token = await create('web_one', 'a');
    await on('ScaleService', 'PUT', 'web_one', '/scale', { body: { Instance: 3 } });
    await awaitUp('web_one', 3);
    const pids = async () => new Set((await askTimes(6, 'web_one', token)).map(({ pid }) => pid));
    const three = await until(pids, (found) => found.size === 3);
    const names = (await instancesOf('web_one')).map((each: { InstanceName: string }) => each.InstanceName);
    expect(names.map((name: string) => name.at(-1)).sort()).toEqual(['0', '1', '2']);

    await on('ScaleService', 'PUT', 'web_one', '/scale', { body: { Instance: 1 } });
    await until(
      () => instancesOf('web_one'),
      (found) => found.length === 1,
    );
    const [left] = await pids();
    await until(
      () => Promise.all([...three].map(isRunning)),
      (running) => running.filter(Boolean).length === 1,
    );
    expect(await isRunning(left as number)).toBe(true);
    const logs = (await on('DescribeServiceLog', 'GET', 'web_one', '/logs')).body.Logs;
    expect(logs.map((line: string) => Number(line.split(' ').at(-1))).sort()).toEqual([...three].sort());
    const refused = await on('ScaleService', 'PUT', 'web_one', '/scale', { body: { Instance: -1 } });
    expect(refused.body.Code).toBe('InvalidParameter');
  });

  it('has the others serve when one of several ends, and starts that one again', async () => {
    const token = await create('web_one', 'a', { instance: 2 });
    const both = async () => new Set((await askTimes(2, 'web_one', token)).map(({ pid }) => pid)).size;
    await until(both, (count) => count === 2); // the gateway knows the way to either, and takes them in turn
    await ask('web_one', token, '/crash');
    expect((await ask('web_one', token)).status).toBe(200);
    const restarts = async () =>
      (await instancesOf('web_one')).reduce(
        (sum: number, each: { RestartCount: number }) => sum + each.RestartCount,
        0,
      );
    await until(restarts, (count) => count === 1);
    await awaitUp('web_one', 2);
    expect(await events('web_one', 'Warning')).toEqual([
      expect.stringMatching(/^BackOff: Instance .* exited with code 9/),
    ]);
  });
});

describe('versions', () => {
  it('replace one another while the old one serves, and can be gone back to', async () => {
    const token = await create('web_one', 'a');
    const update = (answer: string) =>
      on('UpdateService', 'PUT', 'web_one', '', {
        body: { containers: config('web_one', answer).containers },
        query: { UpdateType: 'merge' },
      });
    await update('b');
    const first = await until(
      () => ask('web_one', token),
      ({ status, answer }) => status !== 200 || answer === 'b',
    );
    expect(first.status).toBe(200); // no request met a gap
    expect(await awaitUp('web_one')).toMatchObject({ CurrentVersion: 2, LatestVersion: 2 });
    await on('UpdateServiceVersion', 'PUT', 'web_one', '/version', { body: { Version: 1 } });
    await until(
      () => ask('web_one', token),
      ({ answer }) => answer === 'a',
    );
    expect(await awaitUp('web_one')).toMatchObject({ CurrentVersion: 1, LatestVersion: 2 });
    const none = await on('UpdateServiceVersion', 'PUT', 'web_one', '/version', { body: { Version: 3 } });
    expect(none.body).toMatchObject({ Code: 'InvalidParameter', Message: expect.stringContaining('has 1 to 2') });
  });

  it('stay as they were when the new one does not come up', async () => {
    const token = await create('web_one', 'a');
    await on('UpdateService', 'PUT', 'web_one', '', { body: config('web_one', 'broken') });
    await until(
      () => events('web_one', 'Warning'),
      (found) => found.length === 2,
    );
    expect(await events('web_one', 'Warning')).toEqual([
      'RolledBack: Version 2 did not come up; 1 serves on',
      expect.stringContaining('exited with code 3: cannot load'),
    ]);
    expect(await awaitUp('web_one')).toMatchObject({ CurrentVersion: 1, LatestVersion: 2 });
    expect(await ask('web_one', token)).toMatchObject({ status: 200, answer: 'a' });
  });

  it('start anew on RestartService', async () => {
    const token = await create('web_one', 'a');
    const { pid } = await ask('web_one', token);
    await on('RestartService', 'PUT', 'web_one', '/restart');
    const next = await until(
      () => ask('web_one', token),
      (found) => found.status === 200 && found.pid !== pid,
    );
    expect(next.answer).toBe('a');
  });
});

describe('a group', () => {
  const release = (name: string, Weight: number, TrafficState: string) =>
    on('ReleaseService', 'PUT', name, '/release', { body: { Weight, TrafficState } });
  const group = (action: string, method: string, body?: unknown) =>
    call(action, method, `/api/v2/groups/${REGION}/models`, body === undefined ? {} : { body });

  it('splits its traffic exactly by the weights of the services that take part', async () => {
    const [token] = [await create('old', 'old', { group: 'models' }), await create('new', 'new', { group: 'models' })];
    const { AccessToken, TrafficMode, InternetEndpoint } = (await group('DescribeGroup', 'GET')).body;
    expect([TrafficMode, InternetEndpoint]).toEqual(['auto', `${url}/api/predict/models`]);
    expect(AccessToken).not.toBe(token);
    expect((await ask('models', AccessToken)).status).toBe(503); // a service that joins gets nothing yet
    await release('old', 95, 'grouping');
    await release('new', 5, 'grouping');
    const count = async (times: number) =>
      (await askTimes(times, 'models', AccessToken)).filter(({ answer }) => answer === 'new').length;
    expect(await count(20)).toBe(10); // auto: by the instances, which are one and one
    expect((await group('UpdateGroup', 'PUT', { TrafficMode: 'customized' })).status).toBe(200);
    expect(await count(40)).toBe(2); // 5 of 100
    await release('old', 75, 'grouping');
    await release('new', 25, 'grouping');
    expect(await count(40)).toBe(10);
    await release('old', 0, 'standalone');
    expect(await count(10)).toBe(10);
    expect((await ask('old', token)).answer).toBe('old'); // its own address goes on
    expect(await describeService('new')).toMatchObject({
      ...{ ServiceGroup: 'models', Weight: 25, TrafficState: 'grouping' },
    });
    expect((await ask('models', token)).status).toBe(401);
  });

  it('refuses what it cannot be', async () => {
    await create('old', 'a', { group: 'models' });
    expect((await release('old', 1001, 'grouping')).body.Code).toBe('InvalidParameter');
    expect((await release('old', 5, 'elsewhere')).body.Code).toBe('InvalidParameter');
    const named = await call('CreateService', 'POST', SERVICES, { body: config('models', 'a') });
    expect(named.body.Code).toBe('ServiceAlreadyExists');
    await create('alone', 'a');
    expect((await release('alone', 5, 'grouping')).body.Message).toContain('is in no group');
    expect((await call('DescribeGroup', 'GET', `/api/v2/groups/${REGION}/none`)).body.Code).toBe(
      'InvalidGroup.NotFound',
    );
  });
});

it('keeps an auto scaler and gives it back', async () => {
  await create('web_one', 'a');
  const scaler = { min: 1, max: 4, scaleStrategies: [{ metricName: 'qps', threshold: 10 }] };
  const path = '/autoscaler';
  expect((await on('DescribeServiceAutoScaler', 'GET', 'web_one', path)).status).toBe(404);
  await on('CreateServiceAutoScaler', 'POST', 'web_one', path, { body: scaler });
  expect((await on('DescribeServiceAutoScaler', 'GET', 'web_one', path)).body).toMatchObject(scaler);
  await on('UpdateServiceAutoScaler', 'PUT', 'web_one', path, { body: { ...scaler, max: 2 } });
  expect((await on('DescribeServiceAutoScaler', 'GET', 'web_one', path)).body.max).toBe(2);
  const wrong = await on('UpdateServiceAutoScaler', 'PUT', 'web_one', path, { body: { ...scaler, min: 5 } });
  expect(wrong.body.Code).toBe('InvalidParameter');
  await on('DeleteServiceAutoScaler', 'DELETE', 'web_one', path);
  expect((await on('DeleteServiceAutoScaler', 'DELETE', 'web_one', path)).status).toBe(404);
});
