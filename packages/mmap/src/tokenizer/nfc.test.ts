import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nfcUnsafeCodePoints, normalizeNfc } from './nfc.ts';

const { cases } = JSON.parse(
  readFileSync(new URL('../../../../fixtures/tokenizer/nfc.json', import.meta.url), 'utf8'),
) as { cases: [string, string][] };

describe('normalizeNfc', () => {
  it('agrees with Python on every case', () => {
    for (const [text, expected] of cases) expect(normalizeNfc(text), JSON.stringify(text)).toBe(expected);
  });

  it('does not compose what Unicode 9 did not know, whatever this engine knows', () => {
    // U+11382 U+113C9 compose to U+11383 since Unicode 16.
    expect(normalizeNfc('\u{11382}\u{113c9}')).toBe('\u{11382}\u{113c9}');
    // U+1ABF has a combining class since Unicode 13 and would be moved behind U+0323.
    expect(normalizeNfc('a\u{1abf}\u{0323}')).toBe('a\u{1abf}\u{0323}');
  });

  it('leaves text without unsafe characters as it is, which is what the scanner relies on', () => {
    const unsafe = new Set(nfcUnsafeCodePoints());
    const safe = fc.integer({ min: 0x20, max: 0x2ffff }).filter((c) => (c < 0xd800 || c > 0xdfff) && !unsafe.has(c));
    fc.assert(
      fc.property(fc.array(safe, { maxLength: 20 }), (points) => {
        const text = String.fromCodePoint(...points);
        expect(normalizeNfc(text)).toBe(text);
      }),
      { numRuns: 2000 },
    );
  });
});
