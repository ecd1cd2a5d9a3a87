import { bytesSource } from '@pai-cpt/core';
import { expect, test } from 'vitest';
import { refusal } from '../../test/fixtures.ts';
import { readJsonl } from './jsonl.ts';

async function texts(content: string | Uint8Array, textKey = 'text') {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  const found = [];
  for await (const document of readJsonl(bytesSource(bytes), 'a.jsonl', { textKey, chunkBytes: 16 }))
    found.push(document);
  return found;
}

test('one document a line, blank lines left out, any line break, a mark at the start', async () => {
  const content = '\ufeff{"text":"one"}\r\n\n  \t\r\n{"id":1,"text":"子曰\\n\\ud83d\\udc0b"}\n{"text":""}';
  expect(await texts(content)).toEqual([
    { texts: ['one'], byteOffset: 3 },
    { texts: ['子曰\n🐋'], byteOffset: 25 },
    { texts: [''], byteOffset: 64 },
  ]);
});

test('a list of texts is one document of several sequences', async () => {
  expect(await texts('{"content":["a","","b"]}\n{"content":[]}\n', 'content')).toEqual([
    { texts: ['a', '', 'b'], byteOffset: 0 },
    { texts: [], byteOffset: 25 },
  ]);
});

test.each([
  ['{"text":"a"}\n{"text":"b"\n{"text":"c"}\n', 'a.jsonl:2:13: not valid JSON', 'correct or remove the line'],
  ['{"text":"a"}\n{"text":"b', 'a.jsonl:2:13: not valid JSON', 'the file may be cut off'],
  ['{"text":"a"}\n\0\0\0\0', 'a.jsonl:2:13: not valid JSON', 'zero bytes'],
  ['[\n{"text":"a"}\n]\n', 'a.jsonl:1:0: not valid JSON', 'one object per line'],
  ['[{"text":"a"}]\n', 'a.jsonl:1:0: not a JSON object', 'one object per line'],
  ['{\n"text":"a"\n}\n', 'a.jsonl:1:0: not valid JSON', 'one object per line'],
  ['"text"\n', 'a.jsonl:1:0: not a JSON object', 'correct or remove'],
  ['null\n', 'a.jsonl:1:0: not a JSON object', 'correct or remove'],
  ['\u00a0\n', 'a.jsonl:1:0: not valid JSON', 'correct or remove'],
])('%j is refused with its place and a hint', async (content, place, hint) => {
  const error = await refusal(texts(content));
  expect(error.code).toBe('CPT_FORMAT_JSON_LINE');
  expect(error.message.startsWith(place)).toBe(true);
  expect(error.message).toContain(hint);
});

test('a long bad line is quoted in part and on one line', async () => {
  const error = await refusal(texts(`${'x'.repeat(5000)}\n`));
  expect(error.message.length).toBeLessThan(300);
  expect(error.message).not.toContain('\n');
});

test.each([
  ['{"content":"a","id":1}', '"text" is missing; keys here: "content", "id"; name the right one with --text-key'],
  ['{}', '"text" is missing; keys here: none'],
  ['{"text":null}', '"text" is neither a string nor a list of strings'],
  ['{"text":5}', '"text" is neither'],
  ['{"text":["a",5]}', '"text" is neither'],
])('%s is refused and names the key', async (line, why) => {
  const error = await refusal(texts(`{"text":"a"}\n${line}\n`));
  expect(error.code).toBe('CPT_FORMAT_TEXT_MISSING');
  expect(error.message).toContain(`a.jsonl:2:13: ${why}`);
});

test('a key that every object inherits is not a text', async () => {
  const error = await refusal(texts('{"text":"a"}', 'constructor'));
  expect(error.message).toContain('"constructor" is missing; keys here: "text"');
});

test('bytes that are not UTF-8 are refused where they stand', async () => {
  const bytes = Buffer.concat([Buffer.from('{"text":"a"}\n{"text":"'), Buffer.from([0xff]), Buffer.from('"}\n')]);
  const error = await refusal(texts(bytes));
  expect(error.code).toBe('CPT_FORMAT_UTF8');
  expect(error.message).toContain('a.jsonl:2:22: not UTF-8 (bytes ff227d0a)');
});
