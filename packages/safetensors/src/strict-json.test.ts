import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Json, parseStrictJson } from './strict-json.ts';

const parse = (text: string) => parseStrictJson(new TextEncoder().encode(text), 'f');

/** The same value as JSON.parse gives it. */
function plain(value: Json): unknown {
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, item]) => [key, plain(item)]));
  if (Array.isArray(value)) return value.map(plain);
  return typeof value === 'object' && value !== null ? Number(value.raw) : value;
}

describe('parseStrictJson', () => {
  it('agrees with JSON.parse on every JSON text', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 5 }), (text) => {
        expect(plain(parse(text))).toEqual(JSON.parse(text));
      }),
    );
  });

  it('refuses what JSON.parse refuses', () => {
    fc.assert(
      fc.property(
        fc.json({ maxDepth: 3 }),
        fc.nat(),
        fc.constantFrom('', ',', '"', '}', ']', ':', '0', 'x'),
        (text, at, put) => {
          const cut = at % (text.length + 1);
          const broken = text.slice(0, cut) + put + text.slice(cut + 1);
          if (isJson(broken)) return;
          expect(() => parse(broken)).toThrow(expect.objectContaining({ code: 'CPT_FORMAT_HEADER_JSON' }));
        },
      ),
    );
  });

  it('keeps a number as text where a number would change it', () => {
    expect(parse('[0, 9007199254740991]')).toEqual([0, 9007199254740991]);
    expect(parse('[9007199254740993, 1.0, 1e0, -1]')).toEqual(
      ['9007199254740993', '1.0', '1e0', '-1'].map((raw) => ({ raw })),
    );
  });

  it('sees two equal keys through their escapes', () => {
    expect(() => parse('{"a":{"b":1,"\\u0062":2}}')).toThrow(
      expect.objectContaining({ code: 'CPT_FORMAT_DUPLICATE_KEY' }),
    );
  });
});

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
