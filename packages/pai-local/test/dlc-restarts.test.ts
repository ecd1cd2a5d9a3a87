import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../src/clock.ts';
import { type PaiLocal, parseScenario } from '../src/index.ts';
import { type Answer, type Call, caller, isRunning, openSandbox, type Sandbox, sendRaw, until } from './client.ts';

const JOBS = '/api/v1/jobs';
const POLICIES = ['Always', 'OnFailure', 'ExitCode', 'Never'] as const;

let sandbox: Sandbox;
let server: PaiLocal;
let call: Call;
beforeEach(async () => {
  sandbox = await openSandbox();
  await mkdir(join(sandbox.directory, 'images/shell/bin'), { recursive: true });
  server = await sandbox.start({ controlToken: 'token' });
  call = caller(server.url, '2020-12-03');
});
afterEach(() => sandbox.close());

async function createJob(
  UserCommand: string,
  more: Record<string, unknown> = {},
  workers = 1,
  job: Record<string, unknown> = {},
): Promise<string> {
  const spec = { Type: 'Worker', Image: 'shell', PodCount: workers, EcsSpec: 'ecs.c6.large', ...more };
  const body = {
    ...{ DisplayName: 'x', JobType: 'PyTorchJob', JobSpecs: [spec], UserCommand },
    DataSources: [{ Uri: 'nas://fs.cn-hangzhou/out', MountPath: '/mnt/out' }],
    ...job,
  };
  return (await call('CreateJob', 'POST', JOBS, { body })).body.JobId;
}
const getJob = (id: string) => call('GetJob', 'GET', `${JOBS}/${id}`);
const awaitJob = (id: string, is = ({ body }: Answer) => ['Succeeded', 'Failed', 'Stopped'].includes(body.Status)) =>
  until(() => getJob(id), is);
const statuses = ({ body }: Answer): string[] => body.StatusHistory.map((entry: { Status: string }) => entry.Status);
const logsOf = async (id: string, PodUid?: string) => {
  const query = PodUid === undefined ? {} : { PodUid };
  return (await call('GetPodLogs', 'GET', `${JOBS}/${id}/pods/${id}-worker-0/logs`, { query })).body.Logs;
};
const inFile = (name: string) =>
  until(() => readFile(join(sandbox.directory, 'nas/fs/out', name), 'utf8').catch(() => ''), Boolean);

/** Fails in its first life and ends well in the second. */
const ONCE = (how: string) => `echo life; mkdir /mnt/out/first 2>/dev/null && ${how}; exit 0`;

describe('the states that a job asks for', () => {
  it('bids for spot machines, checks them, and keeps them when it has ended, until it is stopped', async () => {
    const settings = { EnableSanityCheck: true, JobReservedMinutes: 10 };
    const id = await createJob('exit 0', { UseSpotInstance: true }, 1, { Settings: settings });
    await awaitJob(id, ({ body }) => body.Status === 'SucceededReserving');
    await call('StopJob', 'POST', `${JOBS}/${id}/stop`);
    expect(statuses(await awaitJob(id))).toEqual([
      'Creating',
      'Queuing',
      'Bidding',
      'EnvPreparing',
      'SanityChecking',
      'Running',
      'SucceededReserving',
      'Stopping',
      'Stopped',
    ]);
  });

  it('keeps those of a job that failed, and then says that it failed', async () => {
    const clock = { ...systemClock, sleep: (ms: number, signal?: AbortSignal) => systemClock.sleep(ms / 1000, signal) };
    server = await sandbox.start({ stateDirectory: join(sandbox.directory, 'fast'), clock });
    call = caller(server.url, '2020-12-03');
    const id = await createJob('exit 3', {}, 1, { Settings: { JobReservedMinutes: 1 } });
    const job = await awaitJob(id);
    expect(statuses(job).slice(-3)).toEqual(['Running', 'FailedReserving', 'Failed']);
    expect(job.body.ReasonMessage).toContain('exited with code 3');
  });
});

