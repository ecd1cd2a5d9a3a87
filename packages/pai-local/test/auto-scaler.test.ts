import { afterEach, beforeEach, expect, it } from 'vitest';
import { createVirtualClock, type VirtualClock } from '../src/clock.ts';
import { openWebServices, type WebServices } from './web-services.ts';

/** The auto scaler on a virtual clock: it looks every 15 s from the start of the service on, which is at the start of the clock. */

const PERIOD_MS = 15_000;
const BEGAN = Date.UTC(2026, 0, 1);

let clock: VirtualClock;
let web: WebServices;
beforeEach(async () => {
  clock = createVirtualClock(BEGAN);
  web = await openWebServices({ clock, pace: 100 }, () => clock.advance(100));
});
afterEach(() => web.close());

const setScaler = (body: object) => web.on('CreateServiceAutoScaler', 'POST', 'web_one', '/autoscaler', { body });
const describeScaler = async () => (await web.on('DescribeServiceAutoScaler', 'GET', 'web_one', '/autoscaler')).body;
/** Lets time pass to just after the scaler has looked. */
const toNextLook = () => clock.advance(PERIOD_MS - ((clock.now() - BEGAN) % PERIOD_MS));
/** What the scaler did, oldest first. */
const changes = async () =>
  (await web.events('web_one', 'Normal')).filter(({ text }) => text.startsWith('Scaling: Auto scaler')).reverse();
const textsOf = (events: { text: string }[]) => events.map(({ text }) => text);
const qps = (threshold: number) => [{ metricName: 'qps', threshold }];

it('follows the requests that come to the gateway, up at once and down after the window', async () => {
  const token = await web.create('web_one', 'a');
  await toNextLook();
  const behavior = { scaleDown: { stabilizationWindowSeconds: 60 } };
  await setScaler({ min: 1, max: 3, scaleStrategies: qps(2), behavior });
  await web.askTimes(60, 'web_one', token); // in 15 s that is 4 a second: two instances have 2 each
  await toNextLook();
  expect(textsOf(await changes())).toEqual([
    'Scaling: Auto scaler: qps of web_one is 4 an instance (threshold 2), from 1 to 2 instances',
  ]);
  await web.awaitUp('web_one', 2);

  for (let look = 0; look < 4; look++) await toNextLook();
  const [up, down, ...more] = await changes();
  expect(more).toEqual([]);
  expect(down?.text).toBe('Scaling: Auto scaler: qps of web_one is 0 an instance (threshold 2), from 2 to 1 instances');
  expect((down?.at as number) - (up?.at as number)).toBe(60_000);
  await web.awaitUp('web_one', 1);
});

it('stays between min and max, and tells what it sees', async () => {
  const token = await web.create('web_one', 'a');
  await toNextLook();
  await setScaler({ min: 1, max: 2, scaleStrategies: [{ metricName: 'QPS', threshold: 1 }] });
  await web.askTimes(150, 'web_one', token); // 10 a second
  await toNextLook();
  expect(textsOf(await changes())).toEqual([expect.stringMatching(/from 1 to 2 instances$/)]);
  expect(await describeScaler()).toMatchObject({
    ...{ ServiceName: 'web_one', MinReplica: 1, MaxReplica: 2, Behavior: {} },
    ScaleStrategies: [{ metricName: 'qps', threshold: 1, service: 'web_one' }],
    CurrentMetrics: [{ metricName: 'qps', service: 'web_one', value: 10 }],
  });
  await web.awaitUp('web_one', 2);
  await web.on('UpdateServiceAutoScaler', 'PUT', 'web_one', '/autoscaler', {
    body: { min: 3, max: 3, scaleStrategies: qps(1) },
  });
  await toNextLook();
  await toNextLook();
  expect((await changes()).at(-1)?.text).toMatch(/from 2 to 3 instances$/);
});

it('goes to sleep when nobody asks, and wakes up at the next request', async () => {
  const token = await web.create('web_one', 'a');
  await toNextLook();
  const behavior = { onZero: { scaleDownGracePeriodSeconds: 30 } };
  await setScaler({ min: 0, max: 2, scaleStrategies: qps(5), behavior });
  await web.ask('web_one', token);
  await toNextLook();
  expect(await changes()).toEqual([]);
  await toNextLook();
  expect(textsOf(await changes())).toEqual([expect.stringMatching(/from 1 to 0 instances$/)]);
  await web.awaitUp('web_one', 0);
  await toNextLook();
  expect(await changes()).toHaveLength(1); // asleep is asleep

  expect((await web.ask('web_one', token)).status).toBe(503);
  expect((await changes()).at(-1)?.text).toBe('Scaling: Auto scaler: a request came, from 0 to 1 instances');
  await web.awaiting(
    () => web.ask('web_one', token),
    ({ status }) => status === 200,
  );
});

