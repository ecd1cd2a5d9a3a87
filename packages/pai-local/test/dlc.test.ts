import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../src/index.ts';
import { type Answer, type Call, caller, isRunning, openSandbox, type Sandbox, until } from './client.ts';

const VERSION = '2020-12-03';
const JOBS = '/api/v1/jobs';
const SPEC = { Type: 'Worker', Image: 'registry.example/ns/shell:latest', PodCount: 1, EcsSpec: 'ecs.c6.large' };
const isOver = ({ body }: Answer) => ['Succeeded', 'Failed', 'Stopped'].includes(body.Status);
const statuses = ({ body }: Answer) => body.StatusHistory.map((entry: { Status: string }) => entry.Status);

let sandbox: Sandbox;
let call: Call;
beforeEach(async () => {
  sandbox = await openSandbox();
  await mkdir(join(sandbox.directory, 'images/shell/bin'), { recursive: true });
  await writeFile(join(sandbox.directory, 'images/shell/bin/hello'), '#!/bin/sh\necho "hello from $FROM"\n', {
    mode: 0o755,
  });
  await writeFile(join(sandbox.directory, 'images/shell/env.json'), '{"FROM":"the image"}');
  call = caller((await sandbox.start()).url, VERSION);
});
afterEach(() => sandbox.close());

async function createJob(command: string, more: Record<string, unknown> = {}, via = call): Promise<string> {
  const body = { DisplayName: 'a job', JobType: 'PyTorchJob', JobSpecs: [SPEC], UserCommand: command, ...more };
  const answer = await via('CreateJob', 'POST', JOBS, { body });
  expect(answer).toMatchObject({ status: 200, body: { JobId: expect.stringMatching(/^dlc[0-9a-z]{13}$/) } });
  return answer.body.JobId;
}
const getJob = (id: string, via = call) => via('GetJob', 'GET', `${JOBS}/${id}`);
const awaitJob = (id: string, isWanted = isOver, via = call) => until(() => getJob(id, via), isWanted);
const getLogs = (id: string, pod: string, query: Record<string, string> = {}) =>
  call('GetPodLogs', 'GET', `${JOBS}/${id}/pods/${id}-${pod}/logs`, { query });

