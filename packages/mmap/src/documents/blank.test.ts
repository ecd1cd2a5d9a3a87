import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isBlank } from './blank.ts';

test('blank is what String.trim leaves nothing of', () => {
  const spaces = [
    ' ',
    '\t',
    '\n',
    '\v',
    '\f',
    '\r',
    '\u00a0',
    '\u1680',
    '\u2000',
    '\u200a',
    '\u2028',
    '\u2029',
    '\u202f',
    '\u205f',
    '\u3000',
    '\ufeff',
  ];
  const others = ['a', '\u0085', '\u200b', '子', '🐋', '\u00a1', '\u2010', '\u3001', '\u1681'];
  for (const space of spaces) expect(isBlank(Buffer.from(space), 0, Buffer.byteLength(space))).toBe(true);
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom(...spaces, ...others), { maxLength: 6 }),
      fc.constantFrom(1, 30),
      (parts, times) => {
        const text = parts.join('').repeat(times);
        const bytes = Buffer.from(`x${text}x`);
        expect(isBlank(bytes, 1, bytes.length - 1)).toBe(text.trim() === '');
      },
    ),
    { numRuns: 500 },
  );
});
