import { expect, test } from 'vitest';
import { batchEncoder, EOD, linesBatch } from '../../test/encoding.ts';
import { TOKENIZER } from '../../test/fixtures.ts';
import type { Batch } from '../documents/batch.ts';
import { loadTokenizer } from '../tokenizer/load-tokenizer.ts';
import type { EncodedBatch } from './encode-batch.ts';

/** The documents of a result, as lists of sequences. */
function documentsOf({ ids, lengths, perDocument, largest }: EncodedBatch): number[][][] {
  const ends = [0];
  for (const length of lengths) ends.push((ends.at(-1) as number) + length);
  const sequences = Array.from(lengths, (_, i) => Array.from(ids.subarray(ends[i], ends[i + 1])));
  return Array.from(largest, (_, document) => sequences.splice(0, perDocument?.[document] ?? 1));
}
const tokenizer = await loadTokenizer(TOKENIZER);
const idsOf = async (text: string) => [...(await tokenizer.encode(text))];

test('lines become documents, read in bytes or by JSON.parse alike', async () => {
  const encode = await batchEncoder();
  const result = await encode(
    linesBatch('{"text":"one\\ntwo"}\n\n{"\\u0074ext":"three"}\r\n{"text":["a","","b"],"n":1}'),
  );
  expect(documentsOf(result)).toEqual([
    [[...(await idsOf('one\ntwo')), EOD]],
    [[...(await idsOf('three')), EOD]],
    [await idsOf('a'), [...(await idsOf('b')), EOD]],
  ]);
  expect(result).toMatchObject({ lines: 3, empty: 0, bad: [], replaced: 0, addedTokens: 0 });
  expect(result.ids).toBeInstanceOf(Uint16Array);
  expect([...result.largest]).toEqual([EOD, EOD, EOD]);
});

test('a second batch starts anew', async () => {
  const encode = await batchEncoder({ dtype: 'int32' });
  const first = await encode(linesBatch('{"text":"one"}\n'));
  const second = await encode(linesBatch('{"text":"two"}\n'));
  expect(documentsOf(second)).toEqual([[[...(await idsOf('two')), EOD]]]);
  expect(documentsOf(first)).toEqual([[[...(await idsOf('one')), EOD]]]);
  expect(second.ids).toBeInstanceOf(Int32Array);
});

test('§7 empty document: left out and counted, or kept as Megatron keeps it', async () => {
  const lines = linesBatch('{"text":""}\n{"text":" \\n\\u3000"}\n{"text":[]}\n{"text":["",""]}\n{"text":"a"}\n');
  const left = await (await batchEncoder())(lines);
  expect([left.empty, left.largest.length]).toEqual([4, 1]);
  const kept = await (await batchEncoder({ keepEmpty: true }))(lines);
  expect(documentsOf(kept)).toEqual([
    [],
    [[...(await idsOf(' \n\u3000')), EOD]],
    [],
    [],
    [[...(await idsOf('a')), EOD]],
  ]);
  expect(kept.empty).toBe(0);
  expect([...kept.largest]).toEqual([-1, EOD, -1, -1, EOD]);
});

test('bad lines are left out with reason and place; in the policy fail the first one ends the batch', async () => {
  const content = '{"text":"a"}\noops\n\n{"body":"b"}\n{"text":"c"}\n';
  const skipped = await (await batchEncoder())(linesBatch(content));
  expect(skipped.bad.map(({ reason, line, byteOffset }) => [reason, line, byteOffset])).toEqual([
    ['json', 1, 13],
    ['text-missing', 3, 19],
  ]);
  expect(skipped.largest).toHaveLength(2);
  const failed = await (await batchEncoder({ onBad: 'fail' }))(linesBatch(content));
  expect(failed.bad.map(({ reason }) => reason)).toEqual(['json']);
});

const WRONG = Buffer.concat([
  Buffer.from('{"text":"a"}\n{"text":"b'),
  Buffer.from([0xff]),
  Buffer.from('c"}\n{"text":"d"}\n'),
]);