describe('a job', () => {
  it('runs its pods as processes with the distributed environment, the image and the mounts', async () => {
    const command = [
      'hello',
      'echo "$RANK of $WORLD_SIZE at $MASTER_ADDR:$MASTER_PORT, $NPROC_PER_NODE each, $EXTRA"',
      'echo $RANK > /mnt/out/$RANK.txt',
      'cat /mnt/in/data.txt',
      'echo oops >&2',
    ].join(' && ');
    const nas = join(sandbox.directory, 'nas/fs1');
    await mkdir(join(nas, 'in'), { recursive: true });
    await writeFile(join(nas, 'in/data.txt'), 'training data\n');
    const request = {
      WorkspaceId: '268',
      JobSpecs: [
        { ...SPEC, Type: 'Master' },
        { ...SPEC, EcsSpec: undefined, ResourceConfig: { GPU: '2' } },
      ],
      Envs: { EXTRA: 'see /mnt/in/x' },
      DataSources: [
        { Uri: 'nas://fs1.cn-hangzhou/in/', MountPath: '/mnt/in' },
        { Uri: 'nas://fs1.cn-hangzhou/out', MountPath: '/mnt/out' },
      ],
    };
    const id = await createJob(command, request);
    const job = await awaitJob(id);
    expect(job.body).toMatchObject({
      Status: 'Succeeded',
      ReasonCode: 'JobSucceeded',
      DisplayName: 'a job',
      WorkspaceId: '268',
      UserCommand: command,
      Envs: request.Envs,
      Pods: [
        { PodId: `${id}-master-0`, Type: 'Master', Status: 'Succeeded' },
        { PodId: `${id}-worker-0`, Type: 'Worker', Status: 'Succeeded' },
      ],
    });
    expect(statuses(job)).toEqual(['Creating', 'Queuing', 'EnvPreparing', 'Running', 'Succeeded']);
    const second = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    for (const name of ['Create', 'Submitted', 'Running', 'Successed', 'Finish']) {
      expect(job.body).toHaveProperty(`Gmt${name}Time`, second);
    }
    expect(job.body).not.toHaveProperty('GmtFailedTime');
    expect(job.body.StatusHistory.at(-1)).toMatchObject({ StartTime: second, ReasonCode: 'JobSucceeded' });
    expect(job.body.StatusHistory.at(-2)).toMatchObject({ EndTime: job.body.GmtFinishTime });

    const master = (await getLogs(id, 'master-0')).body.Logs;
    const worker = (await getLogs(id, 'worker-0')).body.Logs;
    expect(master).toEqual(expect.arrayContaining(['hello from the image', 'training data', 'oops']));
    expect(master[1]).toMatch(new RegExp(`^0 of 2 at 127\\.0\\.0\\.1:\\d+, 1 each, see ${nas}/in/x$`));
    expect(worker[1]).toBe(master[1].replace('0 of 2', '1 of 2').replace('1 each', '2 each'));
    expect((await readdir(join(nas, 'out'))).sort()).toEqual(['0.txt', '1.txt']);
  });

  it('fails with the first pod that fails, and ends the others', async () => {
    const command = 'if [ $RANK = 1 ]; then sleep 0.2; exit 7; fi; echo $$; sleep 60 & echo $!; wait';
    const id = await createJob(command, { JobSpecs: [{ ...SPEC, PodCount: 2 }] });
    const job = await awaitJob(id);
    expect(job.body).toMatchObject({
      Status: 'Failed',
      ReasonCode: 'PodFailed',
      ReasonMessage: `Pod ${id}-worker-1: exited with code 7`,
      Pods: [{ Status: 'Stopped' }, { Status: 'Failed' }],
    });
    expect(job.body).toHaveProperty('GmtFailedTime');
    const pids = (await getLogs(id, 'worker-0')).body.Logs.map(Number);
    expect(pids).toHaveLength(2);
    expect(await Promise.all(pids.map(isRunning))).toEqual([false, false]);
    const events = await call('GetPodEvents', 'GET', `${JOBS}/${id}/pods/${id}-worker-1/events`);
    expect(events.body.Events.at(-1)).toMatch(/Z Warning PodFailed Pod \S+: exited with code 7$/);
    const jobEvents = await call('GetJobEvents', 'GET', `${JOBS}/${id}/events`, { query: { MaxEventsNum: '1' } });
    expect(jobEvents.body.Events).toEqual([expect.stringContaining('Warning PodFailed')]);
  });

  it('stops through Stopping, with everything it started', async () => {
    const id = await createJob('echo $$; sleep 60 & echo $!; (sleep 61; true) & wait', {
      JobSpecs: [{ ...SPEC, PodCount: 2 }],
    });
    await awaitJob(id, ({ body }) => body.Status === 'Running');
    const pids: number[] = [];
    for (const pod of ['worker-0', 'worker-1']) {
      const logs = await until(
        async () => (await getLogs(id, pod)).body.Logs ?? [],
        (lines: string[]) => lines.length === 2,
      );
      pids.push(...logs.map(Number));
    }
    expect(await Promise.all(pids.map(isRunning))).toEqual([true, true, true, true]);
    expect(await call('StopJob', 'POST', `${JOBS}/${id}/stop`)).toMatchObject({ status: 200, body: { JobId: id } });
    const job = await awaitJob(id);
    expect(statuses(job).slice(-3)).toEqual(['Running', 'Stopping', 'Stopped']);
    expect(job.body).toMatchObject({
      ReasonCode: 'JobStoppedByUser',
      Pods: [{ Status: 'Stopped' }, { Status: 'Stopped' }],
    });
    expect(job.body).toHaveProperty('GmtStoppedTime');
    expect(await Promise.all(pids.map(isRunning))).toEqual([false, false, false, false]);
    expect((await call('StopJob', 'POST', `${JOBS}/${id}/stop`)).status).toBe(200);
    expect((await getJob(id)).body.Status).toBe('Stopped');
  });

  it('stops before it has pods', async () => {
    const id = await createJob('true');
    await call('StopJob', 'POST', `${JOBS}/${id}/stop`);
    const job = await awaitJob(id);
    expect(statuses(job)).toEqual(['Creating', 'Stopping', 'Stopped']);
    // `Stopping` lasts long enough to be seen: the pace of these tests is 40 ms.
    const { history } = await until(
      async () => JSON.parse(await readFile(join(sandbox.directory, `state/jobs/${id}.json`), 'utf8')),
      (record) => record.history.length === 3,
    );
    expect(history[1].endedAt - history[1].startedAt).toBeGreaterThanOrEqual(38);
    expect(job.body.Pods).toEqual([]);
  });

  it('is stopped at its time limit', async () => {
    // A hundred and twenty times as fast as real time: a minute is half a second.
    const begun = Date.now();
    const now = () => begun + (Date.now() - begun) * 120;
    const clock = { now, sleep: (ms: number, signal?: AbortSignal) => systemClock.sleep(ms / 120, signal) };
    const stateDirectory = join(sandbox.directory, 'fast');
    const fast = caller((await sandbox.start({ clock, stateDirectory })).url, VERSION, undefined, now);
    const id = await createJob('sleep 60', { JobMaxRunningTimeMinutes: 1 }, fast);
    const job = await awaitJob(id, isOver, fast);
    expect(job.body).toMatchObject({ Status: 'Stopped', ReasonCode: 'JobMaxRunningTimeExceeded' });
    expect(job.body.Duration).toBeGreaterThanOrEqual(60);
  });

  it('fails when there is no such image', async () => {
    const id = await createJob('true', { JobSpecs: [{ ...SPEC, Image: 'registry.example/ns/none:1' }] });
    const job = await awaitJob(id);
    expect(job.body).toMatchObject({ Status: 'Failed', ReasonCode: 'ImagePullFailed', Pods: [{ Status: 'Failed' }] });
    expect(job.body.ReasonMessage).toContain('no folder "none"');
    expect(statuses(job)).not.toContain('Running');
    expect((await getLogs(id, 'worker-0')).body.Logs).toEqual([]);
  });

  it('is deleted only when it has ended', async () => {
    const id = await createJob('echo x; sleep 60');
    await awaitJob(id, ({ body }) => body.Status === 'Running');
    const traces = async () =>
      Promise.all(['logs', 'work'].map((name) => readdir(join(sandbox.directory, `state/${name}/jobs`))));
    expect(await traces()).toEqual([[id], [id]]);
    expect(await call('DeleteJob', 'DELETE', `${JOBS}/${id}`)).toMatchObject({
      status: 400,
      body: { Code: 'InvalidJobStatus' },
    });
    await call('StopJob', 'POST', `${JOBS}/${id}/stop`);
    await awaitJob(id);
    expect((await call('DeleteJob', 'DELETE', `${JOBS}/${id}`)).body.JobId).toBe(id);
    expect(await getJob(id)).toMatchObject({ status: 404, body: { Code: 'JobNotExists' } });
    expect(await traces()).toEqual([[], []]);
  });
});

