import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Answer, type Call, caller, isRunning, openSandbox, type Sandbox, until } from './client.ts';

const JOBS = '/api/v1/trainingjobs';
const TERMINAL = ['Succeed', 'Failed', 'Terminated', 'InitializeFailed', 'CreateFailed'];

let sandbox: Sandbox;
let url: string;
let studio: Call;
let workspace: Call;
beforeEach(async () => {
  sandbox = await openSandbox();
  await mkdir(join(sandbox.directory, 'images/shell/bin'), { recursive: true });
  await mkdir(join(sandbox.directory, 'nas/fs1/in'), { recursive: true });
  await writeFile(join(sandbox.directory, 'nas/fs1/in/data.txt'), 'training data\n');
  ({ url } = await sandbox.start());
  studio = caller(url, '2022-01-12');
  workspace = caller(url, '2021-02-04');
});
afterEach(() => sandbox.close());

const inline = (script: string, more: object = {}) => ({
  TrainingJobName: 'a training',
  WorkspaceId: '10001',
  AlgorithmSpec: { Image: 'shell', Command: ['/bin/sh', '-c', script], JobType: 'PyTorchJob', ...more },
  ComputeResource: { EcsSpec: 'ecs.local.2x', EcsCount: 1 },
});
const create = async (body: object): Promise<string> => {
  const answer = await studio('CreateTrainingJob', 'POST', JOBS, { body });
  expect(answer).toMatchObject({ status: 200, body: { RequestId: expect.any(String) } });
  return answer.body.TrainingJobId;
};
const get = (id: string): Promise<Answer> => studio('GetTrainingJob', 'GET', `${JOBS}/${id}`);
const awaitJob = (id: string, isWanted = ({ body }: Answer) => TERMINAL.includes(body.Status)) =>
  until(() => get(id), isWanted);
const logs = (id: string, query: Record<string, string> = {}) =>
  studio('ListTrainingJobLogs', 'GET', `${JOBS}/${id}/logs`, { query });
const refusal = async (body: object) => {
  const answer = await studio('CreateTrainingJob', 'POST', JOBS, { body });
  return `${answer.status} ${answer.body.Code}: ${answer.body.Message}`;
};

