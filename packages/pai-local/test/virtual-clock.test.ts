import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createVirtualClock, type PaiLocalOptions, parseScenario } from '../src/index.ts';
import { type Call, caller, openSandbox, type Sandbox, sendRaw, until } from './client.ts';

const JOBS = '/api/v1/jobs';

let sandbox: Sandbox;
let call: Call;
let url: string;
beforeEach(async () => {
  sandbox = await openSandbox();
  await mkdir(join(sandbox.directory, 'images/shell/bin'), { recursive: true });
});
afterEach(() => sandbox.close());

async function start(options: Partial<PaiLocalOptions>): Promise<void> {
  ({ url } = await sandbox.start({ controlToken: 'token', pace: 1000, ...options }));
  call = caller(url, '2020-12-03');
}
const headers: [string, string][] = [['authorization', 'Bearer token']];
const advance = (advanceMs: unknown) =>
  sendRaw(url, { method: 'POST', url: '/_local/clock', headers, body: JSON.stringify({ advanceMs }) });
async function createJob(UserCommand: string, more: object = {}): Promise<string> {
  const spec = { Type: 'Worker', Image: 'shell', PodCount: 1, EcsSpec: 'ecs.c6.large' };
  const body = { DisplayName: 'x', JobType: 'PyTorchJob', JobSpecs: [spec], UserCommand, ...more };
  return (await call('CreateJob', 'POST', JOBS, { body })).body.JobId;
}
const getJob = async (id: string) => (await call('GetJob', 'GET', `${JOBS}/${id}`)).body;

it('shows every state for as long as it is told to, and a training of an hour in no time', async () => {
  const began = Date.UTC(2026, 0, 1);
  const script = { name: 'x', queueMs: 600_000, iterations: 600, iterationMs: 6000, saveInterval: 100 };
  await start({ clock: createVirtualClock(began), scenario: parseScenario({ jobs: [script] }) });
  const id = await createJob('not run');
  const walk: [string, number][] = [];
  for (const ms of [0, 999, 1, 1000, 600_000, 1000, 3_599_999, 1]) {
    await advance(ms);
    const job = await getJob(id);
    walk.push([job.Status, job.Duration]);
  }
  expect(walk).toEqual([
    ['Creating', 0],
    ['Creating', 0],
    ['Queuing', 0],
    ['Queuing', 0],
    ['EnvPreparing', 0],
    ['Running', 0],
    ['Running', 3599],
    ['Succeeded', 3600],
  ]);
  const job = await getJob(id);
  expect(job).toMatchObject({
    GmtCreateTime: '2026-01-01T00:00:00Z',
    GmtSubmittedTime: '2026-01-01T00:00:01Z',
    GmtRunningTime: '2026-01-01T00:10:03Z',
    GmtSuccessedTime: '2026-01-01T01:10:03Z',
    GmtFinishTime: '2026-01-01T01:10:03Z',
  });
  const { Logs } = (await call('GetPodLogs', 'GET', `${JOBS}/${id}/pods/${id}-worker-0/logs`)).body;
  expect(Logs.filter((line: string) => line.includes('lm loss'))).toHaveLength(600);
});

it('stops a real process when its time limit has passed', async () => {
  await start({ clock: createVirtualClock(Date.now()) });
  const id = await createJob('sleep 600', { JobMaxRunningTimeMinutes: 60 });
  await advance(2000);
  await advance(1000);
  await until(
    () => getJob(id),
    ({ Status }) => Status === 'Running',
  );
  await advance(3_599_000);
  expect((await getJob(id)).Status).toBe('Running');
  await advance(2000);
  await until(
    async () => (await advance(1000)) && getJob(id),
    ({ Status }) => Status === 'Stopped',
  );
  expect(await getJob(id)).toMatchObject({ ReasonCode: 'JobMaxRunningTimeExceeded' });
});

it('says what the time is, and what cannot be', async () => {
  await start({ clock: createVirtualClock(Date.UTC(2026, 0, 1)) });
  expect((await advance(1500)).body).toEqual({ now: '2026-01-01T00:00:01.500Z' });
  expect(await advance(-1)).toMatchObject({ status: 400, body: { Code: 'InvalidParameter' } });
  await start({ stateDirectory: join(sandbox.directory, 'real') });
  expect(await advance(1)).toMatchObject({ status: 409, body: { Code: 'ClockIsReal' } });
});
