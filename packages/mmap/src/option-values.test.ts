import { expect, test } from 'vitest';
import { refusal } from '../test/fixtures.ts';
import { countOption, parseAmount } from './option-values.ts';

test.each([
  ['0', 0],
  ['4096', 4096],
  ['1e9', 1_000_000_000],
  ['2.5e3', 2500],
  ['500k', 500_000],
  ['20M', 20_000_000],
  ['2.3B', 2_300_000_000],
  ['9007199254740991', 2 ** 53 - 1],
])('%s is %i', (value, count) => {
  expect(countOption('--tokens')(value)).toBe(count);
});

test.each(['', 'x', '-1', '1.5', '1e-3', '9007199254740993', '1G', '1 000', '0.0001k', '1e999'])(
  '"%s" is refused by the name of the option',
  async (value) => {
    const error = await refusal(Promise.resolve().then(() => countOption('--tokens')(value)));
    expect(error.message).toBe(
      `--tokens "${value}" cannot be used; give a whole number such as 4096, 1e9, 500k, 20M or 1.5B`,
    );
  },
);

test.each([
  ['0.7', 0.7],
  ['3', 3],
  ['2.3B', 2_300_000_000],
  ['0.5k', 500],
  ['0,7', undefined],
  ['', undefined],
  ['.5', undefined],
  ['-1', undefined],
])('the amount "%s" is %d', (value, amount) => {
  expect(parseAmount(value)).toBe(amount);
});
