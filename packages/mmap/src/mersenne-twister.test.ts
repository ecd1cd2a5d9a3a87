import { describe, expect, it, test } from 'vitest';
import { readFixture, refusal } from '../test/fixtures.ts';
import { createRandomState } from './mersenne-twister.ts';

interface RandomCase {
  seed: number;
  numbers: { first: number[]; 'around 624': number[]; last: number[] };
  permutations: number[][];
}
const { randomStates } = readFixture('mmap/samples_more.json') as { randomStates: RandomCase[] };

describe.each(randomStates)('seed $seed', ({ seed, numbers, permutations }) => {
  it('gives the numbers of numpy, also after the state is renewed', () => {
    const random = createRandomState(seed);
    const drawn = Array.from({ length: 1400 }, () => random.next());
    expect(drawn.slice(0, 5)).toEqual(numbers.first);
    expect(drawn.slice(621, 627)).toEqual(numbers['around 624']);
    expect(drawn.slice(-3)).toEqual(numbers.last);
  });

  it('shuffles as numpy, one shuffle after another', () => {
    const random = createRandomState(seed);
    for (const permutation of permutations) {
      const values = Int32Array.from({ length: permutation.length }, (_, i) => i);
      random.shuffle(values);
      expect(Array.from(values)).toEqual(permutation);
    }
  });
});

test('nothing to shuffle draws nothing', () => {
  const random = createRandomState(1234);
  random.shuffle(new Int32Array(0));
  random.shuffle(new Int32Array(1));
  expect(random.next()).toBe(createRandomState(1234).next());
});

test.each([-1, 2 ** 32, 1.5, Number.NaN])('seed %d is refused', async (seed) => {
  const error = await refusal(Promise.resolve().then(() => createRandomState(seed)));
  expect(error.code).toBe('CPT_INPUT_INVALID');
});
