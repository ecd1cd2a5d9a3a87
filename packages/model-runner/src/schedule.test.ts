import { expect, it } from 'vitest';
import { learningRate } from './schedule.ts';

const schedule = { warmupIterations: 4, decayIterations: 12, peak: 1e-3, min: 1e-4 };

// Half a cosine over 8 iterations: after 2 of them cos 45° = 0.7071, after 4 cos 90° = 0.
it.each([
  { iteration: 0, rate: 0 },
  { iteration: 1, rate: 2.5e-4 },
  { iteration: 4, rate: 1e-3 },
  { iteration: 6, rate: 1e-4 + 9e-4 * 0.853553390593 },
  { iteration: 8, rate: 5.5e-4 },
  { iteration: 12, rate: 1e-4 },
  { iteration: 13, rate: 1e-4 },
  { iteration: 1000, rate: 1e-4 },
])('is $rate at iteration $iteration', ({ iteration, rate }) => {
  expect(learningRate(iteration, schedule)).toBeCloseTo(rate, 12);
});

it('goes on where another schedule stands: a warm-up that ended, or one that began, so many iterations ago', () => {
  const after5 = { ...schedule, warmupIterations: -1, decayIterations: 7 };
  for (const iteration of [0, 1, 6, 7, 8]) {
    expect(learningRate(iteration, after5)).toBeCloseTo(learningRate(5 + iteration, schedule), 15);
  }
  const after1 = { ...schedule, warmupIterations: 3, warmupInit: 2.5e-4, decayIterations: 11 };
  expect([0, 1, 3].map((iteration) => learningRate(iteration, after1))).toEqual([2.5e-4, 5e-4, 1e-3]);
  expect(learningRate(7, after1)).toBeCloseTo(5.5e-4, 12);
});

it('starts at the peak without a warm-up', () => {
  expect(learningRate(0, { ...schedule, warmupIterations: 0 })).toBe(1e-3);
});

it('goes straight to the minimum when the warm-up is longer than the decay', () => {
  const odd = { ...schedule, warmupIterations: 20 };
  expect(learningRate(20, odd)).toBe(1e-3);
  expect(learningRate(21, odd)).toBe(1e-4);
});
