import { expect, test } from 'vitest';
import { refusal } from '../../test/fixtures.ts';
import { collect, streamOf } from '../../test/streams.ts';
import { FRESH_BUFFERS } from './batch-buffers.ts';
import { type Cutter, cutBatches, LINES, PARAGRAPHS, WHOLE } from './cut-batches.ts';
import { decodeDocuments } from './decode-documents.ts';

async function decode(
  content: string | Uint8Array,
  cutter: Cutter,
  file: string,
  { textKey = 'text', maxLine = 1000 } = {},
) {
  const pieces = cutBatches(
    streamOf(content),
    cutter,
    { byteOffset: 0, isSeekable: true },
    { batchBytes: 16, maxLine, buffers: FRESH_BUFFERS },
  );
  return collect(decodeDocuments(pieces, file, textKey));
}
const jsonl = (content: string | Uint8Array, textKey?: string) =>
  decode(content, LINES, 'a.jsonl', textKey ? { textKey } : {});

test('§7 blank lines and CRLF: one document a line, blank lines left out, any line break, a mark at the start', async () => {
  const content = '\ufeff{"text":"one"}\r\n\n  \t\r\n{"id":1,"text":"子曰\\n\\ud83d\\udc0b"}\n{"text":""}';
  expect(await jsonl(content)).toEqual([
    { texts: ['one'], byteOffset: 3 },
    { texts: ['子曰\n🐋'], byteOffset: 25 },
    { texts: [''], byteOffset: 64 },
  ]);
});

test('a list of texts is one document of several sequences', async () => {
  expect(await jsonl('{"content":["a","","b"]}\n{"content":[]}\n', 'content')).toEqual([
    { texts: ['a', '', 'b'], byteOffset: 0 },
    { texts: [], byteOffset: 25 },
  ]);
});

test.each([
  ['{"text":"a"}\n{"text":"b"\n{"text":"c"}\n', 'a.jsonl:2:13: not valid JSON', 'correct or remove the line'],
  ['{"text":"a"}\n{"text":"b', 'a.jsonl:2:13: not valid JSON', 'the file may be cut off'],
  ['{"text":"a"}\n\0\0\0\0', 'a.jsonl:2:13: not valid JSON', 'zero bytes'],
  ['[\n{"text":"a"}\n]\n', 'a.jsonl:1:0: not valid JSON', 'one object per line'],
  ['[{"text":"a"}]\n', 'a.jsonl:1:0: not a JSON object', 'name the file .json'],
  ['{\n"text":"a"\n}\n', 'a.jsonl:1:0: not valid JSON', 'one object per line'],
  ['"text"\n', 'a.jsonl:1:0: not a JSON object', 'correct or remove'],
  ['null\n', 'a.jsonl:1:0: not a JSON object', 'correct or remove'],
  ['\u00a0\n', 'a.jsonl:1:0: not valid JSON', 'correct or remove'],
])('§7 invalid JSON line: %j is refused with its place and a hint', async (content, place, hint) => {
  const error = await refusal(jsonl(content));
  expect(error.code).toBe('CPT_FORMAT_JSON_LINE');
  expect(error.message.startsWith(place)).toBe(true);
  expect(error.message).toContain(hint);
});

test('a long bad line is quoted in part and on one line', async () => {
  const error = await refusal(decode(`${'x'.repeat(5000)}\n`, LINES, 'a.jsonl', { maxLine: 6000 }));
  expect(error.message.length).toBeLessThan(300);
  expect(error.message).not.toContain('\n');
});

test('§7 last line without newline: valid JSON is taken', async () => {
  expect(await jsonl('{"text":"a"}\n{"text":"b"}')).toHaveLength(2);
});

test.each([
  ['{"content":"a","id":1}', '"text" is missing; keys here: "content", "id"; name the right one with --text-key'],
  ['{}', '"text" is missing; keys here: none'],
  ['{"text":null}', '"text" is neither a string nor a list of strings'],
  ['{"text":5}', '"text" is neither'],
  ['{"text":["a",5]}', '"text" is neither'],
])('§7 key missing or not a string: %s is refused and names the keys', async (line, why) => {
  const error = await refusal(jsonl(`{"text":"a"}\n${line}\n`));
  expect(error.code).toBe('CPT_FORMAT_TEXT_MISSING');
  expect(error.message).toContain(`a.jsonl:2:13: ${why}`);
});

test('a key that every object inherits is not a text', async () => {
  expect((await refusal(jsonl('{"text":"a"}', 'constructor'))).message).toContain(
    '"constructor" is missing; keys here: "text"',
  );
});

test('§7 invalid UTF-8: refused where it stands', async () => {
  const bytes = Buffer.concat([Buffer.from('{"text":"a"}\n{"text":"'), Buffer.from([0xff]), Buffer.from('"}\n')]);
  const error = await refusal(jsonl(bytes));
  expect(error.code).toBe('CPT_FORMAT_UTF8');
  expect(error.message).toContain('a.jsonl:2:22: not UTF-8 (bytes ff227d0a)');
});

test('§7 very long line: refused with file, line and offset', async () => {
  const error = await refusal(
    decode(`{"text":"a"}\n{"text":"${'x'.repeat(50)}"}\n`, LINES, 'a.jsonl', { maxLine: 30 }),
  );
  expect(error.code).toBe('CPT_INPUT_LINE_TOO_LONG');
  expect(error.message).toContain('a.jsonl:2:13: longer than 30 bytes');
});

test('lines behind others are counted through all batches', async () => {
  const lines = Array.from({ length: 40 }, (_, i) => `{"text":"${i}"}\n`).join('');
  expect((await refusal(jsonl(`${lines}oops\n`))).message).toContain('a.jsonl:41:');
});

test('a text file is one document, as it is', async () => {
  const text = ' 子曰\r\n\r\n学而 \n\n';
  expect(await decode(text, WHOLE, 'a.txt')).toEqual([{ texts: [text], byteOffset: 0 }]);
  expect(await decode(`\ufeff${text}`, WHOLE, 'a.txt')).toEqual([{ texts: [text], byteOffset: 3 }]);
  expect(await decode('', WHOLE, 'a.txt')).toEqual([{ texts: [''], byteOffset: 0 }]);
});

test('blank lines part paragraphs, also those of wide spaces', async () => {
  const text = '\n\none\n  two\n\n \t\nthree\r\nfour\r\n\r\n\u3000\nfive';
  expect(await decode(text, PARAGRAPHS, 'a.txt')).toEqual([
    { texts: ['one\n  two'], byteOffset: 2 },
    { texts: ['three\r\nfour'], byteOffset: 16 },
    { texts: ['five'], byteOffset: 35 },
  ]);
  expect(await decode('\n \n', PARAGRAPHS, 'a.txt')).toEqual([]);
});

test.each([
  [WHOLE, 'a.txt:2:4'],
  [PARAGRAPHS, 'a.txt:2:4'],
])('wrong bytes in a text are refused in their line', async (cutter, place) => {
  const error = await refusal(decode(Buffer.from([0x61, 0x0a, 0x62, 0x63, 0xff, 0x0a]), cutter, 'a.txt'));
  expect(error.code).toBe('CPT_FORMAT_UTF8');
  expect(error.message.startsWith(`${place}: not UTF-8`)).toBe(true);
  expect((await refusal(decode(Buffer.from([0xef, 0xbb, 0xbf, 0x61, 0xff]), cutter, 'a.txt'))).details.byteOffset).toBe(
    4,
  );
});