describe('GetPodLogs', () => {
  it('gives the newest lines of a window of whole seconds', async () => {
    const id = await createJob('for i in 1 2 3 4 5; do echo line $i; done; sleep 1.2; echo late');
    await awaitJob(id);
    const all = ['line 1', 'line 2', 'line 3', 'line 4', 'line 5', 'late'];
    expect((await getLogs(id, 'worker-0')).body).toMatchObject({ JobId: id, PodId: `${id}-worker-0`, Logs: all });
    expect((await getLogs(id, 'worker-0', { MaxLines: '2' })).body.Logs).toEqual(['line 5', 'late']);
    const text = await readFile(join(sandbox.directory, `state/logs/jobs/${id}/${id}-worker-0.log`), 'utf8');
    const first = new Date(Number(text.split(' ', 1)[0])).toISOString().replace(/\.\d+Z/, 'Z');
    const early = (await getLogs(id, 'worker-0', { StartTime: first, EndTime: first })).body.Logs;
    expect(early.length).toBeGreaterThan(0);
    expect(early).not.toContain('late');
    const later = new Date(Date.parse(first) + 1000).toISOString();
    expect((await getLogs(id, 'worker-0', { StartTime: later })).body.Logs).toContain('late');
  });

  it('refuses pods that are not there or not begun, and bad windows', async () => {
    const id = await createJob('true');
    expect(await getLogs(id, 'worker-0')).toMatchObject({ status: 404, body: { Code: 'PodNotExists' } });
    await awaitJob(id, ({ body }) => body.Status === 'EnvPreparing');
    expect(await getLogs(id, 'worker-0')).toMatchObject({ status: 400, body: { Code: 'PodNotStarted' } });
    const job = await awaitJob(id);
    const uid = job.body.Pods[0].PodUid;
    expect((await getLogs(id, 'worker-0', { PodUid: uid })).body.PodUid).toBe(uid);
    expect((await getLogs(id, 'worker-0', { PodUid: 'other' })).body.Code).toBe('PodNotExists');
    expect((await getLogs(id, 'worker-0', { MaxLines: '0' })).body.Code).toBe('InvalidParameter');
    expect((await getLogs(id, 'worker-0', { StartTime: 'now' })).body.Code).toBe('InvalidParameter');
  });
});

