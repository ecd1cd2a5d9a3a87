import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, type Call, caller, openSandbox, type Sandbox, until } from './client.ts';

const JOBS = '/api/v1/jobs';
const SPEC = { Type: 'Worker', Image: 'shell', PodCount: 2, EcsSpec: 'ecs.c6.large' };

let sandbox: Sandbox;
let call: Call;
let id: string;
const metrics = (query: Record<string, string>, job = id) =>
  call('GetJobMetrics', 'GET', `${JOBS}/${job}/metrics`, { query });
const pointsOf = ({ body }: Answer): number[] =>
  body.PodMetrics.map(({ Metrics }: { Metrics: unknown[] }) => Metrics.length);

beforeAll(async () => {
  sandbox = await openSandbox();
  await mkdir(join(sandbox.directory, 'images/shell'), { recursive: true });
  call = caller((await sandbox.start()).url, '2020-12-03');
  const answer = await call('CreateJob', 'POST', JOBS, {
    body: {
      ...{ DisplayName: 'busy', JobType: 'PyTorchJob', JobSpecs: [SPEC] },
      // One pod works, the other sleeps.
      UserCommand: '[ "$RANK" = 1 ] || while :; do :; done; exec sleep 600',
      Envs: { PAI_LOCAL_GPU_USE: '95,3' },
    },
  });
  id = answer.body.JobId;
  const query = { MetricType: 'CpuCoreUsage', TimeStep: '1s' };
  await until(
    () => metrics(query),
    (found) => found.status === 200 && pointsOf(found).filter((n) => n > 1).length === 2,
  );
});
afterAll(() => sandbox.close());

describe.skipIf(process.platform !== 'linux')('GetJobMetrics', () => {
  it('tells what the processes of each pod use', async () => {
    const { body } = await metrics({ MetricType: 'CpuCoreUsage', TimeStep: '1h' });
    expect(body).toMatchObject({ JobId: id, PodMetrics: [{ PodId: `${id}-worker-0` }, { PodId: `${id}-worker-1` }] });
    const [busy, idle] = body.PodMetrics.map(({ Metrics }: { Metrics: { Value: number }[] }) => Metrics.at(-1)?.Value);
    expect(busy).toBeGreaterThan(10 * idle);
    expect(busy).toBeLessThanOrEqual(105);
    const memory = await metrics({ MetricType: 'MemoryUsage', TimeStep: '1h' });
    expect(memory.body.PodMetrics[0].Metrics[0]).toMatchObject({ Time: expect.any(Number), Value: expect.any(Number) });
  });

  it('has no points for GPUs that are not there, but for the one metric that a job sets', async () => {
    expect(pointsOf(await metrics({ MetricType: 'GpuMemoryUsage' }))).toEqual([0, 0]);
    expect(pointsOf(await metrics({ MetricType: 'NetworkInputRate' }))).toEqual([0, 0]);
    const { body } = await metrics({ MetricType: 'GpuCoreUsage', TimeStep: '1h' });
    expect(body.PodMetrics.map(({ Metrics }: { Metrics: { Value: number }[] }) => Metrics[0]?.Value)).toEqual([95, 3]);
  });

  it('keeps to the window, by default the last hour', async () => {
    const past = { StartTime: '2020-11-08T16:00:00Z', EndTime: '2020-11-08T17:00:00Z' };
    expect(pointsOf(await metrics({ MetricType: 'CpuCoreUsage', ...past }))).toEqual([0, 0]);
  });

  it.each([
    [{}, 400, 'MissingParameter'],
    [{ MetricType: 'GpuUsage' }, 400, 'InvalidParameter'],
    [{ MetricType: 'CpuCoreUsage', TimeStep: 'soon' }, 400, 'InvalidParameter'],
    [{ MetricType: 'CpuCoreUsage', StartTime: '2020-11-08T16:00:00Z', TimeStep: '1s' }, 400, 'InvalidParameter'],
  ])('refuses %j', async (query, status, code) => {
    expect(await metrics(query as Record<string, string>)).toMatchObject({ status, body: { Code: code } });
  });

  it('knows no metrics of a job that is not there', async () => {
    expect(await metrics({ MetricType: 'CpuCoreUsage' }, 'dlc0')).toMatchObject({ status: 404 });
  });
});
