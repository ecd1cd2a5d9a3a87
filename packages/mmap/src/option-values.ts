import { InvalidInputError } from '@pai-cpt/core';

const FACTORS: Readonly<Record<string, number>> = { '': 1, k: 1e3, M: 1e6, B: 1e9 };

/** A number from 0, as `0.7`, `4096`, `1e9`, `500k`, `20M` or `1.5B`; `undefined` for anything else. */
export function parseAmount(value: string): number | undefined {
  const [, digits, suffix] = /^(\d+(?:\.\d+)?(?:e\d+)?)([kMB]?)$/.exec(value) ?? [];
  const amount = Number(digits) * (FACTORS[suffix ?? ''] as number);
  if (!Number.isFinite(amount)) return undefined;
  // 2.3 × 1e9 is 2299999999.9999995: what is meant is the whole number beside it.
  const whole = Math.round(amount);
  return suffix && Math.abs(amount - whole) < 1e-3 ? whole : amount;
}

/** A reader of whole numbers from 0 for one option. */
export function countOption(option: string): (value: string) => number {
  return (value) => {
    const count = parseAmount(value);
    if (Number.isSafeInteger(count)) return count as number;
    throw new InvalidInputError(
      'CPT_INPUT_INVALID',
      `${option} "${value}" cannot be used; give a whole number such as 4096, 1e9, 500k, 20M or 1.5B`,
      { field: option },
    );
  };
}
