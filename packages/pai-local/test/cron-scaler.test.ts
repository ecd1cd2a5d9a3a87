import { afterEach, beforeEach, expect, it } from 'vitest';
import { createVirtualClock, type VirtualClock } from '../src/clock.ts';
import { openWebServices, type WebServices } from './web-services.ts';

const BEGAN = Date.UTC(2026, 0, 1, 7, 0); // a Thursday

let clock: VirtualClock;
let web: WebServices;
beforeEach(async () => {
  clock = createVirtualClock(BEGAN);
  web = await openWebServices({ clock, pace: 100 }, () => clock.advance(100));
  await web.create('web_one', 'a');
});
afterEach(() => web.close());

const cron = (action: string, method: string, body?: unknown) =>
  web.on(`${action}ServiceCronScaler`, method, 'web_one', '/cronscaler', body === undefined ? {} : { body });
const until = (time: string) => clock.advance(Date.parse(time) - clock.now());
const job = { name: 'morning', schedule: '30 0 16 * * *', targetSize: 2, timeZone: 'Asia/Shanghai' }; // 08:00:30 UTC
const changes = async () =>
  (await web.events('web_one', 'Normal'))
    .filter(({ text }) => text.startsWith('Scaling'))
    .map(({ at, text }) => `${new Date(at).toISOString().slice(5, 19)} ${text}`)
    .reverse();

it('sets the instances at the second of its schedules, but not on the days that are excluded', async () => {
  const evening = { schedule: '0 0 22 * * *', targetSize: 1 };
  await cron('Create', 'POST', { ScaleJobs: [job, evening], ExcludeDates: ['* * * 2 1 *'] });
  await until('2026-01-01T08:00:29Z');
  expect(await changes()).toEqual([]);
  await clock.advance(1000);
  await web.awaitUp('web_one', 2);
  expect((await cron('Describe', 'GET')).body).toMatchObject({
    ...{ ServiceName: 'web_one', ExcludeDates: ['* * * 2 1 *'] },
    ScaleJobs: [
      {
        ...{ Name: 'morning', Schedule: job.schedule, TargetSize: 2, State: 'Succeed' },
        LastProbeTime: '2026-01-01T08:00:30Z',
        Message: 'cron hpa job morning executed successfully. current replicas:1, desired replicas:2.',
      },
      { Name: 'scale-job-1', State: 'Submitted' },
    ],
  });
  await until('2026-01-03T07:00:00Z');
  await until('2026-01-03T09:00:00Z');
  expect(await changes()).toEqual([
    '01-01T08:00:30 Scaling: Cron scaler: morning, from 1 to 2 instances',
    '01-01T22:00:00 Scaling: Cron scaler: scale-job-1, from 2 to 1 instances',
    '01-03T08:00:30 Scaling: Cron scaler: morning, from 1 to 2 instances',
  ]);
});

it('can be replaced and taken away', async () => {
  expect((await cron('Describe', 'GET')).body.Code).toBe('CronScaler.NotFound');
  expect((await cron('Update', 'PUT', { ScaleJobs: [job] })).status).toBe(404);
  await cron('Create', 'POST', { ScaleJobs: [job] });
  await cron('Update', 'PUT', { ScaleJobs: [{ ...job, targetSize: 3 }] });
  expect((await cron('Describe', 'GET')).body.ScaleJobs).toMatchObject([{ TargetSize: 3 }]);
  expect((await cron('Delete', 'DELETE')).status).toBe(200);
  await until('2026-01-02T07:00:00Z');
  expect(await changes()).toEqual([]);
  expect((await cron('Delete', 'DELETE')).status).toBe(404);
});

it.each([
  ['no jobs', { ScaleJobs: [] }],
  ['a schedule of five fields', { ScaleJobs: [{ ...job, schedule: '0 16 * * *' }] }],
  ['more instances than run here', { ScaleJobs: [{ ...job, targetSize: 17 }] }],
  ['a time zone of its own', { ScaleJobs: [{ ...job, timeZone: 'Nowhere' }] }],
  ['a name twice', { ScaleJobs: [job, job] }],
  ['a date that is none', { ScaleJobs: [job], ExcludeDates: ['tomorrow'] }],
])('refuses %s', async (_, body) => {
  expect(await cron('Create', 'POST', body)).toMatchObject({ status: 400, body: { Code: 'InvalidParameter' } });
});
