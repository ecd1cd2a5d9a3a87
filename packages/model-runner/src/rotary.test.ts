import { expect, it } from 'vitest';
import { readReference } from '../test/fixtures.ts';
import { rotaryTables } from './rotary.ts';

it('gives the tables of transformers, also at far positions where the rounding of the frequencies shows', async () => {
  const { rotary } = await readReference();
  expect(rotary).toHaveLength(3);
  for (const { headDim, theta, positions, pairs, cos, sin } of rotary) {
    positions.forEach((position, row) => {
      const tables = rotaryTables({ headDim, ropeTheta: theta }, position, 1);
      pairs.forEach((pair, column) => {
        const where = `head_dim ${headDim}, theta ${theta}, position ${position}, pair ${pair}`;
        expect(tables.cos[pair], where).toBeCloseTo(cos[row]?.[column] as number, 6);
        expect(tables.sin[pair], where).toBeCloseTo(sin[row]?.[column] as number, 6);
      });
    });
  }
});

it('gives the same rows whether a range starts at 0 or later', () => {
  const whole = rotaryTables({ headDim: 16, ropeTheta: 1e6 }, 0, 8);
  const part = rotaryTables({ headDim: 16, ropeTheta: 1e6 }, 5, 3);
  expect(part.cos).toEqual(whole.cos.slice(5 * 8));
  expect(part.sin).toEqual(whole.sin.slice(5 * 8));
});
