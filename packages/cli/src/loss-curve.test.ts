import { describe, expect, it } from 'vitest';
import { renderLossCurve } from './loss-curve.ts';

describe('renderLossCurve', () => {
  it('draws the loss from left to right with its extremes on the axis', () => {
    const points = Array.from({ length: 40 }, (_, i) => ({ iteration: i + 1, lmLoss: 7 - i * 0.1 }));
    const lines = renderLossCurve(points, { columns: 20, rows: 5 }).split('\n');
    expect(lines).toHaveLength(7);
    // Each of the 20 columns is the mean of two points: 6.95 at the left, 3.15 at the right.
    expect(lines[0]).toContain('6.95');
    expect(lines[5]).toContain('3.15');
    expect(lines[6]).toMatch(/^ +iteration 1 +40$/);
  });

  it('leaves out iterations without a number, and says when there is none at all', () => {
    expect(renderLossCurve([])).toBe('(no loss was logged)');
    const text = renderLossCurve([
      { iteration: 1, lmLoss: 2 },
      { iteration: 2, lmLoss: Number.NaN },
      { iteration: 3, lmLoss: 1 },
    ]);
    expect(text).not.toContain('NaN');
    expect(text).toContain('iteration 1');
  });
});
