import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { filesIn, openDescriptors, refusal, temporaryFolder } from '../../test/fixtures.ts';
import { type CorpusDocument, listCorpus, readCorpus } from './corpus.ts';
import { keptName, openScreenOutput, type ScreenOutput } from './node.ts';

async function corpus(folder: string) {
  mkdirSync(join(folder, 'in/deep'), { recursive: true });
  writeFileSync(join(folder, 'in/a.ndjson'), '{"id":1, "text":"one"}\r\n{"text":"two","x":{}}');
  writeFileSync(join(folder, 'in/deep/a.txt'), 'three\nlines');
  writeFileSync(join(folder, 'in/none.jsonl'), '');
  const files = await listCorpus([join(folder, 'in')]);
  const documents: CorpusDocument[] = [];
  for await (const document of readCorpus(files)) documents.push(document);
  return { files, documents };
}

test('kept lines stay as they are, rejects say why, and every file of the corpus has its file', async () => {
  const folder = temporaryFolder();
  const { files, documents } = await corpus(folder);
  const drop = join(folder, 'out');
  const output = (await openScreenOutput(files, { drop, textKey: 'body' })) as ScreenOutput;
  const [one, two, three] = documents as [CorpusDocument, CorpusDocument, CorpusDocument];
  await output.keep(one);
  await output.keep(two);
  await output.keep(three);
  await output.reject(two, { reason: 'bad', value: 3 });
  expect(filesIn(folder).filter((name) => /\/out\/.*\.jsonl$/.test(name))).toEqual([]);
  const written = await output.commit();
  await output.abort();

  expect(filesIn(drop)).toEqual(['a.jsonl', 'deep', 'deep/a.txt.jsonl', 'none.jsonl']);
  expect(readFileSync(join(drop, 'a.jsonl'), 'utf8')).toBe('{"id":1, "text":"one"}\r\n{"text":"two","x":{}}\n');
  expect(readFileSync(join(drop, 'deep/a.txt.jsonl'), 'utf8')).toBe('{"body":"three\\nlines"}\n');
  expect(readFileSync(join(drop, 'none.jsonl'), 'utf8')).toBe('');
  expect(JSON.parse(readFileSync(`${drop}.rejects.jsonl`, 'utf8'))).toEqual({
    file: join(folder, 'in/a.ndjson'),
    line: 2,
    reason: 'bad',
    value: 3,
    text: 'two',
  });
  expect(written).toEqual({
    folder: drop,
    files: ['a.jsonl', 'deep/a.txt.jsonl', 'none.jsonl'].map((name) => join(drop, name)),
    rejects: `${drop}.rejects.jsonl`,
  });
  expect(openDescriptors(folder)).toEqual([]);
});

test('rejects alone keep nothing; without either nothing is written', async () => {
  const folder = temporaryFolder();
  const { files, documents } = await corpus(folder);
  expect(await openScreenOutput(files, {})).toBeUndefined();
  const rejects = join(folder, 'new/rejects.jsonl');
  const output = (await openScreenOutput(files, { rejects })) as ScreenOutput;
  for (const document of documents) await output.keep(document);
  expect(await output.commit()).toEqual({ files: [], rejects });
  expect(filesIn(join(folder, 'new'))).toEqual(['rejects.jsonl']);
});

test('an abort leaves no file', async () => {
  const folder = temporaryFolder();
  const { files, documents } = await corpus(folder);
  const output = (await openScreenOutput(files, { drop: join(folder, 'out') })) as ScreenOutput;
  const long = { ...(documents[0] as CorpusDocument), source: Buffer.alloc(1 << 20, 0x20) };
  await output.keep(long); // large enough to be written at once
  await output.reject(long, { reason: 'bad' });
  expect(filesIn(join(folder, 'out'))).toHaveLength(1);
  expect(openDescriptors(folder)).toHaveLength(1);
  await output.keep(documents[2] as CorpusDocument); // of the next file
  expect(openDescriptors(folder)).toEqual([]);
  await output.abort();
  expect(filesIn(join(folder, 'out'))).toEqual([]);
  expect(filesIn(folder).filter((name) => name.includes('rejects'))).toEqual([]);
  expect(openDescriptors(folder)).toEqual([]);
});

test('what would overwrite or mix files is refused', async () => {
  const folder = temporaryFolder();
  const { files } = await corpus(folder);
  const drop = join(folder, 'out');
  expect((await refusal(openScreenOutput(files, { drop, rejects: join(drop, 'rejects.jsonl') }))).message).toContain(
    'where the rejects would be read as documents',
  );
  // The names of a folder are read again by nobody: beside it they are allowed.
  expect(await openScreenOutput(files, { drop, rejects: `${drop}-rejects.jsonl` })).toBeDefined();
  expect((await refusal(openScreenOutput([...files, ...files], { drop }))).message).toContain(
    'both would be written to',
  );
  expect((await refusal(openScreenOutput(files, { drop: join(folder, 'in') }))).code).toBe('CPT_INPUT_OUTPUT_EXISTS');
  writeFileSync(`${drop}.rejects.jsonl`, '');
  expect((await refusal(openScreenOutput(files, { drop }))).message).toBe(
    `${drop}.rejects.jsonl: already exists; choose another output or remove it`,
  );
});

test.each([
  ['a.jsonl', 'a.jsonl'],
  ['d/a.NDJSON', 'd/a.jsonl'],
  ['a.jsonl.gz', 'a.jsonl'],
  ['a.json.zst', 'a.json.jsonl'],
  ['a.b.txt', 'a.b.txt.jsonl'],
  ['a.parquet', 'a.parquet.jsonl'],
])('%s is kept as %s', (name, kept) => {
  expect(keptName(name)).toBe(kept);
});
