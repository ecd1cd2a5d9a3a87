import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isRunning, until } from './client.ts';
import { config, openWebServices, type WebServices } from './web-services.ts';

let web: WebServices;
beforeEach(async () => {
  web = await openWebServices();
});
afterEach(() => web.close());

const events = async (name: string, type: string) => (await web.events(name, type)).map(({ text }) => text);

describe('ScaleService', () => {
  it('changes the number of processes behind the gateway', async () => {
    const token = await web.create('web_one', 'a');
    await web.on('ScaleService', 'PUT', 'web_one', '/scale', { body: { Instance: 3 } });
    await web.awaitUp('web_one', 3);
    const pids = async () => new Set((await web.askTimes(6, 'web_one', token)).map(({ pid }) => pid));
    const three = await until(pids, (found) => found.size === 3);
    const names = (await web.instancesOf('web_one')).map((each: { InstanceName: string }) => each.InstanceName);
    expect(names.map((name: string) => name.at(-1)).sort()).toEqual(['0', '1', '2']);

    await web.on('ScaleService', 'PUT', 'web_one', '/scale', { body: { Instance: 1 } });
    await until(
      () => web.instancesOf('web_one'),
      (found) => found.length === 1,
    );
    const [left] = await pids();
    await until(
      () => Promise.all([...three].map(isRunning)),
      (running) => running.filter(Boolean).length === 1,
    );
    expect(await isRunning(left as number)).toBe(true);
    const logs = (await web.on('DescribeServiceLog', 'GET', 'web_one', '/logs')).body.Logs;
    expect(logs.map((line: string) => Number(line.split(' ').at(-1))).sort()).toEqual([...three].sort());
    const refused = await web.on('ScaleService', 'PUT', 'web_one', '/scale', { body: { Instance: -1 } });
    expect(refused.body.Code).toBe('InvalidParameter');
  });

  it('has the others serve when one of several ends, and starts that one again', async () => {
    const token = await web.create('web_one', 'a', { instance: 2 });
    const both = async () => new Set((await web.askTimes(2, 'web_one', token)).map(({ pid }) => pid)).size;
    await until(both, (count) => count === 2); // the gateway knows the way to either, and takes them in turn
    await web.ask('web_one', token, '/crash');
    expect((await web.ask('web_one', token)).status).toBe(200);
    const restarts = async () =>
      (await web.instancesOf('web_one')).reduce(
        (sum: number, each: { RestartCount: number }) => sum + each.RestartCount,
        0,
      );
    await until(restarts, (count) => count === 1);
    await web.awaitUp('web_one', 2);
    expect(await events('web_one', 'Warning')).toEqual([
      expect.stringMatching(/^BackOff: Instance .* exited with code 9/),
    ]);
  });
});