describe('CreateJob', () => {
  it('refuses what it cannot run', async () => {
    const create = async (body: unknown) => (await call('CreateJob', 'POST', JOBS, { body })).body.Code;
    expect(await create({})).toBe('MissingParameter');
    expect(await create([])).toBe('InvalidParameter');
    const big = { DisplayName: 'x', JobType: 'PyTorchJob', JobSpecs: [SPEC], UserCommand: `: ${'x'.repeat(65_536)}` };
    expect(await create(big)).toBe('InvalidParameter');
    expect((await call('ListJobs', 'GET', JOBS)).body.TotalCount).toBe(0);
  });

  it('makes two jobs of two equal requests', async () => {
    expect(await createJob('true')).not.toBe(await createJob('true'));
  });
});

describe('ListJobs', () => {
  const list = async (query: Record<string, string> = {}, via = call) =>
    (await via('ListJobs', 'GET', JOBS, { query })).body;
  const names = async (query: Record<string, string>) =>
    (await list(query)).Jobs.map((job: { DisplayName: string }) => job.DisplayName);

  it('filters, sorts and pages', async () => {
    const ids: string[] = [];
    for (const [name, workspace, tag] of [
      ['Alpha-Run', '1', 'a'],
      ['beta', '2', 'b'],
      ['gamma run', '1', 'a'],
    ]) {
      const more = { DisplayName: name, WorkspaceId: workspace, Settings: { Tags: { run: tag, other: 'x' } } };
      ids.push(await createJob('true', more));
    }
    for (const id of ids) await awaitJob(id);
    await call('StopJob', 'POST', `${JOBS}/${await createJob('sleep 60', { DisplayName: 'delta' })}/stop`);

    expect(await names({})).toEqual(['delta', 'gamma run', 'beta', 'Alpha-Run']);
    expect(await names({ Order: 'asc' })).toEqual(['Alpha-Run', 'beta', 'gamma run', 'delta']);
    expect(await names({ DisplayName: 'RUN' })).toEqual(['gamma run', 'Alpha-Run']);
    expect(await names({ WorkspaceId: '1', Order: 'asc' })).toEqual(['Alpha-Run', 'gamma run']);
    expect(await names({ Tags: '{"run":"b","other":"x"}' })).toEqual(['beta']);
    expect(await names({ Tags: '{"run":"b","other":"y"}' })).toEqual([]);
    expect(await names({ JobIds: `${ids[0]},${ids[1]}` })).toEqual(['beta', 'Alpha-Run']);
    expect(await names({ JobId: ids[2] as string })).toEqual(['gamma run']);
    expect(await names({ JobType: 'TFJob' })).toEqual([]);
    expect(await names({ Status: 'Succeeded', SortBy: 'DisplayName', Order: 'asc' })).toEqual([
      'Alpha-Run',
      'beta',
      'gamma run',
    ]);
    expect(await names({ Status: 'Succeeded', SortBy: 'Status' })).toEqual(['gamma run', 'beta', 'Alpha-Run']);
    expect(await names({ SortBy: 'DisplayName', Order: 'desc' })).toEqual(['gamma run', 'delta', 'beta', 'Alpha-Run']);

    const pages = await Promise.all(
      ['1', '2', '3'].map((PageNumber) => list({ PageNumber, PageSize: '3', Order: 'asc' })),
    );
    expect(pages.map((page) => page.Jobs.length)).toEqual([3, 1, 0]);
    expect(pages.map((page) => page.TotalCount)).toEqual([4, 4, 4]);
    expect((await list()).Jobs[0]).not.toHaveProperty('StatusHistory');
  });

  it.each([
    { PageSize: '0' },
    { PageSize: 'all' },
    { PageNumber: '0' },
    { SortBy: 'Cost' },
    { Order: 'down' },
    { Tags: 'run=b' },
    { StartTime: 'yesterday' },
    { ResourceId: 'quota' },
  ])('refuses %o', async (query) => {
    expect((await list(query as Record<string, string>)).Code).toBe('InvalidParameter');
  });

  it('shows a week unless asked for more', async () => {
    let now = Date.now();
    const stateDirectory = join(sandbox.directory, 'week');
    const server = await sandbox.start({ clock: { ...systemClock, now: () => now }, stateDirectory });
    const shifted = caller(server.url, VERSION, undefined, () => now);
    const id = await createJob('true', {}, shifted);
    await awaitJob(id, isOver, shifted);
    const start = new Date(now - 1000).toISOString();
    now += 8 * 24 * 3600_000;
    expect(await list({}, shifted)).toMatchObject({ TotalCount: 0 });
    expect(await list({ StartTime: start }, shifted)).toMatchObject({ TotalCount: 1 });
    expect(await list({ StartTime: start, EndTime: start }, shifted)).toMatchObject({ TotalCount: 0 });
  });
});

