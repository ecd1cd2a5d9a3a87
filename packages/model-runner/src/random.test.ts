import { expect, it } from 'vitest';
import { createNormal, createRandom } from './random.ts';

const moments = (values: number[]) => {
  const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
  const about = (power: number) => values.reduce((sum, x) => sum + (x - mean) ** power, 0) / values.length;
  return { mean, variance: about(2), fourth: about(4) };
};
const draw = (next: () => number) => Array.from({ length: 50_000 }, next);

it('is uniform in [0, 1)', () => {
  const values = draw(createRandom(5));
  expect(values.every((value) => value >= 0 && value < 1)).toBe(true);
  const { mean, variance } = moments(values);
  expect(mean).toBeCloseTo(0.5, 2);
  expect(variance).toBeCloseTo(1 / 12, 2);
});

it('repeats for one seed and differs between seeds, also beyond 32 bits', () => {
  const firstOf = (seed: number) => createRandom(seed)();
  expect(firstOf(5)).toBe(firstOf(5));
  expect(new Set([0, 1, 2, 2 ** 32, 2 ** 32 + 1, 2 ** 40].map(firstOf)).size).toBe(6);
});

it('makes standard normal numbers: mean 0, variance 1, fourth moment 3', () => {
  const { mean, variance, fourth } = moments(draw(createNormal(createRandom(5))));
  expect(Math.abs(mean)).toBeLessThan(0.02);
  expect(Math.abs(variance - 1)).toBeLessThan(0.03);
  expect(Math.abs(fourth - 3)).toBeLessThan(0.2);
});