describe('a training job', () => {
  it('runs with the hyper-parameters and channels that Studio passes to a container', async () => {
    const { body: dataset } = await workspace('CreateDataset', 'POST', '/api/v1/datasets', {
      body: { Name: 'out', Property: 'DIRECTORY', DataSourceType: 'NAS', Uri: 'nas://fs1.cn-hangzhou/out/' },
    });
    const script = `cat "$PAI_INPUT_TRAIN/data.txt"; cat /ml/input/config/hyperparameters.json; echo
echo "$PAI_HPS_LEARNING_RATE, $PAI_HPS_A_B, $RANK of $WORLD_SIZE, $NPROC_PER_NODE each"
echo "$PAI_USER_ARGS"; mkdir -p "$PAI_OUTPUT_MODEL/checkpoint"; echo w > /ml/output/model/checkpoint/$RANK`;
    const id = await create({
      ...inline(script),
      HyperParameters: [
        { Name: 'learning_rate', Value: '5e-5' },
        { Name: 'a-b', Value: "it's" },
      ],
      InputChannels: [{ Name: 'train', InputUri: 'nas://fs1.cn-hangzhou/in/' }],
      OutputChannels: [{ Name: 'model', DatasetId: dataset.DatasetId }],
      ComputeResource: { ResourceId: 'quotalocalecs32', InstanceCount: 2, InstanceSpec: { GPU: '2', CPU: '8' } },
      Labels: [{ Key: 'team', Value: 'law' }],
      Environments: { EXTRA: 'x' },
    });
    expect(id).toMatch(/^train[0-9a-z]+$/);
    const { body } = await awaitJob(id);
    expect(body).toMatchObject({
      ...{ Status: 'Succeed', ReasonCode: 'TrainingJobSucceed', TrainingJobName: 'a training', IsTempAlgo: true },
      Instances: [
        { Name: `${id}-master-0`, Role: 'master', Status: 'Succeeded' },
        { Name: `${id}-worker-0`, Role: 'worker', Status: 'Succeeded' },
      ],
      OutputModel: { OutputChannelName: 'model', Uri: 'nas://fs1.cn-hangzhou/out/' },
      Labels: [{ Key: 'team', Value: 'law' }],
    });
    expect(body.StatusTransitions.map(({ Status }: { Status: string }) => Status)).toEqual([
      ...['Creating', 'Initializing', 'Submitted', 'Running', 'Succeed'],
    ]);
    const answer = await logs(id, { InstanceId: `${id}-worker-0`, PageSize: '100' });
    expect(answer.body.Logs).toEqual([
      'training data',
      `{"learning_rate":"5e-5","a-b":"it's"}`,
      "5e-5, it's, 1 of 2, 2 each",
      `--learning_rate 5e-5 --a-b 'it'\\''s'`,
    ]);
    expect(answer.body.TotalCount).toBe('4'); // a string, as in the API
    expect(await readdir(join(sandbox.directory, 'nas/fs1/out/checkpoint'))).toEqual(['0', '1']);
    const { body: output } = await studio('ListTrainingJobOutputModels', 'GET', `${JOBS}/${id}/outputmodels`);
    expect(output.OutputModels).toMatchObject([
      {
        ...{ OutputChannelName: 'model', Uri: 'nas://fs1.cn-hangzhou/out/', SourceType: 'TrainingService' },
        SourceId: `region=cn-hangzhou,workspaceId=10001,kind=TrainingJob,id=${id}`,
      },
    ]);
    const events = await studio('ListTrainingJobEvents', 'GET', `${JOBS}/${id}/events`, { query: { PageSize: '2' } });
    expect(events.body).toMatchObject({ TotalCount: '5', Events: [expect.any(String), expect.any(String)] });
  });

  it('gives its log by page, and the numbers that its algorithm’s expressions find in it', async () => {
    const script = `for i in 1 2 3 4 5; do echo " iteration $i | lm loss: 2.\${i}00000E+00 |"; done`;
    const id = await create(
      inline(script, { MetricDefinitions: [{ Name: 'loss', Regex: 'lm loss: ([0-9.]+E[+-][0-9]+)' }] }),
    );
    await awaitJob(id);
    const page = async (PageNumber: string) => (await logs(id, { PageNumber, PageSize: '2' })).body.Logs;
    expect(await page('1')).toHaveLength(2);
    expect(await page('3')).toEqual([' iteration 5 | lm loss: 2.500000E+00 |']);
    expect(await page('4')).toEqual([]);
    const metrics = await studio('ListTrainingJobMetrics', 'GET', `${JOBS}/${id}/metrics`, {
      query: { Name: 'loss', PageSize: '3' },
    });
    expect(metrics.body.TotalCount).toBe(5);
    expect(metrics.body.Metrics.map(({ Value }: { Value: number }) => Value)).toEqual([2.1, 2.2, 2.3]);
    const latest = await studio('GetTrainingJobLatestMetrics', 'GET', `${JOBS}/${id}/latestmetrics`, {
      query: { Names: 'loss,other' },
    });
    expect(latest.body.Metrics).toMatchObject([{ Name: 'loss', Value: 2.5 }]);
    expect((await get(id)).body.LatestMetrics).toMatchObject([{ Name: 'loss', Value: 2.5 }]);
  });

  it('has no log before it starts', async () => {
    const still = await sandbox.start({ pace: 3_600_000, stateDirectory: join(sandbox.directory, 'still') });
    const ask = caller(still.url, '2022-01-12');
    const { body } = await ask('CreateTrainingJob', 'POST', JOBS, { body: inline('true') });
    const refused = await ask('ListTrainingJobLogs', 'GET', `${JOBS}/${body.TrainingJobId}/logs`);
    expect(refused).toMatchObject({ status: 404, body: { Code: 'TRAINING_JOB_INSTANCE_NOT_FOUND' } });
  });

  it('is Terminated by a stop, with its processes, and deleted only then', async () => {
    const id = await create(inline('echo $$; sleep 60 & wait'));
    await awaitJob(id, ({ body }) => body.Status === 'Running');
    const [line] = await until(
      async () => (await logs(id)).body.Logs ?? [],
      (lines: string[]) => lines.length === 1,
    );
    expect((await studio('DeleteTrainingJob', 'DELETE', `${JOBS}/${id}`)).body.Code).toBe(
      'INVALID_TRAINING_JOB_STATUS',
    );
    expect((await studio('StopTrainingJob', 'PUT', `${JOBS}/${id}/stop`)).status).toBe(200);
    const { body } = await awaitJob(id);
    expect(body.Status).toBe('Terminated');
    expect(await isRunning(Number(line))).toBe(false);
    expect((await studio('DeleteTrainingJob', 'DELETE', `${JOBS}/${id}`)).status).toBe(200);
    expect(await get(id)).toMatchObject({ status: 404, body: { Code: 'TRAINING_JOB_NOT_FOUND' } });
  });

  it('fails with the exit code, or before it starts', async () => {
    const failed = await create(inline('exit 7'));
    const unstarted = await create({
      ...inline('true'),
      AlgorithmSpec: { ...inline('true').AlgorithmSpec, Image: 'none' },
    });
    expect((await awaitJob(failed)).body).toMatchObject({ Status: 'Failed', ReasonCode: 'PodFailed' });
    expect((await awaitJob(unstarted)).body).toMatchObject({ Status: 'InitializeFailed' });
    const info = await studio('GetTrainingJobErrorInfo', 'GET', `${JOBS}/${failed}/errorinfo`);
    expect(info.body.ErrorInfo).toMatchObject({ Code: 'PodFailed', Message: expect.stringContaining('code 7') });
  });

  it('ends at its time limit, and is still known after a restart of the server', async () => {
    const stateDirectory = join(sandbox.directory, 'kept');
    const first = await sandbox.start({ stateDirectory });
    const limited = { ...inline('sleep 60'), Scheduler: { MaxRunningTimeInSeconds: 1 } };
    const { body } = await caller(first.url, '2022-01-12')('CreateTrainingJob', 'POST', JOBS, { body: limited });
    const path = `${JOBS}/${body.TrainingJobId}`;
    const ended = await until(
      () => caller(first.url, '2022-01-12')('GetTrainingJob', 'GET', path),
      (answer) => TERMINAL.includes(answer.body.Status),
    );
    expect(ended.body).toMatchObject({ Status: 'Terminated', ReasonCode: 'JobMaxRunningTimeExceeded' });
    await first.close();
    const second = await sandbox.start({ stateDirectory });
    const { StatusTransitions, Status } = (await caller(second.url, '2022-01-12')('GetTrainingJob', 'GET', path)).body;
    expect([Status, StatusTransitions]).toEqual(['Terminated', ended.body.StatusTransitions]);
  });
});

