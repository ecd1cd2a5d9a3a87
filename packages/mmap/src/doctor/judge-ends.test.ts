import { expect, test } from 'vitest';
import { codes, finding, writeDocuments } from '../../test/examinations.ts';
import { examineDataset } from './examine.ts';

const documents = (count: number, end: number) => Array.from({ length: count }, (_, i) => [i + 300, end]);

async function judge(made: number[][], model = 'qwen2-72b') {
  return examineDataset(await writeDocuments(made), { model });
}

test('a tenth of the documents ends as Llama-3 ends them: two datasets were joined', async () => {
  const found = await judge([...documents(90, 151643), ...documents(10, 128001)]);
  expect(found.ok).toBe(false);
  expect(finding(found, 'other-tokenizer', 'error')).toMatchObject({
    message:
      '10.0 % of documents end with 128001 (<|end_of_text|> of Llama-3) and 90.0 % with 151643: datasets of two tokenizers were joined',
    numbers: { documents: 100, foreignId: 128001, foreignDocuments: 10, eodShare: 0.9 },
  });
});

test.each<[string, number[][], string?]>([
  ['two documents that were cut off', [...documents(98, 151643), ...documents(2, 128001)]],
  ['a chat model of the same vocabulary', [...documents(90, 151643), ...documents(10, 151645)]],
  ['its own end alone', documents(100, 128001), 'llama-3-8b'],
  ['documents of no known end', [...documents(90, 151643), ...documents(10, 777)]],
])('not so for %s', async (_, made, model) => {
  expect(codes(await judge(made, model))).not.toContain('other-tokenizer');
});