describe('a restart', () => {
  it('lists what was, and stops what ran', async () => {
    const stateDirectory = join(sandbox.directory, 'restart');
    const first = await sandbox.start({ stateDirectory });
    const earlier = caller(first.url, VERSION);
    const done = await createJob('echo kept', { DisplayName: 'done' }, earlier);
    await awaitJob(done, isOver, earlier);
    const running = await createJob('sleep 60 & echo $! > pid; wait', { DisplayName: 'running' }, earlier);
    const pidFile = join(stateDirectory, `work/jobs/${running}/${running}-worker-0/pid`);
    const pid = Number(await until(() => readFile(pidFile, 'utf8').catch(() => ''), Boolean));
    expect(await isRunning(pid)).toBe(true);
    await first.close();
    expect(await isRunning(pid)).toBe(false);
    const path = join(stateDirectory, `jobs/${running}.json`);
    const record = JSON.parse(await readFile(path, 'utf8'));
    expect(record).toMatchObject({ status: 'Stopped', reasonCode: 'PaiLocalClosed', pods: [{ status: 'Stopped' }] });
    // As a server leaves it that is killed.
    await writeFile(path, JSON.stringify({ ...record, status: 'Running', history: record.history.slice(0, -2) }));

    const later = caller((await sandbox.start({ stateDirectory })).url, VERSION);
    const jobs = (await later('ListJobs', 'GET', JOBS)).body.Jobs;
    expect(jobs.map((job: { DisplayName: string; Status: string }) => [job.DisplayName, job.Status])).toEqual([
      ['running', 'Stopped'],
      ['done', 'Succeeded'],
    ]);
    const logs = await later('GetPodLogs', 'GET', `${JOBS}/${done}/pods/${done}-worker-0/logs`);
    expect(logs.body.Logs).toEqual(['kept']);
    await createJob('true', { DisplayName: 'next' }, later);
    expect((await later('ListJobs', 'GET', JOBS)).body.Jobs[0].DisplayName).toBe('next');
  });
});