describe('RestartPolicy', () => {
  it('gives a failed pod another life with another PodUid, and keeps the log of the first', async () => {
    const id = await createJob(ONCE('{ echo first; exit 3; }'), { RestartPolicy: 'OnFailure' });
    const job = await awaitJob(id);
    expect(job.body).toMatchObject({ Status: 'Succeeded', RestartTimes: '1/10' });
    expect(statuses(job)).toEqual([
      'Creating',
      'Queuing',
      'EnvPreparing',
      'Running',
      'Restarting',
      'Running',
      'Succeeded',
    ]);
    expect(job.body.StatusHistory[4]).toMatchObject({ ReasonCode: 'PodFailed' });
    const [pod] = job.body.Pods;
    expect(pod.HistoryPods).toMatchObject([{ PodId: pod.PodId, Status: 'Failed' }]);
    expect(pod.HistoryPods[0].PodUid).not.toBe(pod.PodUid);
    expect(await logsOf(id)).toEqual(['life']);
    expect(await logsOf(id, pod.PodUid)).toEqual(['life']);
    expect(await logsOf(id, pod.HistoryPods[0].PodUid)).toEqual(['life', 'first']);
    // Set once each: when it first ran, not when it ran again.
    expect(job.body.GmtRunningTime).toBe(job.body.StatusHistory[3].StartTime);
  });

  it.each([
    ['exit 3', ['Succeeded', 'Succeeded', 'Failed', 'Failed']],
    ['kill -KILL $$', ['Succeeded', 'Succeeded', 'Succeeded', 'Failed']], // 137: ExitCode takes it for passing
  ])('after %j', async (how, expected) => {
    const ends = await Promise.all(
      POLICIES.map(async (policy) => {
        const command = ONCE(how).replaceAll('/mnt/out/first', `/mnt/out/${policy}`);
        return (await awaitJob(await createJob(command, { RestartPolicy: policy }))).body.Status;
      }),
    );
    expect(ends).toEqual(expected);
  });

  it('ends at ten restarts', async () => {
    server = await sandbox.start({ pace: 1, stateDirectory: join(sandbox.directory, 'fast') });
    call = caller(server.url, '2020-12-03');
    const job = await awaitJob(await createJob('exit 1', { RestartPolicy: 'Always' }));
    expect(job.body).toMatchObject({ Status: 'Failed', ReasonCode: 'PodFailed', RestartTimes: '10/10' });
    expect(job.body.Pods[0].HistoryPods).toHaveLength(10);
  });

  it('refuses one that there is not', async () => {
    const spec = { Type: 'Worker', Image: 'shell', PodCount: 1, EcsSpec: 'ecs.c6.large', RestartPolicy: 'Sometimes' };
    const body = { DisplayName: 'x', JobType: 'PyTorchJob', JobSpecs: [spec], UserCommand: 'true' };
    const answer = await call('CreateJob', 'POST', JOBS, { body });
    expect(answer).toMatchObject({ status: 400, body: { Code: 'InvalidParameter' } });
    expect(answer.body.Message).toContain('JobSpecs[0].RestartPolicy is "Sometimes"');
  });

  it('stops a job in the middle of a restart, and nothing of it runs on', async () => {
    const id = await createJob('sleep 60 & echo $! > /mnt/out/pid; wait', { RestartPolicy: 'Always' });
    const pid = Number(await inFile('pid'));
    expect(server.strikePod('kill', `${id}-worker-0`)).toBe(true);
    await call('StopJob', 'POST', `${JOBS}/${id}/stop`);
    expect((await awaitJob(id)).body.Status).toBe('Stopped');
    const again = Number(await inFile('pid'));
    for (const each of new Set([pid, again])) expect(await isRunning(each)).toBe(false);
  });
});

describe('the control endpoint of pods', () => {
  const post = (path: string, token = 'token') =>
    sendRaw(server.url, { method: 'POST', url: `/_local/${path}`, headers: [['authorization', `Bearer ${token}`]] });

  it('preempts a pod, which RestartPolicy Never does not forbid and RestartTimes does not count', async () => {
    const command = 'mkdir /mnt/out/a 2>/dev/null; first=$?; echo life >> /mnt/out/lives; [ $first != 0 ] || sleep 60';
    const id = await createJob(command, { RestartPolicy: 'Never' });
    await inFile('lives');
    expect(await post(`pods/${id}-worker-0/preempt`)).toMatchObject({ status: 200, body: { podId: `${id}-worker-0` } });
    const job = await awaitJob(id);
    expect(job.body).toMatchObject({ Status: 'Succeeded', RestartTimes: '0/10' });
    expect(job.body.StatusHistory[4]).toMatchObject({ Status: 'Restarting', ReasonCode: 'PodPreempted' });
    expect(await inFile('lives')).toBe('life\nlife\n');
  });

  it('is closed to others, and knows what runs', async () => {
    expect(await post('pods/x/kill', 'wrong')).toMatchObject({ status: 401 });
    expect(await post('pods/none-worker-0/kill')).toMatchObject({ status: 404, body: { Code: 'PodNotRunning' } });
  });
});

