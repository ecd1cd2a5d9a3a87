import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createVirtualClock, type PaiLocal, parseScenario } from '../src/index.ts';
import { type Call, caller, openSandbox, type Sandbox, sendRaw } from './client.ts';

const JOBS = '/api/v1/jobs';
const QUOTA = 'quotalocalecs32';

let sandbox: Sandbox;
let server: PaiLocal;
let call: Call;
beforeEach(async () => {
  sandbox = await openSandbox();
  await mkdir(join(sandbox.directory, 'images'), { recursive: true });
  const scenario = parseScenario({
    jobs: [{ iterations: 10, iterationMs: 1000 }],
    stock: { 'ecs.g6.2xlarge': 2, 'ecs.c6.large': 0 },
  });
  server = await sandbox.start({ controlToken: 'token', clock: createVirtualClock(), scenario, pace: 1000 });
  call = caller(server.url, '2020-12-03');
});
afterEach(() => sandbox.close());

function control(method: string, path: string, body: unknown) {
  const headers: [string, string][] = [['authorization', 'Bearer token']];
  return sendRaw(server.url, { method, url: `/_local/${path}`, headers, body: JSON.stringify(body) });
}
const advance = (advanceMs: number) => control('POST', 'clock', { advanceMs });
async function createJob(DisplayName: string, spec: object, more: object = {}): Promise<string> {
  const body = {
    ...{ DisplayName, JobType: 'PyTorchJob', UserCommand: 'not run', ...more },
    JobSpecs: [{ Type: 'Worker', Image: 'none', PodCount: 1, ...spec }],
  };
  return (await call('CreateJob', 'POST', JOBS, { body })).body.JobId;
}
const onQuota = (name: string, nodes: number, Priority = 1) =>
  createJob(name, { PodCount: nodes, ResourceConfig: { GPU: '8' } }, { ResourceId: QUOTA, Priority });
const getJob = async (id: string) => (await call('GetJob', 'GET', `${JOBS}/${id}`)).body;
const running = async () =>
  (await call('ListJobs', 'GET', JOBS, { query: { Status: 'Running' } })).body.Jobs.map(
    ({ DisplayName }: { DisplayName: string }) => DisplayName,
  );

it('lets jobs of a quota of 32 GPUs wait, by priority and then by age', async () => {
  const first = await onQuota('first', 3);
  await advance(3000);
  await onQuota('second', 2);
  await onQuota('urgent', 4, 9);
  const small = await onQuota('small', 1);
  await advance(4000);
  expect(await running()).toEqual(['first']);
  expect(await getJob(small)).toMatchObject({ Status: 'Queuing', ReasonCode: 'ResourceNotEnough' });
  const { body } = await caller(server.url, '2022-01-12')('GetQuota', 'GET', `/api/v1/quotas/${QUOTA}`);
  expect(body.QuotaDetails).toMatchObject({ AllocatedQuota: { GPU: '24' } });
  await call('StopJob', 'POST', `${JOBS}/${first}/stop`);
  await advance(2500);
  expect(await running()).toEqual(['urgent']);
  await advance(21_000);
  expect(await running()).toEqual([]);
  const ends = (await call('ListJobs', 'GET', JOBS, { query: { Order: 'asc' } })).body.Jobs;
  expect(ends.map(({ Status }: { Status: string }) => Status)).toEqual([
    'Stopped',
    'Succeeded',
    'Succeeded',
    'Succeeded',
  ]);
  const started = ends.slice(1).map((job: { GmtRunningTime: string }) => Date.parse(job.GmtRunningTime));
  expect(started[1]).toBeLessThan(started[0]); // urgent before second
  expect(started[2]).toBe(started[0]); // small beside second
});

it('lets jobs of the public pool wait for stock, and stops one in the queue', async () => {
  const none = await createJob('none', { EcsSpec: 'ecs.c6.large' });
  const two = await createJob('two', { EcsSpec: 'ecs.g6.2xlarge', PodCount: 2 });
  const more = await createJob('more', { EcsSpec: 'ecs.g6.2xlarge' });
  await advance(4000);
  expect(await running()).toEqual(['two']);
  const query = { InstanceTypes: 'ecs.c6.large,ecs.g6.2xlarge' };
  const { EcsSpecs } = (await call('ListEcsSpecs', 'GET', '/api/v1/ecsspecs', { query })).body;
  expect(EcsSpecs.map((spec: { IsAvailable: boolean }) => spec.IsAvailable)).toEqual([true, false]);
  await call('StopJob', 'POST', `${JOBS}/${more}/stop`);
  await advance(1000);
  expect(await getJob(more)).toMatchObject({ Status: 'Stopped', Pods: [] });
  expect(await control('PUT', 'stock', { 'ecs.c6.large': 1 })).toMatchObject({ status: 200 });
  await advance(1000);
  expect((await getJob(none)).Status).toBe('Running');
  expect((await getJob(two)).Status).toBe('Running');
  expect(await control('PUT', 'stock', { 'ecs.c6.large': -1 })).toMatchObject({ body: { Code: 'InvalidParameter' } });
});

it('refuses a key what is denied to it', async () => {
  const keys = { testid: { secret: 'testsecret', denies: ['CreateJob'] }, admin: 'adminsecret' };
  server = await sandbox.start({ accessKeys: keys, stateDirectory: join(sandbox.directory, 'denied') });
  call = caller(server.url, '2020-12-03');
  expect(await call('CreateJob', 'POST', JOBS, { body: {} })).toMatchObject({
    status: 403,
    body: { Code: 'NoPermission', AccessDeniedDetail: { AuthAction: 'CreateJob', NoPermissionType: 'ExplicitDeny' } },
  });
  expect((await call('ListJobs', 'GET', JOBS)).status).toBe(200);
  const admin = caller(server.url, '2020-12-03', { id: 'admin', secret: 'adminsecret' });
  expect((await admin('CreateJob', 'POST', JOBS, { body: {} })).body.Code).toBe('MissingParameter');
});

it('changes the priority of a job that waits, and what may be changed else', async () => {
  await onQuota('first', 4);
  await advance(3000);
  await onQuota('second', 4);
  const third = await onQuota('third', 4);
  await advance(3000);
  const update = (body: object) => call('UpdateJob', 'PUT', `${JOBS}/${third}`, { body });
  expect((await update({ Priority: 9, Description: 'sooner', Accessibility: 'PUBLIC' })).body.JobId).toBe(third);
  await advance(9000);
  expect(await running()).toEqual(['third']);
  expect(await getJob(third)).toMatchObject({ Priority: 9, Description: 'sooner', Accessibility: 'PUBLIC' });
  for (const body of [{ Priority: 10 }, { Accessibility: 'PRIVATE' }, { UserCommand: 'other' }]) {
    expect((await update(body)).body.Code).toBe('InvalidParameter');
  }
});

it('refuses to stop an ended job when it is told to', async () => {
  const stateDirectory = join(sandbox.directory, 'refusing');
  server = await sandbox.start({ stopOfEnded: 'refuse', stateDirectory, pace: 1_000_000 });
  call = caller(server.url, '2020-12-03');
  const id = await createJob('x', { EcsSpec: 'ecs.g6.2xlarge' });
  const stop = () => call('StopJob', 'POST', `${JOBS}/${id}/stop`);
  expect((await stop()).status).toBe(200);
  await server.close(); // ends the job
  server = await sandbox.start({ stopOfEnded: 'refuse', stateDirectory });
  call = caller(server.url, '2020-12-03');
  expect(await stop()).toMatchObject({ status: 400, body: { Code: 'InvalidJobStatus' } });
});
