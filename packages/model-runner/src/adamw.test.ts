import { expect, it } from 'vitest';
import { createAdamW } from './adamw.ts';

const options = { betas: [0.9, 0.95] as const, epsilon: 1e-8, clipGrad: 1 };

it('decays apart from the gradient, and only where told to', () => {
  const segments = [
    { from: 0, to: 1, weightDecay: 0.1 },
    { from: 1, to: 2, weightDecay: 0 },
  ];
  const parameters = Float32Array.of(1, 1);
  const gradNorm = createAdamW(2, { ...options, segments }).update(parameters, Float32Array.of(0.3, -0.4), 0.1);
  expect(gradNorm).toBeCloseTo(0.5, 6);
  // The first corrected step is the sign of the gradient: 1 · (1 − 0.1 · 0.1) − 0.1 and 1 + 0.1.
  expect(parameters[0]).toBeCloseTo(0.89, 6);
  expect(parameters[1]).toBeCloseTo(1.1, 6);
});

it('scales gradients down to the norm limit before they enter the moments', () => {
  const optimizer = createAdamW(2, { ...options, segments: [{ from: 0, to: 2, weightDecay: 0 }] });
  const parameters = Float32Array.of(0, 0);
  expect(optimizer.update(parameters, Float32Array.of(3, 4), 1)).toBe(5);
  optimizer.update(parameters, Float32Array.of(0.3, 0.4), 1);
  // 3 is clipped to 0.6. m = 0.9 · 0.06 + 0.1 · 0.3 = 0.084, v = 0.95 · 0.018 + 0.05 · 0.09 = 0.0216; divided by 0.19 and
  // 0.0975 they make a second step of 0.442105 / √0.221538 = 0.939294 (0.750115 if 3 had entered).
  expect(parameters[0]).toBeCloseTo(-1.939294, 5);
});

it('keeps parameters and moments when the norm is not finite', () => {
  const segments = [{ from: 0, to: 1, weightDecay: 0.1 }];
  const interrupted = createAdamW(1, { ...options, segments });
  const plain = createAdamW(1, { ...options, segments });
  const [a, b] = [Float32Array.of(1), Float32Array.of(1)];
  for (const gradient of [0.5, Number.POSITIVE_INFINITY, -0.2]) {
    interrupted.update(a, Float32Array.of(gradient), 0.1);
    if (Number.isFinite(gradient)) plain.update(b, Float32Array.of(gradient), 0.1);
  }
  expect(a).toEqual(b);
});