describe('versions', () => {
  it('replace one another while the old one serves, and can be gone back to', async () => {
    const token = await web.create('web_one', 'a');
    const update = (answer: string) =>
      web.on('UpdateService', 'PUT', 'web_one', '', {
        body: { containers: config('web_one', answer).containers },
        query: { UpdateType: 'merge' },
      });
    await update('b');
    const first = await until(
      () => web.ask('web_one', token),
      ({ status, answer }) => status !== 200 || answer === 'b',
    );
    expect(first.status).toBe(200); // no request met a gap
    expect(await web.awaitUp('web_one')).toMatchObject({ CurrentVersion: 2, LatestVersion: 2 });
    await web.on('UpdateServiceVersion', 'PUT', 'web_one', '/version', { body: { Version: 1 } });
    await until(
      () => web.ask('web_one', token),
      ({ answer }) => answer === 'a',
    );
    expect(await web.awaitUp('web_one')).toMatchObject({ CurrentVersion: 1, LatestVersion: 2 });
    const none = await web.on('UpdateServiceVersion', 'PUT', 'web_one', '/version', { body: { Version: 3 } });
    expect(none.body).toMatchObject({ Code: 'InvalidParameter', Message: expect.stringContaining('has 1 to 2') });
  });

  it('stay as they were when the new one does not come up', async () => {
    const token = await web.create('web_one', 'a');
    await web.on('UpdateService', 'PUT', 'web_one', '', { body: config('web_one', 'broken') });
    await until(
      () => events('web_one', 'Warning'),
      (found) => found.length === 2,
    );
    expect(await events('web_one', 'Warning')).toEqual([
      'RolledBack: Version 2 did not come up; 1 serves on',
      expect.stringContaining('exited with code 3: cannot load'),
    ]);
    expect(await web.awaitUp('web_one')).toMatchObject({ CurrentVersion: 1, LatestVersion: 2 });
    expect(await web.ask('web_one', token)).toMatchObject({ status: 200, answer: 'a' });
  });

  it('start anew on RestartService', async () => {
    const token = await web.create('web_one', 'a');
    const { pid } = await web.ask('web_one', token);
    await web.on('RestartService', 'PUT', 'web_one', '/restart');
    const next = await until(
      () => web.ask('web_one', token),
      (found) => found.status === 200 && found.pid !== pid,
    );
    expect(next.answer).toBe('a');
  });
});

describe('a group', () => {
  const release = (name: string, Weight: number, TrafficState: string) =>
    web.on('ReleaseService', 'PUT', name, '/release', { body: { Weight, TrafficState } });
  const group = (action: string, method: string, body?: unknown) =>
    web.call(action, method, `/api/v2/groups/cn-hangzhou/models`, body === undefined ? {} : { body });

  it('splits its traffic exactly by the weights of the services that take part', async () => {
    const [token] = [
      await web.create('old', 'old', { group: 'models' }),
      await web.create('new', 'new', { group: 'models' }),
    ];
    const { AccessToken, TrafficMode, InternetEndpoint } = (await group('DescribeGroup', 'GET')).body;
    expect([TrafficMode, InternetEndpoint]).toEqual(['auto', `${web.url}/api/predict/models`]);
    expect(AccessToken).not.toBe(token);
    expect((await web.ask('models', AccessToken)).status).toBe(503); // a service that joins gets nothing yet
    await release('old', 95, 'grouping');
    await release('new', 5, 'grouping');
    const count = async (times: number) =>
      (await web.askTimes(times, 'models', AccessToken)).filter(({ answer }) => answer === 'new').length;
    expect(await count(20)).toBe(10); // auto: by the instances, which are one and one
    expect((await group('UpdateGroup', 'PUT', { TrafficMode: 'customized' })).status).toBe(200);
    expect(await count(40)).toBe(2); // 5 of 100
    await release('old', 75, 'grouping');
    await release('new', 25, 'grouping');
    expect(await count(40)).toBe(10);
    await release('old', 0, 'standalone');
    expect(await count(10)).toBe(10);
    expect((await web.ask('old', token)).answer).toBe('old'); // its own address goes on
    expect(await web.describeService('new')).toMatchObject({
      ...{ ServiceGroup: 'models', Weight: 25, TrafficState: 'grouping' },
    });
    expect((await web.ask('models', token)).status).toBe(401);
  });

  it('refuses what it cannot be', async () => {
    await web.create('old', 'a', { group: 'models' });
    expect((await release('old', 1001, 'grouping')).body.Code).toBe('InvalidParameter');
    expect((await release('old', 5, 'elsewhere')).body.Code).toBe('InvalidParameter');
    const named = await web.call('CreateService', 'POST', '/api/v2/services', { body: config('models', 'a') });
    expect(named.body.Code).toBe('ServiceAlreadyExists');
    await web.create('alone', 'a');
    expect((await release('alone', 5, 'grouping')).body.Message).toContain('is in no group');
    expect((await web.call('DescribeGroup', 'GET', `/api/v2/groups/cn-hangzhou/none`)).body.Code).toBe(
      'InvalidGroup.NotFound',
    );
  });
});
