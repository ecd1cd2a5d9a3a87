import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { refusal, temporaryFolder } from '../../test/fixtures.ts';
import { listInputs, readDocuments } from './inputs.ts';

const OPTIONS = { textKey: 'text', splitParagraphs: false };

test('files stay in the given order, folders give their known files sorted', async () => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, 'in'));
  for (const name of ['b.jsonl', 'a.txt', 'c.NDJSON', 'notes.md', 'd.json'])
    writeFileSync(join(folder, 'in', name), 'xy');
  writeFileSync(join(folder, 'z.txt'), 'abc');
  const inputs = await listInputs([join(folder, 'z.txt'), join(folder, 'in')]);
  expect(inputs).toEqual([
    { path: join(folder, 'z.txt'), byteLength: 3 },
    { path: join(folder, 'in/a.txt'), byteLength: 2 },
    { path: join(folder, 'in/b.jsonl'), byteLength: 2 },
    { path: join(folder, 'in/c.NDJSON'), byteLength: 2 },
  ]);
});

test('what cannot be read is refused before anything is', async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'notes.md'), '');
  expect((await refusal(listInputs([join(folder, 'nowhere.txt')]))).code).toBe('CPT_INPUT_FILE_MISSING');
  expect((await refusal(listInputs([folder]))).message).toBe(`${folder}: holds no .jsonl, .ndjson, .txt file`);
  expect((await refusal(listInputs([join(folder, 'notes.md')]))).code).toBe('CPT_INPUT_INVALID');
  expect((await refusal(listInputs([]))).code).toBe('CPT_INPUT_INVALID');
});

test('documents come with size and sha256 of the file, from the one pass', async () => {
  const file = join(temporaryFolder(), 'a.jsonl');
  const content = '\ufeff{"text":"a"}\n\n{"text":"b"}\n';
  writeFileSync(file, content);
  const source = readDocuments(file, { ...OPTIONS, chunkBytes: 7 });
  const texts: string[] = [];
  let next = await source.next();
  for (; !next.done; next = await source.next()) texts.push(...next.value.texts);
  expect(texts).toEqual(['a', 'b']);
  const sha256 = createHash('sha256').update(content).digest('hex');
  expect(next.value).toEqual({ path: file, bytes: 30, sha256 });
});