it('lists the jobs of the last seven days, newest first, by page and by filter', async () => {
  const ids: string[] = [];
  for (const [name, team] of [
    ['Alpha', 'a'],
    ['beta', 'b'],
    ['alphabet', 'a'],
  ]) {
    ids.push(await create({ ...inline('true'), TrainingJobName: name, Labels: [{ Key: 'team', Value: team }] }));
  }
  for (const id of ids) await awaitJob(id);
  const names = async (query: Record<string, string>) => {
    const { body } = await studio('ListTrainingJobs', 'GET', JOBS, { query });
    return [body.TotalCount, ...body.TrainingJobs.map((job: { TrainingJobName: string }) => job.TrainingJobName)];
  };
  expect(await names({})).toEqual([3, 'alphabet', 'beta', 'Alpha']);
  expect(await names({ Order: 'ASC', PageSize: '2', PageNumber: '2' })).toEqual([3, 'alphabet']);
  expect(await names({ TrainingJobName: 'ALPHA' })).toEqual([2, 'alphabet', 'Alpha']);
  expect(await names({ Labels: '{"team":"b"}' })).toEqual([1, 'beta']);
  expect(await names({ Status: 'Succeed', TrainingJobId: ids[1] as string })).toEqual([1, 'beta']);
  expect(await names({ AlgorithmProvider: 'pai' })).toEqual([0]);
  const future = new Date(Date.now() + 8 * 24 * 3600_000).toISOString();
  expect(await names({ StartTime: future, EndTime: future })).toEqual([0]);
  const refused = await studio('ListTrainingJobs', 'GET', JOBS, { query: { PageSize: '0' } });
  expect(refused.body.Code).toBe('InvalidParameter');
});