describe('a scenario', () => {
  const events = [
    { kind: 'spike', at: 4, factor: 10 },
    { kind: 'nan', at: 6 },
    { kind: 'oom', at: 8 },
    { kind: 'line', at: 9, text: 'hello' },
  ];
  const script = {
    iterations: 10,
    iterationMs: 1,
    saveInterval: 5,
    globalBatchSize: 8,
    loss: { from: 2, to: 1, noise: 0 },
  };
  const startScripted = async (more: object) => {
    const jobs = [{ name: 'x', ...script, ...more }];
    server = await sandbox.start({
      scenario: parseScenario({ jobs }),
      stateDirectory: join(sandbox.directory, 'told'),
    });
    call = caller(server.url, '2020-12-03');
  };
  const allLogs = async (id: string, pod: string, job: Answer): Promise<string[][]> => {
    const found = job.body.Pods.find(({ PodId }: { PodId: string }) => PodId === `${id}-${pod}`);
    const lives = [...found.HistoryPods, found];
    const read = ({ PodUid }: { PodUid: string }) =>
      call('GetPodLogs', 'GET', `${JOBS}/${id}/pods/${id}-${pod}/logs`, { query: { PodUid } });
    return Promise.all(lives.map(async (life) => (await read(life)).body.Logs));
  };

  it('writes the log of a training from its last pod, through an OOM and a restart', async () => {
    await startScripted({ events });
    const id = await createJob('never run', { Image: 'no-such-image', RestartPolicy: 'OnFailure' }, 2);
    const job = await awaitJob(id);
    expect(job.body).toMatchObject({ Status: 'Succeeded', RestartTimes: '1/10' });
    expect(await allLogs(id, 'worker-0', job)).toEqual([[]]);
    const [first, second] = (await allLogs(id, 'worker-1', job)) as [string[], string[]];
    expect(first.filter((line) => / iteration /.test(line) && line.includes('lm loss')).length).toBe(6); // NaN has none
    expect(first.at(-2)).toContain('torch.OutOfMemoryError: CUDA out of memory.');
    expect(first.find((line) => line.includes('iteration        4/'))).toContain('| lm loss: 1.'); // ×10 of 1.4…
    expect(first.find((line) => line.includes('iteration        4/'))).toMatch(/lm loss: 1\.\d{6}E\+01/);
    expect(first.find((line) => line.includes('iteration        6/'))).toContain('number of nan iterations:   1');
    expect(second[0]).toContain(
      'successfully loaded checkpoint from /mnt/output/checkpoint [ t 1/1, p 1/1 ] at iteration 5',
    );
    expect(second).toContain('hello');
    expect(second.at(-1)).toContain('successfully saved checkpoint from iteration      10 to /mnt/output/checkpoint');
    const told = second.filter((line) => line.includes('consumed samples'));
    expect(told.map((line) => Number(/consumed samples: +(\d+)/.exec(line)?.[1]))).toEqual([48, 56, 64, 72, 80]);
  });

  it('restarts from the base model when it is told so, and can be stopped while it hangs', async () => {
    await startScripted({
      restartsFrom: 'base',
      events: [
        { kind: 'preempt', at: 7 },
        { kind: 'hang', at: 9 },
      ],
    });
    const id = await createJob('never run');
    const hangs = async () => (await logsOf(id).catch(() => undefined)) ?? [];
    await until(hangs, (lines) => lines.some((line: string) => line.includes('iteration        8/')));
    expect((await logsOf(id))[0]).toContain('from /mnt/base [ t 1/1, p 1/1 ] at iteration 0');
    await call('StopJob', 'POST', `${JOBS}/${id}/stop`);
    const job = await awaitJob(id);
    expect(job.body.Status).toBe('Stopped');
    expect(statuses(job)).toContain('Restarting');
  });

  it.each([
    [{ jobs: [{ iteration: 3 }] }, 'jobs[0].iteration is not known'],
    [{ jobs: [{ iterations: 'ten' }] }, 'jobs[0].iterations is "ten", not a number'],
    [{ jobs: [{ events: [{ kind: 'fire', at: 1 }] }] }, 'jobs[0].events[0].kind is "fire"'],
    [{ jobs: [{ events: [{ kind: 'oom' }] }] }, 'jobs[0].events[0].at is missing'],
    [{ jobs: [{ loss: { noise: -1 } }] }, 'jobs[0].loss.noise is -1'],
    [{ jobs: [{ restartsFrom: 'there' }] }, 'jobs[0].restartsFrom'],
    [{ faults: { rules: [{ fault: 'flood' }] } }, 'faults'],
    [{ jobs: [{ gpuUse: 95 }] }, 'jobs[0].gpuUse is not a list'],
    [{ jobs: [{ gpuUse: [{ percent: [101] }] }] }, 'jobs[0].gpuUse[0].percent is not a list of 0 to 100'],
    [{ jobs: [{ gpuUse: [{ use: [5] }] }] }, 'jobs[0].gpuUse[0].use is not known'],
    [{ jobs: [{ gpuUse: [{ fromMinute: 5 }, {}] }] }, 'jobs[0].gpuUse[1].fromMinute is not after the one before'],
    [[], 'scenario is not an object'],
  ])('%#: is refused when it says what cannot be', (value, message) => {
    expect(() => parseScenario(value)).toThrow(message);
  });
});
