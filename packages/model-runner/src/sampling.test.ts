import { expect, it } from 'vitest';
import { logSoftmax, sampleToken } from './sampling.ts';

const logprobs = Float64Array.of(0.15, 0.5, 0.1, 0.25).map(Math.log);
const draw = (options: { temperature: number; topP: number }, random: number) =>
  sampleToken(logprobs, options, () => random);

it('gives log probabilities, also of logits whose exponentials overflow', () => {
  expect([...logSoftmax(Float32Array.of(1000, 1000))]).toEqual([-Math.LN2, -Math.LN2]);
  expect(logSoftmax(Float32Array.of(0, Math.log(3)))[1]).toBeCloseTo(Math.log(0.75), 6);
});

it('takes the most likely token at temperature 0, the lowest of equals', () => {
  expect(draw({ temperature: 0, topP: 1 }, 0.99)).toBe(1);
  expect(sampleToken(Float64Array.of(-2, -1, -1), { temperature: 0, topP: 1 }, () => 0.99)).toBe(1);
});

it.each([
  // In order of likelihood: token 1 up to 0.5, token 3 up to 0.75, token 0 up to 0.9, token 2 up to 1.
  { temperature: 1, topP: 1, random: 0.49, token: 1 },
  { temperature: 1, topP: 1, random: 0.51, token: 3 },
  { temperature: 1, topP: 1, random: 0.76, token: 0 },
  { temperature: 1, topP: 1, random: 0.91, token: 2 },
  // Squared and divided by their sum 0.345: 0.7246, 0.1812, 0.0652, 0.029.
  { temperature: 0.5, topP: 1, random: 0.72, token: 1 },
  { temperature: 0.5, topP: 1, random: 0.73, token: 3 },
  // Only tokens 1 and 3 are needed to reach 0.7; together 0.75, so token 1 has two thirds.
  { temperature: 1, topP: 0.7, random: 0.66, token: 1 },
  { temperature: 1, topP: 0.7, random: 0.67, token: 3 },
  { temperature: 1, topP: 0.7, random: 0.9999, token: 3 },
  // The most likely token alone is already past 0.4, and is kept whatever topP is.
  { temperature: 1, topP: 0.4, random: 0.9999, token: 1 },
  { temperature: 1, topP: 0, random: 0.9999, token: 1 },
])(
  'draws token $token for $random at temperature $temperature and topP $topP',
  ({ temperature, topP, random, token }) => {
    expect(draw({ temperature, topP }, random)).toBe(token);
  },
);
