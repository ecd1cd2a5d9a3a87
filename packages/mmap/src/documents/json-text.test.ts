import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createJsonTextReader, NEEDS_PARSE } from './json-text.ts';

const input = new Uint8Array(1 << 14);
const output = new Uint8Array(1 << 14);
const read = createJsonTextReader(input, output, 'text');
const utf8 = new TextEncoder();

/** The text as the reader sees it, or `undefined` when it leaves the line to `JSON.parse`. The bytes behind are not blank. */
function fast(line: string): string | undefined {
  const { written } = utf8.encodeInto(line, input);
  input.fill(0x7d, written, written + 16);
  const length = read(0, written);
  return length === NEEDS_PARSE
    ? undefined
    : new TextDecoder('utf-8', { ignoreBOM: true }).decode(output.subarray(0, length));
}
/** What `JSON.parse` makes of it, lone surrogates replaced as in UTF-8. */
function oracle(line: string): string | undefined {
  try {
    const value = JSON.parse(line) as { text?: unknown };
    return typeof value?.text === 'string' ? value.text.replaceAll(/\p{Surrogate}/gu, '\ufffd') : undefined;
  } catch {
    return undefined;
  }
}

describe('createJsonTextReader', () => {
  it.each([
    ['{"text":"abc"}', 'abc'],
    [' { "id" : 1.5e-3 , "text" : "a\\nb" , "m" : {"x":[true,null,"\\u00e9"]} } ', 'a\nb'],
    ['{"text":"\\ud83d\\ude00 \\ud83d x"}', '\u{1f600} \ufffd x'],
    ['{"text":"one","text":"two"}', 'two'],
    ['{"text":""}', ''],
    ['{"text":"中文 \\/ \\"quoted\\" \\\\"}', '中文 / "quoted" \\'],
  ])('reads %s in bytes', (line, text) => {
    expect(fast(line)).toBe(text);
    expect(oracle(line)).toBe(text);
  });

  it.each([
    '',
    '{',
    '{}',
    '[]',
    '{"text":1}',
    '{"text":["a"]}',
    '{"te\\u0078t":"x"}',
    '{"text":"a"',
    '{"text":"a"}x',
    '{"text":"a",}',
    '{"text":"a\tb"}',
    '{"text":"\\x"}',
    '{"text":"\\u12g4"}',
    '{"text":"a","n":01}',
    '{"text":"a","n":1.}',
    '{"text":"a","n":-}',
    '{"text":"a","n":nul}',
    '{"text":"a","n":[1,]}',
    '{"text":"a","n":{"k"}}',
    '{"text" "a"}',
    '{"other":"a"}',
  ])('leaves %j to JSON.parse', (line) => {
    expect(fast(line)).toBeUndefined();
  });

  it('does not read on into the line behind', () => {
    const lines = '{"text":"a",\n"b":"c"}\n';
    utf8.encodeInto(lines, input);
    expect(read(0, lines.indexOf('\n'))).toBe(NEEDS_PARSE);
  });

  it('leaves nesting deeper than its limit to JSON.parse, without recursing on', () => {
    expect(fast(`{"text":"a","n":${'['.repeat(5000)}${']'.repeat(5000)}}`)).toBeUndefined();
  });

  const pieces = [
    '"',
    '\\',
    '{',
    '}',
    '[',
    ']',
    ':',
    ',',
    ' ',
    'text',
    '"text"',
    'a',
    '\\n',
    '\\u0041',
    '\\ud83d\\ude00',
    '\\udc00',
    '1',
    '-',
    '0',
    '.',
    'e',
    '+',
    'true',
    'null',
    '\t',
    '\u0001',
    '中',
    '😀',
    '"x":1',
    '"m":{"a":[1,2.5e3,"z"]}',
    '\\/',
    '\\x',
    '01',
    'é',
  ];
  const soup = fc.array(fc.constantFrom(...pieces), { maxLength: 12 }).map((parts) => parts.join(''));

  it('never says anything else than JSON.parse', () => {
    const line = fc.oneof(
      soup,
      soup.map((s) => `{"text":"${s}"}`),
      soup.map((s) => `{"a":${s},"text":"x"}`),
      soup.map((s) => `{"text":"q",${s}}`),
      fc.tuple(soup, fc.json()).map(([text, rest]) => `{"rest":${rest},"text":${JSON.stringify(text)}}`),
    );
    let taken = 0;
    fc.assert(
      fc.property(line, (candidate) => {
        const text = fast(candidate);
        if (text === undefined) return;
        taken++;
        expect(text).toBe(oracle(candidate));
      }),
      { numRuns: 20_000, seed: 7 },
    );
    expect(taken).toBeGreaterThan(3000); // the plain case is really taken
  });
});
