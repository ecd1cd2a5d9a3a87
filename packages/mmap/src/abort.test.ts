import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { documentsOf, writeDataset } from '../test/datasets.ts';
import { filesIn, openDescriptors, TOKENIZER, temporaryFolder } from '../test/fixtures.ts';
import { runCommand } from './commands.ts';
import {
  buildDataset,
  decontaminateFiles,
  dedupFiles,
  estimateBuild,
  examineDataset,
  findDuplicates,
  judgeFiles,
  mergeDatasets,
  mixDatasets,
  openDataset,
  readDocuments,
  repairDataset,
  shuffleDataset,
  splitDataset,
} from './index.ts';

interface Given {
  signal: AbortSignal;
  /** A JSONL file of two documents, and a dataset. */
  text: string;
  dataset: string;
  output: string;
}

const CALLS: [string, (given: Given) => Promise<unknown>][] = [
  ['openDataset', ({ dataset, signal }) => openDataset(dataset, signal)],
  ['examineDataset', ({ dataset, signal }) => examineDataset(dataset, { signal, full: true })],
  [
    'buildDataset',
    ({ text, output, signal }) => buildDataset({ inputs: [text], tokenizer: TOKENIZER, output, signal }),
  ],
  [
    'estimateBuild',
    ({ text, output, signal }) => estimateBuild({ inputs: [text], tokenizer: TOKENIZER, output, signal }),
  ],
  ['mergeDatasets', ({ dataset, output, signal }) => mergeDatasets({ inputs: [dataset, dataset], output, signal })],
  ['splitDataset', ({ dataset, output, signal }) => splitDataset({ input: dataset, output, every: 2, signal })],
  [
    'mixDatasets',
    ({ dataset, output, signal }) => mixDatasets({ sources: [{ input: dataset, share: 4 }], output, signal }),
  ],
  ['shuffleDataset', ({ dataset, output, signal }) => shuffleDataset({ input: dataset, output, signal })],
  ['repairDataset', ({ dataset, output, signal }) => repairDataset({ prefix: dataset, output, reindexEod: 1, signal })],
  ['dedupFiles', ({ text, output, signal }) => dedupFiles({ inputs: [text], drop: output, signal })],
  ['judgeFiles', ({ text, output, signal }) => judgeFiles({ inputs: [text], drop: output, signal })],
  [
    'decontaminateFiles',
    ({ text, output, signal }) => decontaminateFiles({ inputs: [text], against: [text], drop: output, signal }),
  ],
  ['readDocuments', ({ text, signal }) => readDocuments(text, { signal }).next()],
  ['findDuplicates', ({ signal }) => findDuplicates(['a', 'a'], { signal })],
];

/** A folder with a JSONL file of two documents, and a dataset elsewhere. */
function setUp() {
  const folder = temporaryFolder();
  const text = join(folder, 'in.jsonl');
  writeFileSync(text, '{"text":"one"}\n{"text":"two"}\n');
  return { folder, text, dataset: writeDataset(documentsOf([2, 2, 1, 3])), output: join(folder, 'out') };
}

function expectNothing({ folder, dataset }: { folder: string; dataset: string }): void {
  expect(filesIn(folder)).toEqual(['in.jsonl']);
  expect(openDescriptors(folder)).toEqual([]);
  expect(openDescriptors(dataset)).toEqual([]);
}

const reason = new Error('enough');

test.each(CALLS)('%s ends with the reason of an abort, writes nothing and leaves no file open', async (_, call) => {
  const given = setUp();
  await expect(call({ signal: AbortSignal.abort(reason), ...given })).rejects.toBe(reason);
  expectNothing(given);
});

const COMMANDS: [string, (given: Omit<Given, 'signal'>) => string[]][] = [
  ['build', ({ text, output }) => [text, '--tokenizer', TOKENIZER, '--output', output]],
  ['inspect', ({ dataset }) => [dataset]],
  ['cat', ({ dataset }) => [dataset, '--ids']],
  ['estimate', ({ dataset }) => [dataset, '--seq-length', '2', '--global-batch-size', '1']],
  ['doctor', ({ dataset }) => [dataset]],
  ['merge', ({ dataset, output }) => [output, dataset, dataset]],
  ['split', ({ dataset, output }) => [dataset, output, '--every', '2']],
  ['mix', ({ dataset, output }) => [output, `${dataset}=4`]],
  ['shuffle', ({ dataset, output }) => [dataset, output]],
  ['repair', ({ dataset, output }) => [dataset, output, '--reindex-eod', '1']],
  ['dedup', ({ text, output }) => [text, '--drop', output]],
  ['quality', ({ text, output }) => [text, '--drop', output]],
  ['decontaminate', ({ text, output }) => [text, '--against', text, '--drop', output]],
];

test.each(COMMANDS)(
  'cpt-mmap %s ends with the reason of an abort, says nothing and writes nothing',
  async (name, args) => {
    const given = setUp();
    const said: string[] = [];
    const output = { write: (text: string) => void said.push(text), log: () => undefined };
    await expect(runCommand([name, ...args(given)], output, AbortSignal.abort(reason))).rejects.toBe(reason);
    expect(said).toEqual([]);
    expectNothing(given);
  },
);

test('every command is in the list', async () => {
  const said: string[] = [];
  await runCommand(['--help'], { write: (text) => void said.push(text), log: () => undefined });
  const commands = [...said.join('').matchAll(/^ {2}([a-z]+) \[options\]/gm)].map(([, name]) => name);
  expect(commands.sort()).toEqual(COMMANDS.map(([name]) => name).sort());
});
