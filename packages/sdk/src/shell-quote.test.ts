import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { shellQuote } from './shell-quote.ts';

/** What /bin/sh makes of these words, each ended by a NUL. */
function throughShell(words: string[]): string[] {
  const script = `printf '%s\\0' ${words.map(shellQuote).join(' ')}`;
  const output = execFileSync('/bin/sh', ['-c', script]).toString('utf8');
  return output.split('\0').slice(0, -1);
}

const word = fc
  .oneof(
    fc.string({ maxLength: 40, unit: 'grapheme' }),
    fc.string({ maxLength: 20, unit: fc.constantFrom(...`$\`"'\\;&|<>(){}[]*?!~# \t\n-=%`) }),
  )
  .map((text) => text.replaceAll('\0', ''));

it('comes out of /bin/sh as it went in', () => {
  fc.assert(
    fc.property(fc.array(word, { minLength: 1, maxLength: 30 }), (words) => {
      expect(throughShell(words)).toEqual(words);
    }),
    { numRuns: 60 },
  );
});

it.each([
  ['', "''"],
  ['/mnt/data/dataset', '/mnt/data/dataset'],
  ["it's", `'it'\\''s'`],
  ['$(touch canary)', "'$(touch canary)'"],
  ['~', "'~'"],
])('writes %j as %s', (text, quoted) => {
  expect(shellQuote(text)).toBe(quoted);
});
