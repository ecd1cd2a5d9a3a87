import { describe, expect, it } from 'vitest';
import { type Script, scriptedPai } from '../test/scripted-pai.ts';
import { Jobs } from './jobs.ts';
import type { WireTrainingJob } from './studio-wire.ts';
import { isTrainingJobId, toCreateTrainingJob } from './training-jobs.ts';

const trainingJob = (Status: string, more: Partial<WireTrainingJob> = {}): WireTrainingJob => ({
  ...{ TrainingJobId: 'train1', TrainingJobName: 'law', Status, GmtCreateTime: '2026-11-24T00:00:00Z' },
  ...more,
});
const withScript = (script: Script, workspaceId?: string) => {
  const pai = scriptedPai(script);
  return { pai, jobs: new Jobs(pai, workspaceId), actions: () => pai.calls.map(({ action }) => action) };
};

it('tells the two kinds by their ids', () => {
  // Ids in the examples of the two APIs' own documents.
  expect(['train129f212o89d', 'dlc20210126170216-mtl37ge7gkvdz'].map(isTrainingJobId)).toEqual([true, false]);
});

it('gives a training job as any other, with Studio’s statuses', async () => {
  const { jobs, actions } = withScript({
    GetTrainingJob: () =>
      trainingJob('Succeed', {
        ...{ ReasonCode: 'TrainingJobSucceed', ReasonMessage: 'done', Duration: 61, WorkspaceId: '268' },
        Instances: [
          { Name: 'train1-master-0', Role: 'master', Status: 'Succeeded' },
          { Name: 'train1-worker-0', Role: 'worker', Status: 'Succeeded' },
        ],
        StatusTransitions: [
          { Status: 'Creating', StartTime: '2026-11-24T00:00:00Z' },
          { Status: 'Running', StartTime: '2026-11-24T00:01:00Z' },
          { Status: 'Succeed', StartTime: '2026-11-24T00:02:01Z', ReasonCode: 'TrainingJobSucceed' },
        ],
      }),
  });
  expect(await jobs.get('train1')).toEqual({
    ...{ jobId: 'train1', displayName: 'law', phase: 'succeeded', status: 'Succeed', workspaceId: '268' },
    ...{ reasonCode: 'TrainingJobSucceed', reasonMessage: 'done', durationSeconds: 61 },
    ...{ createdAt: '2026-11-24T00:00:00Z', startedAt: '2026-11-24T00:01:00Z', finishedAt: '2026-11-24T00:02:01Z' },
    pods: [
      { podId: 'train1-master-0', type: 'Master', status: 'Succeeded' },
      { podId: 'train1-worker-0', type: 'Worker', status: 'Succeeded' },
    ],
    statusHistory: [
      { status: 'Creating', phase: 'pending', at: '2026-11-24T00:00:00Z' },
      { status: 'Running', phase: 'running', at: '2026-11-24T00:01:00Z' },
      { status: 'Succeed', phase: 'succeeded', at: '2026-11-24T00:02:01Z', reasonCode: 'TrainingJobSucceed' },
    ],
  });
  expect(actions()).toEqual(['GetTrainingJob']);
});

it('stops and deletes by the operations of Studio', async () => {
  const { jobs, actions } = withScript({
    GetTrainingJob: () => trainingJob('Running'),
    StopTrainingJob: () => ({ RequestId: 'R' }),
    DeleteTrainingJob: () => ({ RequestId: 'R' }),
  });
  await jobs.stop('train1');
  await jobs.delete('train1');
  expect(actions()).toEqual(['GetTrainingJob', 'StopTrainingJob', 'GetTrainingJob', 'DeleteTrainingJob']);
});

describe('logs', () => {
  /** A log of `total` lines, served in pages from the oldest line on. */
  const paged = (total: number): Script => ({
    GetTrainingJob: () => trainingJob('Running', { Instances: [{ Name: 'train1-master-0', Role: 'master' }] }),
    ListTrainingJobLogs: ({ query: { PageNumber, PageSize } }) => ({
      Logs: Array.from({ length: total }, (_, index) => `line ${index}`).slice(
        (PageNumber - 1) * PageSize,
        PageNumber * PageSize,
      ),
      TotalCount: String(total),
    }),
  });

  it.each([0, 1, 99, 100, 101, 250, 2000, 2001, 2150])('are the newest 2000 lines of %d', async (total) => {
    const { jobs, pai } = withScript(paged(total));
    const { lines, mayHaveGap } = await jobs.logs('train1');
    const first = Math.max(0, total - 2000);
    expect(lines).toEqual(Array.from({ length: Math.min(total, 2000) }, (_, index) => `line ${first + index}`));
    expect(mayHaveGap).toBe(total >= 2000);
    const pages = pai.calls.filter(({ action }) => action === 'ListTrainingJobLogs');
    expect(pages[0]?.input.query).toMatchObject({ InstanceId: 'train1-master-0', PageNumber: 1, PageSize: 100 });
  });
});

