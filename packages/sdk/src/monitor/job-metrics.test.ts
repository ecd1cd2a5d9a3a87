import { describe, expect, it } from 'vitest';
import { scriptedPai } from '../../test/scripted-pai.ts';
import { METRIC_TYPES, readJobMetrics, readPodUse, readReportedMetrics } from './job-metrics.ts';

const AT = Date.parse('2026-11-24T08:00:00Z');
const answering = (valueIn: (metric: string) => number | undefined) =>
  scriptedPai({
    GetJobMetrics: ({ query }) => {
      const value = valueIn(query.MetricType);
      const Metrics = value === undefined ? [] : [{ Time: AT - 60_000, Value: 1 }, { Time: AT, Value: value }]; // biome-ignore format: one line
      return { PodMetrics: [{ PodId: 'dlc1-master-0', Metrics }] };
    },
  });

describe('readJobMetrics', () => {
  it('asks for every metric that pai-api.md names, in PAI’s spelling of times and steps', async () => {
    const pai = answering(() => 42.5);
    const window = { from: '2026-11-24T07:00:00.500Z', to: '2026-11-24T16:00:00+08:00', stepSeconds: 300 };
    const metrics = await readJobMetrics(pai, 'dlc1', { ...window, shareToken: 'eyJ' });
    expect(pai.calls.map(({ input }) => input.query)).toEqual(
      METRIC_TYPES.map((MetricType) => ({
        ...{ MetricType, StartTime: '2026-11-24T07:00:00Z', EndTime: '2026-11-24T08:00:00Z' },
        ...{ TimeStep: '5m', Token: 'eyJ' },
      })),
    );
    expect(METRIC_TYPES).toHaveLength(8);
    expect(metrics[0]).toEqual({
      podId: 'dlc1-master-0',
      metric: 'GpuCoreUsage',
      points: [
        { at: '2026-11-24T07:59:00.000Z', value: 1 },
        { at: '2026-11-24T08:00:00.000Z', value: 42.5 },
      ],
    });
  });

  it('leaves the window to PAI when none is given, and names seconds where minutes do not do', async () => {
    const pai = answering(() => 1);
    await readJobMetrics(pai, 'dlc1', { metrics: ['MemoryUsage'], stepSeconds: 45 });
    expect(pai.calls.map(({ input }) => input.query)).toEqual([{ MetricType: 'MemoryUsage', TimeStep: '45s' }]);
  });

  it.each([
    ['dlc1', { metrics: ['GpuUsage' as 'GpuCoreUsage'] }, 'metrics'],
    ['dlc1', { stepSeconds: 0.5 }, 'stepSeconds'],
    ['dlc1', { from: 'yesterday' }, 'from'],
    ['train1', { shareToken: 'eyJ' }, 'shareToken'],
  ])('refuses %s %j', async (jobId, options, field) => {
    const refused = readJobMetrics(
      answering(() => 1),
      jobId,
      options,
    );
    await expect(refused).rejects.toMatchObject({ code: 'CPT_INPUT_INVALID', details: { field } });
  });
});

it('what a pod uses is its newest values; one that PAI does not have is absent', async () => {
  const pai = answering((metric) => ({ GpuCoreUsage: 97, NetworkInputRate: 12 })[metric]);
  expect(await readPodUse(pai, 'dlc1', AT)).toEqual({
    type: 'metrics',
    at: '2026-11-24T08:00:00.000Z',
    pods: [{ podId: 'dlc1-master-0', gpuPercent: 97, networkInRate: 12 }],
  });
  expect(pai.calls).toHaveLength(6);
});

it('says where the numbers of a DLC job are, in whose log PAI does not look', async () => {
  const refused = readReportedMetrics(scriptedPai({}), 'dlc1').next();
  await expect(refused).rejects.toMatchObject({
    code: 'CPT_INPUT_INVALID',
    message: expect.stringContaining('jobs.follow()'),
  });
});
