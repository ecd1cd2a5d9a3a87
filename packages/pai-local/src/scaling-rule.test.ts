import { describe, expect, it } from 'vitest';
import { instancesFor, parseScalingRule, stabilize } from './scaling-rule.ts';

const qps = { metricName: 'qps', threshold: 10 };
const body = { min: 1, max: 8, scaleStrategies: [qps] };

describe('parseScalingRule', () => {
  it('has the windows that EAS documents, and takes its capitals', () => {
    expect(parseScalingRule({ ...body, scaleStrategies: [{ metricName: 'QPS', threshold: 10 }] })).toEqual({
      ...{ min: 1, max: 8, strategies: [{ metric: 'qps', threshold: 10 }] },
      ...{ upWindowMs: 0, downWindowMs: 300_000, zeroGraceMs: 600_000, activationInstances: 1 },
    });
    const behavior = {
      onZero: { scaleDownGracePeriodSeconds: 60, scaleUpActivationReplicas: 3 },
      scaleDown: { stabilizationWindowSeconds: 30 },
      scaleUp: { stabilizationWindowSeconds: 45 },
    };
    expect(parseScalingRule({ ...body, behavior })).toMatchObject({
      ...{ upWindowMs: 45_000, downWindowMs: 30_000, zeroGraceMs: 60_000, activationInstances: 3 },
    });
  });

  it.each([
    ['without max', { max: undefined }],
    ['with more at least than at most', { min: 9 }],
    ['with half an instance', { min: 0.5 }],
    ['with more than run here', { max: 17 }],
    ['without a strategy', { scaleStrategies: [] }],
    ['without a threshold', { scaleStrategies: [{ metricName: 'qps' }] }],
    ['with a metric that EAS has not', { scaleStrategies: [{ metricName: 'latency', threshold: 1 }] }],
    ['with a window of words', { behavior: { scaleDown: { stabilizationWindowSeconds: 'long' } } }],
    ['with a list for behavior', { behavior: [] }],
  ])('refuses one %s', (_, change) => {
    expect(() => parseScalingRule({ ...body, ...change })).toThrow(expect.objectContaining({ status: 400 }));
  });
});

describe('instancesFor', () => {
  const rule = parseScalingRule({ ...body, scaleStrategies: [qps, { metricName: 'cpu', threshold: 50 }] });
  it.each([
    ['what the greediest metric wants', [35, 60], 4],
    ['no more at the threshold itself', [30, 0], 3],
    ['at least the minimum', [0, 0], 1],
    ['at most the maximum', [1000, 0], 8],
    ['what is known, when one metric is not', [undefined, 120], 3],
    ['nothing, when none is', [undefined, undefined], undefined],
  ])('wants %s', (_, totals, wanted) => {
    expect(instancesFor(rule, totals)).toBe(wanted);
  });
});

describe('stabilize', () => {
  const behavior = { scaleUp: { stabilizationWindowSeconds: 20 }, scaleDown: { stabilizationWindowSeconds: 60 } };
  const rule = parseScalingRule({ ...body, behavior });
  const history = (...wanted: number[]) => wanted.map((value, at) => ({ at: at * 15_000, wanted: value }));

  it.each([
    ['adds what was wanted all the time', history(1, 4, 3), 1, 30_000, 3],
    ['waits while less was wanted in the window', history(1, 1, 3), 1, 30_000, 1],
    ['keeps what was wanted in the window', history(4, 1, 1, 1), 4, 45_000, 4],
    ['gives up what was wanted before it', history(4, 2, 1, 1, 1), 4, 60_000, 2],
  ])('%s', (_, entries, present, now, wanted) => {
    expect(stabilize(rule, entries, present, now)).toBe(wanted);
  });

  it('adds at once by default', () => {
    expect(stabilize(parseScalingRule(body), history(1, 1, 5), 1, 30_000)).toBe(5);
  });
});
