import { describe, expect, it } from 'vitest';
import { fitSchedule } from './fit-schedule.ts';

const original = { peak: 5e-5, min: 5e-6, warmupIterations: 100, decayIterations: 1000 };

describe('fitSchedule', () => {
  it('a run of its own starts and ends where the rest of the original does', () => {
    // Half of the cosine is left: 5e-6 + 4.5e-5 / 2 · (1 + cos(π/2)) = 2.75e-5. Between, (1 + cos πx) / 4 and (1 + cos(π/2 + πx/2)) / 2
    // are furthest apart at x = 1/3: by 0.125 of the height, which is nine tenths of the peak.
    const fitted = fitSchedule(original, { from: 550, steps: 450, decayIterations: 450, warmupIterations: 0 });
    expect(fitted).toMatchObject({ peak: 2.75e-5, min: 5e-6, warmupIterations: 0, decayIterations: 450 });
    expect(fitted.end).toEqual({ original: 5e-6, fitted: 5e-6 });
    expect(fitted.largestGap).toBeCloseTo(0.1125, 4);
  });

  it('the first part of the whole run’s cosine is nearest by least squares, its floor not below 0', () => {
    const fitted = fitSchedule(original, { from: 550, steps: 450, decayIterations: 1000, warmupIterations: 0 });
    // numpy's nnls over the 451 rates: 0 and 1.62834e-5, a gap of 22.43 % of the peak, 104.9 % of the mean, 9.4154e-6 at the end.
    expect(fitted).toMatchObject({ min: 0, peak: 1.628e-5 });
    expect(fitted.largestGap).toBeCloseTo(0.2243, 3);
    expect(fitted.meanRatio).toBeCloseTo(1.049, 3);
    expect(fitted.end.fitted).toBeCloseTo(9.415e-6, 8);
  });

  it('early in a run the approximation is close', () => {
    const fitted = fitSchedule(original, { from: 150, steps: 850, decayIterations: 1000, warmupIterations: 20 });
    expect(fitted).toMatchObject({ min: 0, peak: 4.459e-5 }); // nnls: 4.45899e-5
    expect(fitted.largestGap).toBeCloseTo(0.0948, 3);
    expect(fitted.meanRatio).toBeCloseTo(1.021, 3);
  });

  it('goes on from a schedule that itself began later', () => {
    const later = { ...original, warmupIterations: 0, decayIterations: 500, startIteration: 500 };
    const fitted = fitSchedule(later, { from: 750, steps: 250, decayIterations: 250, warmupIterations: 0 });
    expect(fitted).toMatchObject({ peak: 2.75e-5, min: 5e-6 });
  });
});
