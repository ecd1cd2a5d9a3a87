import { describe, expect, it } from 'vitest';
import { paiError } from '../test/scripted-pai.ts';
import { readAutoScaler, toWireAutoScaler } from './service-scaler.ts';

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
    const upper = { MinReplica: 1, MaxReplica: 3, ScaleStrategies: [{ MetricName: 'qps', Threshold: 10 }] };
    for (const wire of [lower, upper]) {
      expect(await readAutoScaler(async () => wire)).toEqual({
        ...{ minInstances: 1, maxInstances: 3, rules: [{ metric: 'qps', threshold: 10 }] },
      });
    }
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
