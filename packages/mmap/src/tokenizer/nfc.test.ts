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

  it('changes unsafe characters wherever they stand: what it gives is what pieces of the text give joined', () => {
    const marks = ['\u0301', '\u0323', '\u{1d165}', '\u1161', '\u11a8', '\u212b', '\u{2f800}'];
    const unit = fc.constantFrom('a', '\u4e2d', '\u{1f600}', '\u1100', '\ud800', '\udc00', '\uac00', ...marks);
    fc.assert(
      fc.property(fc.array(unit, { maxLength: 12 }), (parts) => {
        // Characters of Unicode 9 that no later version treats otherwise: the engine's own is the oracle.
        expect(normalizeNfc(parts.join(''))).toBe(parts.join('').normalize('NFC'));
      }),
      { numRuns: 3000 },
    );
  });
});