it('is woken by a request for its group, of which it counts those that it gets itself', async () => {
  await web.create('web_one', 'a', { group: 'models' });
  await web.create('web_two', 'b', { group: 'models' });
  const release = (name: string, Weight: number) =>
    web.on('ReleaseService', 'PUT', name, '/release', { body: { Weight, TrafficState: 'grouping' } });
  const group = (action: string, method: string, body?: object) =>
    web.call(action, method, '/api/v2/groups/cn-hangzhou/models', body && { body });
  await group('UpdateGroup', 'PUT', { TrafficMode: 'customized' });
  await release('web_one', 25);
  await release('web_two', 75);
  const { AccessToken } = (await group('DescribeGroup', 'GET')).body;
  await toNextLook();
  await setScaler({ min: 1, max: 4, scaleStrategies: qps(1) });
  await toNextLook(); // it knows of the rule from here on
  await web.askTimes(120, 'models', AccessToken); // 30 of them for this one: 2 a second
  await toNextLook();
  expect((await describeScaler()).CurrentMetrics).toEqual([{ metricName: 'qps', service: 'web_one', value: 2 }]);
  await web.awaitUp('web_one', 2);

  const behavior = { onZero: { scaleDownGracePeriodSeconds: 30, scaleUpActivationReplicas: 2 } };
  await web.on('UpdateServiceAutoScaler', 'PUT', 'web_one', '/autoscaler', {
    body: { min: 0, max: 4, scaleStrategies: qps(1), behavior },
  });
  for (let look = 0; look < 4; look++) await toNextLook();
  await web.awaitUp('web_one', 0);
  await web.on('StopService', 'PUT', 'web_two', '/stop');
  expect((await web.ask('models', AccessToken)).status).toBe(503);
  expect((await changes()).at(-1)?.text).toBe('Scaling: Auto scaler: a request came, from 0 to 2 instances');
});

it.skipIf(process.platform !== 'linux')('follows the CPU that the instances really take', async () => {
  const token = await web.create('web_one', 'a');
  await setScaler({ min: 1, max: 2, scaleStrategies: [{ metricName: 'cpu', threshold: 1 }] });
  await web.ask('web_one', token, '/burn');
  await web.awaiting(
    async () => {
      await toNextLook();
      return textsOf(await changes());
    },
    (texts) => texts.some((text) => /cpu of web_one is \S+ an instance .* from 1 to 2 instances$/.test(text)),
  );
});

it('says that it cannot see GPUs, and changes nothing for them', async () => {
  await web.create('web_one', 'a');
  await setScaler({ min: 1, max: 2, scaleStrategies: [{ metricName: 'gpu[util]', threshold: 1 }] });
  for (let look = 0; look < 4; look++) await toNextLook();
  expect(textsOf(await web.events('web_one', 'Warning'))).toEqual([
    'FailedGetMetric: Auto scaler: gpu[util] cannot be measured here',
  ]);
  expect(await changes()).toEqual([]);
});

it('is kept until it is deleted, and refused when it is wrong', async () => {
  await web.create('web_one', 'a');
  const scaler = { min: 1, max: 4, scaleStrategies: qps(10) };
  const path = '/autoscaler';
  expect((await web.on('DescribeServiceAutoScaler', 'GET', 'web_one', path)).status).toBe(404);
  expect((await web.on('UpdateServiceAutoScaler', 'PUT', 'web_one', path, { body: scaler })).status).toBe(404);
  await setScaler(scaler);
  expect((await describeScaler()).MaxReplica).toBe(4);
  await web.on('UpdateServiceAutoScaler', 'PUT', 'web_one', path, { body: { ...scaler, max: 2 } });
  expect((await describeScaler()).MaxReplica).toBe(2);
  const wrong = await web.on('UpdateServiceAutoScaler', 'PUT', 'web_one', path, { body: { ...scaler, min: 5 } });
  expect(wrong.body.Code).toBe('InvalidParameter');
  await web.on('DeleteServiceAutoScaler', 'DELETE', 'web_one', path);
  expect((await web.on('DeleteServiceAutoScaler', 'DELETE', 'web_one', path)).status).toBe(404);
});
