import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeUtf8, firstInvalidByte, invalidUtf8 } from './utf8.ts';

test.each(['', 'plain', '子曰', 'é', '🐋', '\u{10ffff}', '\u0000', '\ufeffmark'])('%j is decoded', (text) => {
  expect(decodeUtf8(Buffer.from(text), 'a.txt', 0)).toBe(text);
});

// The malformed cases of the Unicode standard, section 3.9: stray, overlong, surrogate, past U+10FFFF, cut.
test.each([
  ['61 80', 1],
  ['61 c3', 1],
  ['c0 80', 0],
  ['c1 bf', 0],
  ['61 e0 80 80', 1],
  ['ed a0 80', 0],
  ['e5 ad 61', 0],
  ['f0 80 80 80', 0],
  ['f4 90 80 80', 0],
  ['f5 80 80 80', 0],
  ['e5 ad 90 ff', 3],
  ['f0 9f 90 8b f0 9f 90', 4],
])('%s is wrong from byte %i on', (hex, offset) => {
  const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex');
  expect(firstInvalidByte(bytes)).toBe(offset);
  expect(() => decodeUtf8(bytes, 'a.txt', 100, 7)).toThrow(`a.txt:7:${100 + offset}: not UTF-8`);
});

test('the offset agrees with a strict decoder on any bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 12 }), (bytes) => {
      const at = firstInvalidByte(bytes);
      const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
      expect(() => strict.decode(bytes.subarray(0, at))).not.toThrow();
      if (at < bytes.length) expect(() => strict.decode(bytes)).toThrow();
    }),
    { numRuns: 500 },
  );
});

test.each([
  ['1f8b0800', 'it begins as gzip does: give the file a name that ends in .gz'],
  ['28b52ffd', 'it begins as zstd does: give the file a name that ends in .zst'],
  ['fffe7b00', 'it begins as UTF-16 does: convert the file, for example with iconv -f UTF-16'],
  ['feff007b', 'it begins as UTF-16 does'],
  ['63e92066', 'convert the file, for example with iconv, or choose --on-invalid-utf8'],
])('what begins with %s is advised on by its kind', (hex, advice) => {
  expect(invalidUtf8(Buffer.from(hex, 'hex'), 0).why).toContain(advice);
});