describe('CreateTrainingJob', () => {
  const gallery = {
    TrainingJobName: 'cpt',
    WorkspaceId: '10001',
    ...{ AlgorithmName: 'qwen2_72b_megatron_cpt', AlgorithmProvider: 'pai', AlgorithmVersion: 'v0.0.1' },
    InputChannels: [{ Name: 'train', InputUri: 'nas://fs1.cn-hangzhou/in' }],
    OutputChannels: [{ Name: 'output', OutputUri: 'nas://fs1.cn-hangzhou/out' }],
    ComputeResource: { EcsSpec: 'ecs.gn7e-c16g1.32xlarge', EcsCount: 4 },
  };
  const hyper = (Name: string, Value: unknown) => ({ ...gallery, HyperParameters: [{ Name, Value }] });

  it.each([
    ['no name', { ...gallery, TrainingJobName: undefined }, /MissingParameter: .*TrainingJobName/],
    ['no workspace', { ...gallery, WorkspaceId: undefined }, /MissingParameter: .*WorkspaceId/],
    ['another workspace', { ...gallery, WorkspaceId: '7' }, /404 WorkspaceNotFound/],
    ['two algorithms', { ...gallery, AlgorithmSpec: {} }, /not both/],
    ['an unknown algorithm', { ...gallery, AlgorithmName: 'x' }, /404 ALGORITHM_NOT_FOUND/],
    ['an unknown hyper-parameter', hyper('lr', '1'), /no hyper-parameter lr/],
    ['a number for text', hyper('batch_size', 1), /the Value of batch_size is 1, not a string/],
    ['a fraction', hyper('batch_size', '1.5'), /whole number/],
    ['below its least value', hyper('save_interval', '0'), /not be below 1/],
    ['the open end', hyper('learning_rate', '0'), /not be below 0/],
    ['another kind of job', hyper('job_name', 'mine'), /it can be qwen2-72b-cpt/],
    ['OSS as output', { ...gallery, OutputChannels: [{ Name: 'output', OutputUri: 'oss://b.x/y' }] }, /mounts nas:/],
    ['an unknown channel', { ...gallery, InputChannels: [{ Name: 'data', InputUri: 'nas://a.r/x' }] }, /is "data"/],
    ['no output', { ...gallery, OutputChannels: [] }, /OutputChannels: output/],
    [
      'an unknown data set',
      { ...gallery, InputChannels: [{ Name: 'train', DatasetId: 'd-0' }] },
      /d-0, which is not here/,
    ],
    ['no machine', { ...gallery, ComputeResource: {} }, /one of them, not both/],
  ])('refuses %s', async (_, body, message) => {
    expect(await refusal(body)).toMatch(message);
  });

  it('takes the defaults of the algorithm', async () => {
    const id = await create(gallery);
    const { body } = await get(id);
    expect(body.HyperParameters).toEqual(
      Object.entries({
        ...{ job_name: 'qwen2-72b-cpt', batch_size: '1', global_batch_size: '32', learning_rate: '5e-5' },
        ...{ min_learning_rate: '5e-6', sequence_length: '1024', pad_length: '128', save_interval: '1000' },
        ...{ train_tokens: '1638400', warmup_tokens: '163840' },
      }).map(([Name, Value]) => ({ Name, Value })),
    );
    expect(body.AlgorithmSpec.Command.join(' ')).toContain('bf16 8 4 1 1 true');
    await studio('StopTrainingJob', 'PUT', `${JOBS}/${id}/stop`);
    await awaitJob(id);
  });
});

describe('quotas, algorithms and machine types', () => {
  it('says how much of a quota is free', async () => {
    const list = async (query: Record<string, string>) =>
      (await studio('ListQuotas', 'GET', '/api/v1/quotas/', { query })).body;
    expect((await list({})).Quotas).toMatchObject([{ QuotaId: 'quotalocalecs32', ResourceType: 'ECS' }]);
    expect((await list({ ResourceType: 'Lingjun' })).Quotas).toMatchObject([{ ResourceType: 'Lingjun' }]);
    expect((await studio('ListQuotas', 'GET', '/api/v1/quotas')).status).toBe(404);
    const compute = { ResourceId: 'quotalocalecs32', InstanceCount: 1, InstanceSpec: { GPU: '8' } };
    const id = await create({ ...inline('sleep 60'), ComputeResource: compute });
    const quota = await until(
      () => studio('GetQuota', 'GET', '/api/v1/quotas/quotalocalecs32'),
      ({ body }) => body.QuotaDetails.AllocatedQuota.GPU !== '0', // once it has left the queue
    );
    expect(quota.body.QuotaDetails).toMatchObject({ AllocatableQuota: { GPU: '32' }, AllocatedQuota: { GPU: '8' } });
    await studio('StopTrainingJob', 'PUT', `${JOBS}/${id}/stop`);
    await awaitJob(id);
    const freed = await studio('GetQuota', 'GET', '/api/v1/quotas/quotalocalecs32', { query: { Verbose: 'true' } });
    expect(freed.body.QuotaDetails.AllocatedQuota.GPU).toBe('0');
  });

  it('describes algorithms and machine types', async () => {
    const query = { AlgorithmName: 'qwen2_tiny', AlgorithmProvider: 'pai' };
    const { body } = await studio('ListAlgorithms', 'GET', '/api/v1/algorithms', { query });
    const [{ AlgorithmId: id }] = body.Algorithms;
    const version = await studio('GetAlgorithmVersion', 'GET', `/api/v1/algorithms/${id}/versions/v0.0.1`);
    expect(version.body.AlgorithmSpec.HyperParameters).toHaveLength(10);
    const specs = await caller(url, '2020-12-03')('ListEcsSpecs', 'GET', '/api/v1/ecsspecs', {
      query: { AcceleratorType: 'GPU', SortBy: 'GPU', PageSize: '1' },
    });
    expect(specs.body).toMatchObject({
      EcsSpecs: [{ InstanceType: 'ecs.gn7e-c16g1.32xlarge', Gpu: 8, GpuMemory: 80, AcceleratorType: 'GPU' }],
      TotalCount: 4,
    });
    expect(specs.body.EcsSpecs[0]).not.toHaveProperty('Price');
  });
});