test('§7 invalid UTF-8: fail, skip or replace, and the other lines stay', async () => {
  const skipped = await (await batchEncoder({ onBad: 'fail' }))(linesBatch(WRONG));
  expect(skipped.bad).toMatchObject([{ reason: 'utf8', line: 1, byteOffset: 23 }]);
  expect(skipped.largest).toHaveLength(2);
  const replaced = await (await batchEncoder({ onInvalidUtf8: 'replace' }))(linesBatch(WRONG));
  expect(documentsOf(replaced)[1]).toEqual([[...(await idsOf('b\ufffdc')), EOD]]);
  expect([replaced.bad, replaced.replaced]).toEqual([[], 1]);
  const failed = await (await batchEncoder({ onInvalidUtf8: 'fail' }))(linesBatch(WRONG));
  expect([failed.bad.length, failed.largest.length]).toEqual([1, 1]);
});

const text = (content: string | Uint8Array, more: Partial<Batch> = {}) => {
  const bytes = Buffer.from(content);
  return linesBatch(bytes, { layout: 'spans', content: 'text', spans: Int32Array.of(0, bytes.length), ...more });
};

test('texts are taken as they are, wrong bytes in the line where they stand', async () => {
  const encode = await batchEncoder();
  expect(documentsOf(await encode(text(' a\n\nb ')))).toEqual([[[...(await idsOf(' a\n\nb ')), EOD]]]);
  const wrong = Buffer.from([0x61, 0x0a, 0x62, 0xff]);
  expect((await encode(text(wrong))).bad).toMatchObject([{ reason: 'utf8', line: 1, byteOffset: 3 }]);
  const replaced = await (await batchEncoder({ onInvalidUtf8: 'replace' }))(text(wrong));
  expect(documentsOf(replaced)).toEqual([[[...(await idsOf('a\nb\ufffd')), EOD]]]);
});

test('rows may have several texts, none, or a missing one', async () => {
  const spans = Int32Array.of(0, 1, 1, 3, -1, 3, 3, 4);
  const result = await (await batchEncoder())(
    text('abcd', { spans, unit: 'row', perDocument: Int32Array.of(2, 0, 1, 1) }),
  );
  expect(documentsOf(result)).toEqual([
    [await idsOf('a'), [...(await idsOf('bc')), EOD]],
    [[...(await idsOf('d')), EOD]],
  ]);
  expect(result).toMatchObject({ lines: 4, empty: 1, bad: [{ reason: 'text-missing', line: 2 }] });
});

test('added tokens: encoded, as text, or an error; counted each time', async () => {
  const lines = linesBatch('{"text":"a<|endoftext|>b<|endoftext|>"}\n{"text":"c"}\n');
  const encoded = await (await batchEncoder())(lines);
  expect(documentsOf(encoded)[0]).toEqual([[...(await idsOf('a')), EOD, ...(await idsOf('b')), EOD, EOD]]);
  const asText = await (await batchEncoder({ specials: 'text' }))(lines);
  expect(documentsOf(asText)[0]?.[0]?.filter((id) => id === EOD)).toHaveLength(1);
  for (const { addedTokens, addedTokenDocuments } of [encoded, asText])
    expect([addedTokens, addedTokenDocuments]).toEqual([2, 1]);
  const refused = await (await batchEncoder({ specials: 'error' }))(lines);
  expect(refused.bad).toMatchObject([{ reason: 'added-token', line: 0, byteOffset: 0 }]);
  expect([refused.addedTokens, refused.largest.length]).toEqual([0, 1]);
});

test('§7 document of too many tokens: split into documents of as many as may be, and counted', async () => {
  const one = await idsOf('one and two and three and four and five');
  const limit = one.length - 2;
  const encode = await batchEncoder({ maxDocTokens: limit });
  const result = await encode(linesBatch('{"text":"one and two and three and four and five"}\n{"text":"ab"}\n'));
  expect(documentsOf(result)).toEqual([
    [[...one.slice(0, limit - 1), EOD]],
    [[...one.slice(limit - 1), EOD]],
    [[...(await idsOf('ab')), EOD]],
  ]);
  expect(result).toMatchObject({ split: 1, bad: [], empty: 0, lines: 2 });
});

test('§7 very long word: a megabyte of one letter is no trouble, nor is what comes after it', async () => {
  const encode = await batchEncoder({ dtype: 'int32' });
  const long = 'a'.repeat(1_000_000); // a merge that looks at all letters for each letter would run into the time limit of the test
  const result = await encode(linesBatch(`{"text":"${long}"}\n{"text":"b"}\n`));
  expect(await tokenizer.decode(result.ids.subarray(0, (result.lengths[0] as number) - 1))).toBe(long);
  expect(documentsOf(await encode(linesBatch('{"text":"c"}\n')))).toEqual([[[...(await idsOf('c')), EOD]]]);
});
