import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { openDescriptors, refusal, temporaryFolder } from '../../test/fixtures.ts';
import { type CorpusDocument, type CorpusProgress, documentId, listCorpus, readCorpus } from './corpus.ts';

test('files have the name below the folder that was given', async () => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, 'in/deep'), { recursive: true });
  writeFileSync(join(folder, 'in/deep/a.jsonl'), '');
  writeFileSync(join(folder, 'in/b.txt'), 'b');
  const files = await listCorpus([join(folder, 'in'), join(folder, 'in/deep/a.jsonl')]);
  expect(files.map(({ name }) => name)).toEqual(['b.txt', 'deep/a.jsonl', 'a.jsonl']);
  expect((await listCorpus([join(folder, 'in/*/*.jsonl')])).map(({ name }) => name)).toEqual(['deep/a.jsonl']);
  expect((await refusal(listCorpus([]))).message).toContain('no input given');
  expect((await refusal(listCorpus(['-']))).message).toContain('stdin cannot be screened');
});

test('documents know their file and line, their bytes and their number', async () => {
  const folder = temporaryFolder();
  const lines = ['\ufeff{"text":"one","id":1}\r', '', '{"id":2, "text":["two","zwei"]} ', '{"text":"three"}'];
  writeFileSync(join(folder, 'a.jsonl'), lines.join('\n'));
  writeFileSync(join(folder, 'b.txt'), 'first\nparagraph\n\n\n\nsecond\n');
  const files = await listCorpus([folder]);
  const seen: CorpusDocument[] = [];
  const progress: CorpusProgress[] = [];
  const documents = readCorpus(files, { splitParagraphs: true, onProgress: (entry) => progress.push(entry) });
  let next = await documents.next();
  for (; !next.done; next = await documents.next()) seen.push(next.value);

  expect(seen.map((document) => documentId(document).slice(folder.length + 1))).toEqual([
    'a.jsonl:1',
    'a.jsonl:3',
    'a.jsonl:4',
    'b.txt:1',
    'b.txt:6',
  ]);
  expect(seen.map(({ number, text }) => [number, text])).toEqual([
    [0, 'one'],
    [1, 'two\nzwei'],
    [2, 'three'],
    [3, 'first\nparagraph'],
    [4, 'second'],
  ]);
  expect(seen.map(({ source }) => source && Buffer.from(source).toString())).toEqual([
    '{"text":"one","id":1}\r\n',
    '{"id":2, "text":["two","zwei"]} \n',
    '{"text":"three"}',
    undefined,
    undefined,
  ]);
  const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
  expect(next.value).toEqual([sha256(lines.join('\n')), sha256('first\nparagraph\n\n\n\nsecond\n')]);
  // The first paragraph begins where the first file ends.
  expect(progress[3]).toEqual({ documents: 4, bytesRead: 76, bytesTotal: 102 });
  expect(progress.at(-1)).toEqual({ documents: 5, bytesRead: 102, bytesTotal: 102 });
});

test('a packed file has the lines of what is packed; an element of an array has no line of its own', async () => {
  const folder = temporaryFolder();
  const lines = Array.from({ length: 40_000 }, (_, i) => JSON.stringify({ text: `document ${i}`, i }));
  writeFileSync(join(folder, 'a.jsonl.gz'), gzipSync(`${lines.join('\n\n')}\n`));
  writeFileSync(join(folder, 'b.json'), '[\n {"text":\n "one"},\n {"text": "two"} ]');
  const seen: string[] = [];
  for await (const { file, line, text, source } of readCorpus(
    await listCorpus(['a.jsonl.gz', 'b.json'].map((name) => join(folder, name))),
  )) {
    if (file.name === 'b.json') seen.push(`${line} ${text} ${source}`);
    else if (`${lines[(line - 1) / 2]}\n` !== Buffer.from(source as Uint8Array).toString())
      throw new Error(`line ${line}`);
    else if (text !== `document ${(line - 1) / 2}`) throw new Error(text);
  }
  expect(seen).toEqual(['2 one undefined', '4 two undefined']);
});

test('what is stopped early, aborted or broken leaves no file open', async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'a.jsonl'), '{"text":"one"}\n{"text":"two"}\n{"text":\n');
  const files = await listCorpus([folder]);
  for await (const document of readCorpus(files)) if (document.number === 0) break;
  expect(openDescriptors(folder)).toEqual([]);

  const read = async (signal?: AbortSignal) => {
    for await (const _ of readCorpus(files, { ...(signal && { signal }) }));
  };
  expect((await refusal(read())).message).toContain(`${join(folder, 'a.jsonl')}:3:30: not valid JSON`);
  const reason = new Error('enough');
  await expect(read(AbortSignal.abort(reason))).rejects.toBe(reason);
  expect(openDescriptors(folder)).toEqual([]);
});