describe('metrics', () => {
  // ListTrainingJobInstanceMetricsRequest of paistudio-20220112: the names of DLC, but rates in MB/s and other steps
  const script: Script = {
    ListTrainingJobInstanceMetrics: ({ query }) => {
      const Metrics = [{ Time: '2020-11-08T16:00:00Z', Value: query.MetricType === 'GpuCoreUsage' ? 97 : 1.5 }];
      return { InstanceMetrics: [{ InstanceId: 'train1-master-0', NodeName: 'n', Metrics }] };
    },
  };

  it('are those that Studio has of its instances, rates in bytes', async () => {
    const { jobs, pai } = withScript(script);
    const metrics = await jobs.metrics('train1', { metrics: ['GpuCoreUsage', 'DiskReadRate'] });
    expect(metrics).toEqual([
      {
        ...{ podId: 'train1-master-0', metric: 'GpuCoreUsage' },
        points: [{ at: '2020-11-08T16:00:00.000Z', value: 97 }],
      },
      {
        ...{ podId: 'train1-master-0', metric: 'DiskReadRate' },
        points: [{ at: '2020-11-08T16:00:00.000Z', value: 1_500_000 }],
      },
    ]);
    expect(pai.calls[0]?.input).toEqual({
      ...{ path: { TrainingJobId: 'train1' }, query: { MetricType: 'GpuCoreUsage', TimeStep: '5m' } },
    });
  });

  it.each([
    [5, '10s'],
    [10, '10s'],
    [60, '10s'],
    [300, '5m'],
    [1799, '5m'],
    [1800, '30m'],
    [7200, '1h'],
  ])('have of %d seconds the step that Studio has: %s', async (stepSeconds, TimeStep) => {
    const { jobs, pai } = withScript(script);
    await jobs.metrics('train1', { metrics: ['GpuCoreUsage'], stepSeconds });
    expect(pai.calls[0]?.input.query).toMatchObject({ TimeStep });
  });

  it('that the job has printed come page by page, oldest first', async () => {
    const { jobs, pai } = withScript({
      ListTrainingJobMetrics: ({ query: { PageNumber, PageSize } }) => ({
        Metrics: Array.from({ length: 130 }, (_, at) => ({ Name: 'lm_loss', Timestamp: `t${at}`, Value: at })).slice(
          (PageNumber - 1) * PageSize,
          PageNumber * PageSize,
        ),
        TotalCount: 130,
      }),
    });
    const found: unknown[] = [];
    for await (const each of jobs.reportedMetrics('train1', { name: 'lm_loss' })) found.push(each);
    expect([found.length, found[129]]).toEqual([130, { name: 'lm_loss', at: 't129', value: 129 }]);
    expect(pai.calls.map(({ input }) => input.query)).toEqual(
      [1, 2].map((PageNumber) => ({ Name: 'lm_loss', Order: 'ASC', PageNumber, PageSize: 100 })),
    );
  });
});

describe('list', () => {
  const dlc = (JobId: string, GmtCreateTime: string) => ({
    JobId,
    DisplayName: JobId,
    Status: 'Running',
    GmtCreateTime,
  });
  const script: Script = {
    ListJobs: () => ({
      Jobs: [dlc('dlc3', '2026-11-03T00:00:00Z'), dlc('dlc1', '2026-11-01T00:00:00Z')],
      TotalCount: 2,
      RequestId: 'R',
    }),
    ListTrainingJobs: () => ({
      TrainingJobs: [
        trainingJob('Running', { TrainingJobId: 'train4', GmtCreateTime: '2026-11-04T00:00:00Z' }),
        trainingJob('Failed', { TrainingJobId: 'train2', GmtCreateTime: '2026-11-02T00:00:00Z' }),
      ],
      TotalCount: 2,
    }),
  };
  const idsOf = async (jobs: Jobs, route?: 'dlc' | 'quickstart' | 'all') => {
    const ids: string[] = [];
    for await (const { jobId } of jobs.list(route ? { route } : {})) ids.push(jobId);
    return ids;
  };

  it('is of one route, or of both in the order of their creation', async () => {
    const { jobs } = withScript(script);
    expect(await idsOf(jobs)).toEqual(['dlc3', 'dlc1']);
    expect(await idsOf(jobs, 'quickstart')).toEqual(['train4', 'train2']);
    expect(await idsOf(jobs, 'all')).toEqual(['train4', 'dlc3', 'train2', 'dlc1']);
  });

  it('asks Studio in Studio’s words', async () => {
    const { jobs, pai } = withScript(script, '268');
    for await (const _ of jobs.list({ route: 'quickstart', displayName: 'law', tags: { team: 'law' } })) break;
    expect(pai.calls[0]).toEqual({
      action: 'ListTrainingJobs',
      input: {
        query: {
          ...{ TrainingJobName: 'law', Labels: { team: 'law' }, WorkspaceId: '268', SortBy: 'GmtCreateTime' },
          ...{ StartTime: '2020-12-03T00:00:00Z', Order: 'DESC', PageNumber: 1, PageSize: 50 },
        },
      },
    });
  });
});

it('turns the marked form of a job into CreateTrainingJob', () => {
  const TrainingJob = {
    ...{ AlgorithmName: 'a', HyperParameters: [], InputChannels: [], OutputChannels: [] },
    ComputeResource: { EcsSpec: 'ecs.a', EcsCount: 1 },
  };
  const body = toCreateTrainingJob({
    ...{ DisplayName: 'law', JobType: 'PyTorchJob', JobSpecs: [], UserCommand: '', WorkspaceId: '268' },
    ...{ Envs: { CPT_JOB_ID: 'x' }, Settings: { Tags: { 'cpt-intent': 'x' } }, TrainingJob },
  });
  expect(body).toEqual({
    ...{ TrainingJobName: 'law', WorkspaceId: '268', Environments: { CPT_JOB_ID: 'x' } },
    ...TrainingJob,
    Labels: [{ Key: 'cpt-intent', Value: 'x' }],
  });
});
