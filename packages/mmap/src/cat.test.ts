import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { bytesSource } from '@pai-cpt/core';
import { expect, test } from 'vitest';
import { readablePair, refusal, TOKENIZER, temporaryFolder } from '../test/fixtures.ts';
import { buildDataset } from './build.ts';
import { type PrintOptions, printDocuments } from './cat.ts';
import { openDataset } from './node.ts';
import { type MmapDataset, openDatasetSources } from './read.ts';

async function print(dataset: MmapDataset, options: Partial<PrintOptions>): Promise<string> {
  const parts: string[] = [];
  await printDocuments(dataset, { from: 0, ...options }, { write: (part) => void parts.push(part), log: () => {} });
  return stripVTControlCharacters(parts.join(''));
}

const openPair = () => {
  const { idx, bin } = readablePair('i32_empty_doc');
  return openDatasetSources({ prefix: 'set', idx: bytesSource(idx), bin: bytesSource(bin) });
};

/** A dataset of three documents and the folder of the tokenizer it was built with. */
async function built() {
  const folder = temporaryFolder();
  for (const name of ['tokenizer.json', 'tokenizer_config.json'])
    copyFileSync(join(TOKENIZER, name), join(folder, name));
  writeFileSync(join(folder, 'in.jsonl'), '{"text":"Call me"}\n{"text":["子曰：","学而"]}\n{"text":"end"}\n');
  await buildDataset({ inputs: [join(folder, 'in.jsonl')], tokenizer: folder, output: join(folder, 'set') });
  return { folder, dataset: await openDataset(join(folder, 'set')) };
}

test('ids, one JSON array a sequence and line; a document without sequences prints none', async () => {
  const dataset = await openPair();
  expect(await print(dataset, { ids: true })).toBe('[1,151643]\n[2,3,151643]\n');
  expect(await print(dataset, { ids: true, from: 1, to: 3 })).toBe('[2,3,151643]\n');
  expect(await print(dataset, { ids: true, json: true, from: 0, to: 2 })).toBe(
    '{"document":0,"sequences":[[1,151643]]}\n{"document":1,"sequences":[]}\n',
  );
});

test('text, with the tokenizer of the sidecar', async () => {
  const { dataset } = await built();
  expect(await print(dataset, { from: 0, to: 2 })).toBe(
    `--- document 0: ${dataset.lengths[0]} tokens ---\nCall me<|endoftext|>\n` +
      `--- document 1: ${(dataset.lengths[1] as number) + (dataset.lengths[2] as number)} tokens ---\n子曰：\n学而<|endoftext|>\n`,
  );
  expect(await print(dataset, { from: 2, json: true })).toBe('{"document":2,"texts":["end<|endoftext|>"]}\n');
  await dataset.close();
});

test('a tokenizer that changed since the build is refused', async () => {
  const { folder, dataset } = await built();
  const file = join(folder, 'tokenizer.json');
  writeFileSync(file, `${readFileSync(file, 'utf8')}\n`);
  expect((await refusal(print(dataset, {}))).message).toContain('the dataset was built with');
  expect(await print(dataset, { tokenizer: TOKENIZER, to: 1 })).toContain('Call me');
  await dataset.close();
});

test('without a sidecar a tokenizer must be given', async () => {
  const dataset = await openPair();
  const error = await refusal(print(dataset, {}));
  expect(error.message).toContain('give --tokenizer, or --ids');
  expect(error.code).toBe('CPT_INPUT_INVALID');
});

test.each([
  [3, 2],
  [0, 5],
  [5, undefined],
])('documents %i to %s are refused', async (from, to) => {
  const dataset = await openPair();
  const error = await refusal(print(dataset, { ids: true, from, ...(to !== undefined && { to }) }));
  expect(error.message).toContain('it has 4');
});

test('ids that are no token give no text: how many there are is said', async () => {
  const { idx, bin } = readablePair('i32_empty_doc');
  const dataset = await openDatasetSources({ prefix: 'set', idx: bytesSource(idx), bin: bytesSource(bin) });
  const logged: string[] = [];
  const output = { write: () => {}, log: (line: string) => void logged.push(stripVTControlCharacters(line)) };
  await printDocuments(dataset, { from: 0, tokenizer: TOKENIZER }, output);
  expect(logged).toEqual([
    `warning: 2 ids are no token of ${join(TOKENIZER, 'tokenizer.json')} and give no text, the first 151643 in document 0; ask cpt-mmap doctor --tokenizer whose they are`,
  ]);
});
