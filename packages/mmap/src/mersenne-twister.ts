import { InvalidInputError } from '@pai-cpt/core';

/** The random numbers of `numpy.random.RandomState`, as far as a shuffle needs them. */
export interface RandomState {
  /** The next 32 random bits. */
  next(): number;
  /** Shuffles in place; continues the same stream of numbers as every call before. */
  shuffle(values: Int32Array | Uint32Array): void;
}

const SIZE = 624;
const SHIFT = 397;

/**
 * numpy's `RandomState(seed)`: MT19937 set up by `init_genrand` (not by `init_by_array`, which Python's own `random` uses and
 * which gives other numbers). A shuffle walks from the last element down and draws each partner by masking and rejecting; the
 * usual remainder would draw other partners.
 * @throws InvalidInputError `CPT_INPUT_INVALID` for a seed outside 0 to 2^32 - 1, which numpy refuses too.
 */
export function createRandomState(seed: number): RandomState {
  if (!Number.isInteger(seed) || seed < 0 || seed > 0xffffffff) {
    throw new InvalidInputError('CPT_INPUT_INVALID', `seed ${seed} is not a whole number from 0 to 4294967295`, {
      field: 'seed',
    });
  }
  const state = new Uint32Array(SIZE);
  state[0] = seed;
  for (let i = 1; i < SIZE; i++) {
    const before = state[i - 1] as number;
    state[i] = Math.imul(1812433253, before ^ (before >>> 30)) + i;
  }
  let at = SIZE;

  const next = (): number => {
    if (at === SIZE) {
      twist(state);
      at = 0;
    }
    let bits = state[at++] as number;
    bits ^= bits >>> 11;
    bits ^= (bits << 7) & 0x9d2c5680;
    bits ^= (bits << 15) & 0xefc60000;
    bits ^= bits >>> 18;
    return bits >>> 0;
  };
  return {
    next,
    shuffle(values) {
      for (let last = values.length - 1; last > 0; last--) {
        const mask = 0xffffffff >>> Math.clz32(last);
        let partner = (next() & mask) >>> 0;
        while (partner > last) partner = (next() & mask) >>> 0;
        const value = values[last] as number;
        values[last] = values[partner] as number;
        values[partner] = value;
      }
    },
  };
}

/** The next 624 words from the last 624. */
function twist(state: Uint32Array): void {
  for (let i = 0; i < SIZE; i++) {
    const high = (state[i] as number) & 0x80000000;
    const low = (state[(i + 1) % SIZE] as number) & 0x7fffffff;
    const word = high | low;
    state[i] = (state[(i + SHIFT) % SIZE] as number) ^ (word >>> 1) ^ (word & 1 ? 0x9908b0df : 0);
  }
}
