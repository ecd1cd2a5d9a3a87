import fc from 'fast-check';
import { expect, it } from 'vitest';
import { addValue, emptyWindow, medianDeviation, medianOf, type Window, windowOf } from './window.ts';

it('keeps the last values in both orders, whatever comes', () => {
  const value = fc.oneof(fc.integer({ min: -3, max: 3 }), fc.double({ noNaN: true, min: -1e6, max: 1e6 }));
  fc.assert(
    fc.property(fc.array(value, { maxLength: 60 }), fc.integer({ min: 1, max: 20 }), (values, size) => {
      let window: Window = emptyWindow;
      for (const item of values) {
        const before = JSON.stringify(window);
        const next = addValue(window, item, size);
        expect(JSON.stringify(window)).toBe(before);
        window = next;
      }
      expect(window.values).toEqual(values.slice(-size));
      expect(window.sorted).toEqual(values.slice(-size).sort((a, b) => a - b));
    }),
  );
});

it('knows the median and the deviation from it', () => {
  expect(medianOf(windowOf([5, 1, 3]))).toBe(3);
  expect(medianOf(windowOf([5, 1, 3, 4]))).toBe(3.5);
  expect(medianOf(emptyWindow)).toBeNaN();
  // Distances to 3: 2, 1, 0, 1, 97; their median is 1.
  expect(medianDeviation(windowOf([1, 2, 3, 4, 100]))).toBe(1);
});
