import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { openDescriptors, refusal, temporaryFolder } from '../../test/fixtures.ts';
import { inputFile, readInput } from '../../test/streams.ts';
import type { Document } from './document.ts';
import { type InputRecord, listInputs, type ReadOptions, readDocuments } from './inputs.ts';

const shown = async (paths: string[], folder: string) =>
  (await listInputs(paths)).map(({ path, byteLength, format, packing }) => [
    path.replace(`${folder}/`, ''),
    byteLength,
    format,
    packing,
  ]);

test('files stay in the given order, folders give their known files sorted', async () => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, 'in'));
  for (const name of [
    'b.jsonl',
    'a.txt',
    'c.NDJSON',
    'notes.md',
    'd.json',
    'e.jsonl.gz',
    'f.txt.zst',
    'g.parquet',
    'h.md.gz',
    'i.parquet.gz',
  ])
    writeFileSync(join(folder, 'in', name), 'xy');
  writeFileSync(join(folder, 'z.txt'), 'abc');
  expect(await shown([join(folder, 'z.txt'), join(folder, 'in'), join(folder, 'in/d.json')], folder)).toEqual([
    ['z.txt', 3, 'text', 'none'],
    ['in/a.txt', 2, 'text', 'none'],
    ['in/b.jsonl', 2, 'jsonl', 'none'],
    ['in/c.NDJSON', 2, 'jsonl', 'none'],
    ['in/e.jsonl.gz', 2, 'jsonl', 'gzip'],
    ['in/f.txt.zst', 2, 'text', 'zstd'],
    ['in/g.parquet', 2, 'parquet', 'none'],
    ['in/d.json', 2, 'json', 'none'],
  ]);
});

test('patterns give what they match, sorted; a file that is named like one is itself', async () => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, 'b'));
  for (const name of ['a-2.jsonl', 'a-1.jsonl', 'b/a-3.jsonl', 'a-4.md', 'x[1].txt'])
    writeFileSync(join(folder, name), '');
  expect((await shown([`${folder}/**/a-*`], folder)).map(([path]) => path)).toEqual([
    'a-1.jsonl',
    'a-2.jsonl',
    'b/a-3.jsonl',
  ]);
  expect((await shown([`${folder}/x[1].txt`], folder)).map(([path]) => path)).toEqual(['x[1].txt']);
  const error = await refusal(listInputs([`${folder}/*.parquet`]));
  expect(error.code).toBe('CPT_INPUT_FILE_MISSING');
  expect(error.message).toContain('file has such a name');
});

test('stdin is named once', async () => {
  expect(await listInputs(['-'])).toEqual([
    { path: '-', byteLength: 0, modifiedMs: 0, format: 'jsonl', packing: 'none' },
  ]);
  expect((await refusal(listInputs(['-', '-']))).message).toContain('stdin can be read once');
});

test('what cannot be read is refused before anything is', async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'notes.md'), '');
  expect((await refusal(listInputs([join(folder, 'nowhere.txt')]))).code).toBe('CPT_INPUT_FILE_MISSING');
  expect((await refusal(listInputs([folder]))).message).toBe(
    `${folder}: holds no .jsonl, .ndjson, .txt (also .gz and .zst of these), .parquet file`,
  );
  expect((await refusal(listInputs([join(folder, 'notes.md')]))).code).toBe('CPT_INPUT_INVALID');
  expect((await refusal(listInputs([]))).code).toBe('CPT_INPUT_INVALID');
});

async function read(path: string, options: ReadOptions = {}): Promise<{ documents: Document[]; record: InputRecord }> {
  const source = readDocuments(path, options);
  const documents: Document[] = [];
  let next = await source.next();
  for (; !next.done; next = await source.next()) documents.push(next.value);
  return { documents, record: next.value };
}

test('documents come with size and sha256 of the file, from the one pass', async () => {
  const file = join(temporaryFolder(), 'a.jsonl');
  const content = '\ufeff{"text":"a"}\n\n{"text":"b"}\n';
  writeFileSync(file, content);
  const { documents, record } = await read(file);
  expect(documents.flatMap(({ texts }) => texts)).toEqual(['a', 'b']);
  expect(record).toEqual({ path: file, bytes: 30, sha256: createHash('sha256').update(content).digest('hex') });
});

const plain = async () => (await read(inputFile('lists.jsonl'))).documents.map(({ texts }) => texts);

test.each(['lists.json', 'two-members.jsonl.gz', 'two-frames.jsonl.zst', 'lists.parquet'])(
  '%s holds the documents of the plain file, and its own digest',
  async (name) => {
    const { documents, record } = await read(inputFile(name));
    expect(documents.map(({ texts }) => texts)).toEqual(await plain());
    const bytes = readInput(name);
    expect(record).toMatchObject({ bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') });
    expect(openDescriptors(inputFile(''))).toEqual([]);
  },
);

test('§7 top-level array: a .json file may also hold one object a line', async () => {
  const file = join(temporaryFolder(), 'lines.json.gz');
  writeFileSync(file, gzipSync(readInput('lists.jsonl')));
  expect((await read(file)).documents.map(({ texts }) => texts)).toEqual(await plain());
});

test('a text file is one document or one a paragraph, packed or not', async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'a.txt'), 'one\n\ntwo\n');
  writeFileSync(join(folder, 'a.txt.gz'), gzipSync('one\n\ntwo\n'));
  for (const name of ['a.txt', 'a.txt.gz']) {
    const texts = async (splitParagraphs: boolean) =>
      (await read(join(folder, name), { splitParagraphs })).documents.flatMap((document) => document.texts);
    expect(await texts(false)).toEqual(['one\n\ntwo\n']);
    expect(await texts(true)).toEqual(['one', 'two']);
  }
});

test('a reader that stops early leaves no file open', async () => {
  const source = readDocuments(inputFile('two-members.jsonl.gz'));
  await source.next();
  await source.return(undefined as never);
  expect(openDescriptors(inputFile(''))).toEqual([]);
});
