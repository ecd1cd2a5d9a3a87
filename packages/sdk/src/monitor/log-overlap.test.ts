import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findOverlap, lineDigest } from './log-overlap.ts';

const overlap = (known: string, window: string) => {
  const { fresh, merged, isConnected } = findOverlap([...known], [...window]);
  return { fresh: fresh.map((index) => window[index]).join(''), merged: merged.join(''), isConnected };
};

describe('findOverlap', () => {
  it.each<[what: string, known: string, window: string, fresh: string, merged: string]>([
    ['nothing known', '', 'abc', 'abc', 'abc'],
    ['nothing new', 'abc', 'abc', '', 'abc'],
    ['the usual', 'abcd', 'cdef', 'ef', 'abcdef'],
    ['a window behind', 'abcdef', 'bcd', '', 'abcdef'],
    ['a late line', 'abd', 'abcde', 'ce', 'abcde'],
    ['a late line among equal ones', '-x-', '-xy-z', 'yz', '-xy-z'],
    ['a line that repeats', 'aaa', 'aaaa', 'a', 'aaaa'],
    ['known lines that are hidden for once', 'abcdef', 'abdefg', 'g', 'abcdefg'],
    ['known lines in another order', 'abcdef', 'badcfeg', 'g', 'abcdefg'],
    ['a repeated line after the window moved', 'ab-', '-c-', 'c-', 'ab-c-'],
  ])('%s', (_, known, window, fresh, merged) => {
    expect(overlap(known, window)).toEqual({ fresh, merged, isConnected: true });
  });

  it('says when nothing connects the two', () => {
    expect(overlap('abc', 'xyz')).toEqual({ fresh: 'xyz', merged: 'abcxyz', isConnected: false });
    expect(overlap('abc', '')).toEqual({ fresh: '', merged: 'abc', isConnected: false });
  });

  it('gives each line of a log once, in order, for any windows that move over it', () => {
    // Every line is unique, as training lines are; windows grow at the end and lose lines at the start.
    const steps = fc.array(fc.record({ grow: fc.nat(30), drop: fc.nat(30) }), { maxLength: 30 });
    fc.assert(
      fc.property(steps, (moves) => {
        let [start, end] = [0, 0];
        let known: string[] = [];
        const told: string[] = [];
        for (const { grow, drop } of moves) {
          const lastEnd = end;
          end += grow;
          // A window reaches back over the last known line, and no further than what is remembered.
          start = Math.max(Math.min(start + drop, Math.max(start, lastEnd - 1)), end - 60);
          const window = Array.from({ length: end - start }, (_, index) => `line ${start + index}`);
          const found = findOverlap(known, window);
          told.push(...found.fresh.map((index) => window[index] as string));
          known = found.merged.slice(-120);
        }
        expect(told).toEqual(Array.from({ length: end }, (_, index) => `line ${index}`));
      }),
    );
  });

  it('tells each line once when lines come late, are hidden again, and change places', () => {
    const view = fc.record({
      length: fc.integer({ min: 1, max: 60 }),
      hide: fc.constantFrom(0, 3, 5),
      isSwapped: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(view, { minLength: 1, maxLength: 12 }), (views) => {
        let known: string[] = [];
        let end = 0;
        const told: string[] = [];
        for (const { length, hide, isSwapped } of [...views, { length: 1, hide: 0, isSwapped: false }]) {
          end += length;
          const shown = Array.from({ length: end }, (_, index) => `line ${index}`).filter(
            (_, index) => hide === 0 || index % hide !== hide - 1,
          );
          const window = isSwapped ? shown.map((line, at) => shown[at % 2 === 0 ? at + 1 : at - 1] ?? line) : shown;
          const found = findOverlap(known, window);
          told.push(...found.fresh.map((index) => window[index] as string));
          known = found.merged;
        }
        expect([...told].sort()).toEqual(Array.from({ length: end }, (_, index) => `line ${index}`).sort());
      }),
    );
  });

  it('finds the place of a late line in a long log', () => {
    const log = Array.from({ length: 2000 }, (_, index) => `line ${index}`);
    const known = log.filter((_, index) => index !== 1500).slice(0, 1990);
    const { fresh, merged } = findOverlap(known, log.slice(200));
    expect(fresh).toEqual([1300, ...Array.from({ length: 9 }, (_, index) => 1791 + index)]);
    expect(merged).toEqual(log);
  });
});

it('keeps digests short and apart', () => {
  expect(lineDigest('a')).toHaveLength(12);
  expect(lineDigest('a')).not.toBe(lineDigest('a '));
});
