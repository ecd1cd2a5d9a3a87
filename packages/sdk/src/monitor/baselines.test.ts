import { describe, expect, it } from 'vitest';
import { BASELINES, type LossDetector } from '../../bench/baselines.mjs';
import { FAULTS, recallOf, seededRandom, syntheticLosses } from '../../bench/faults.mjs';
import { monitorAll } from '../../test/real-logs.ts';

/** Seeds that the rules' numbers were not chosen on: see bench/detection-bench.mjs. */
const CURVES = [9, 10].map((seed) => syntheticLosses(1200, seed));

const ours: LossDetector = (losses) =>
  monitorAll(
    losses.map((lmLoss, index) => ({ type: 'iteration', iteration: index + 1, trainIterations: 1e6, lmLoss })),
  ).alarms.map(({ iteration }) => iteration - 1);

const recall = (detector: LossDetector, fault: (typeof FAULTS)[number]): number => {
  const random = seededRandom(7);
  const found = CURVES.map((losses) => recallOf(detector, losses, fault, 25, random).recall);
  return found.reduce((sum, value) => sum + value, 0) / found.length;
};
const alarms = (detector: LossDetector): number => CURVES.reduce((sum, losses) => sum + detector(losses).length, 0);

describe('the rules next to what others do', () => {
  it('raise nothing on calm curves', () => {
    expect(alarms(ours)).toBe(0);
  });

  it.each(FAULTS)('find $name', (fault) => {
    expect(recall(ours, fault)).toBeGreaterThanOrEqual(fault.least ?? 0.9);
  });

  it.each(Object.entries(BASELINES))('%s finds less, or alarms without cause', (_, detector) => {
    const isWorse = FAULTS.some((fault) => recall(detector, fault) < recall(ours, fault));
    expect(isWorse || alarms(detector) > 0).toBe(true);
  });

  it('and the baselines do find what they are made for', () => {
    const [, large] = FAULTS as [unknown, (typeof FAULTS)[number]];
    expect(recall(BASELINES['metaseq, × 1.25'] as LossDetector, large)).toBe(1);
    expect((BASELINES['Megatron, 10 × max'] as LossDetector)([...Array(100).fill(2), 21, 2])).toEqual([100]);
  });
});
