import { describe, expect, it } from 'vitest';
import { paiError } from '../test/scripted-pai.ts';
import { readAutoScaler, readCronScaler, toWireAutoScaler, toWireCronScaler } from './service-scaler.ts';

const scaler = { minInstances: 0, maxInstances: 4, rules: [{ metric: 'gpu[util]', threshold: 80 }] };

describe('toWireAutoScaler', () => {
  it('writes the lower-case names of EAS', () => {
    expect(toWireAutoScaler({ ...scaler, scaleDownAfterSeconds: 600 })).toEqual({
      ...{ min: 0, max: 4, scaleStrategies: [{ metricName: 'gpu[util]', threshold: 80 }] },
      behavior: { scaleDown: { stabilizationWindowSeconds: 600 } },
    });
    expect(toWireAutoScaler(scaler)).not.toHaveProperty('behavior');
  });

  it.each([
    ['more at least than at most', { minInstances: 5 }],
    ['nothing at most', { maxInstances: 0 }],
    ['half an instance', { minInstances: 0.5 }],
    ['no rule', { rules: [] }],
    ['a threshold of nothing', { rules: [{ metric: 'qps', threshold: 0 }] }],
    ['a threshold that is no number', { rules: [{ metric: 'qps', threshold: Number.NaN }] }],
  ])('refuses %s', (_, change) => {
    expect(() => toWireAutoScaler({ ...scaler, ...change })).toThrow(
      expect.objectContaining({ code: 'CPT_INPUT_INVALID' }),
    );
  });
});

describe('readAutoScaler', () => {
  it('reads either spelling', async () => {
    const lower = { min: 1, max: 3, scaleStrategies: [{ metricName: 'qps', threshold: 10 }] };
    const upper = { MinReplica: 1, MaxReplica: 3, ScaleStrategies: [{ MetricName: 'QPS', Threshold: 10 }] };
    for (const wire of [lower, upper]) {
      expect(await readAutoScaler(async () => wire)).toEqual({
        ...{ minInstances: 1, maxInstances: 3, rules: [{ metric: 'qps', threshold: 10 }] },
      });
    }
  });

  it('tells what EAS measures', async () => {
    // DescribeServiceAutoScalerResponseBody of eas-20210701: names of fields, and their examples
    const wire = {
      ...{ MinReplica: 3, MaxReplica: 8, ScaleStrategies: [{ metricName: 'QPS', service: 'demo_svc', threshold: 10 }] },
      CurrentMetrics: [{ metricName: 'QPS', service: 'demo_svc', value: 10 }],
      Behavior: { scaleDown: { stabilizationWindowSeconds: 150 } },
    };
    expect(await readAutoScaler(async () => wire)).toEqual({
      ...{ minInstances: 3, maxInstances: 8, rules: [{ metric: 'qps', threshold: 10 }], scaleDownAfterSeconds: 150 },
      current: [{ metric: 'qps', value: 10 }],
    });
  });

  it('gives nothing where there is none, and throws what else is wrong', async () => {
    const failing = (code: 'CPT_PAI_NOT_FOUND' | 'CPT_PAI_FORBIDDEN') => async () => {
      throw paiError(code);
    };
    expect(await readAutoScaler(failing('CPT_PAI_NOT_FOUND'))).toBeUndefined();
    expect(await readAutoScaler(async () => ({}))).toBeUndefined();
    await expect(readAutoScaler(failing('CPT_PAI_FORBIDDEN'))).rejects.toMatchObject({ code: 'CPT_PAI_FORBIDDEN' });
  });
});

describe('a cron scaler', () => {
  const job = { name: 'morning', schedule: '0 30 8 * * MON-FRI', instances: 4, timeZone: 'Asia/Shanghai' };

  it('is written with the names of EAS', () => {
    expect(toWireCronScaler({ jobs: [job], excludeDates: ['* * * 1 1 *'] })).toEqual({
      ScaleJobs: [{ name: 'morning', schedule: '0 30 8 * * MON-FRI', targetSize: 4, timeZone: 'Asia/Shanghai' }],
      ExcludeDates: ['* * * 1 1 *'],
    });
  });

  it.each([
    ['no job', { jobs: [] }],
    ['the five fields of crontab', { jobs: [{ ...job, schedule: '30 8 * * 1-5' }] }],
    ['a date of five fields', { jobs: [job], excludeDates: ['* * 1 1 *'] }],
    ['half an instance', { jobs: [{ ...job, instances: 0.5 }] }],
  ])('refuses %s', (_, scaler) => {
    expect(() => toWireCronScaler(scaler)).toThrow(expect.objectContaining({ code: 'CPT_INPUT_INVALID' }));
  });

  it('is read with what became of its jobs', async () => {
    // DescribeServiceCronScalerResponseBody of eas-20210701
    const done = { State: 'Succeed', LastProbeTime: '2022-02-24T06:31:00Z', Message: 'executed successfully' };
    const ScaleJobs = [{ Name: 'a', Schedule: '0 18 * * * *', TargetSize: 1, ...done }];
    expect(await readCronScaler(async () => ({ ScaleJobs, ExcludeDates: null }))).toEqual({
      jobs: [
        {
          ...{ name: 'a', schedule: '0 18 * * * *', instances: 1, state: 'Succeed' },
          ...{ ranAt: '2022-02-24T06:31:00Z', message: 'executed successfully' },
        },
      ],
      excludeDates: [],
    });
    expect(await readCronScaler(async () => ({ ScaleJobs: [] }))).toBeUndefined();
    const missing = async () => {
      throw paiError('CPT_PAI_NOT_FOUND');
    };
    expect(await readCronScaler(missing)).toBeUndefined();
  });
});
