import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { filesIn, refusal, temporaryFolder } from '../../../test/fixtures.ts';
import { NO_COUNTS } from '../counts.ts';
import type { Checkpoint, JournalStart } from './journal.ts';
import { giveNames, openWorkFolder, readJournal } from './node.ts';

const START: JournalStart = { kind: 'start', version: 1, options: {}, inputs: [] };
const CHECKPOINT: Checkpoint = {
  kind: 'checkpoint',
  input: 0,
  lines: 0,
  documents: 3,
  counts: NO_COUNTS,
  records: [],
  parts: [],
  rejectsBytes: 0,
};

test('what is noted is found again; without a checkpoint everything begins anew', async () => {
  const prefix = join(temporaryFolder(), 'deep/set');
  const first = await openWorkFolder(prefix, START, false);
  writeFileSync(first.path('train.bin'), 'x');
  await first.release();
  const second = await openWorkFolder(prefix, { ...START, options: { eod: 1 } }, false);
  expect([second.resumed, existsSync(second.path('train.bin'))]).toEqual([undefined, false]);
  await second.note(CHECKPOINT);
  await second.release();
  const third = await openWorkFolder(prefix, { ...START, options: { eod: 1 } }, false);
  expect(third.resumed).toEqual(CHECKPOINT);
  await third.remove();
  expect(existsSync(`${prefix}.build`)).toBe(false);
  expect(await readJournal(prefix)).toBeUndefined();
});

test('a refused build lets go of the folder and leaves it as it is', async () => {
  const prefix = join(temporaryFolder(), 'set');
  const first = await openWorkFolder(prefix, START, false);
  await first.note(CHECKPOINT);
  await first.release();
  const before = readFileSync(first.path('journal.ndjson'), 'utf8');
  expect((await refusal(openWorkFolder(prefix, { ...START, options: { eod: 2 } }, false))).code).toBe(
    'CPT_INPUT_RESUME_MISMATCH',
  );
  expect(readFileSync(first.path('journal.ndjson'), 'utf8')).toBe(before);
  expect(filesIn(`${prefix}.build`).filter((name) => name.startsWith('lock'))).toEqual([]);
  expect((await openWorkFolder(prefix, { ...START, options: { eod: 2 } }, true)).resumed).toBeUndefined();
});

test('a folder that is held is refused, also to who would drop what it holds', async () => {
  const prefix = join(temporaryFolder(), 'set');
  const held = await openWorkFolder(prefix, START, false);
  const error = await refusal(openWorkFolder(prefix, START, true));
  expect(error.code).toBe('CPT_INPUT_BUILD_RUNNING');
  expect(error.message).toContain(`process ${process.pid} on ${hostname()} builds this dataset`);
  await held.remove();
  expect(existsSync(`${prefix}.build`)).toBe(false);
});

test('names are given once, the index last, and an old index goes first', async () => {
  const folder = temporaryFolder();
  const path = (name: string) => join(folder, name);
  mkdirSync(path('new'));
  for (const name of ['set.bin', 'set.idx', 'new/bin', 'new/json', 'new/idx']) writeFileSync(path(name), name);
  const renames: [string, string][] = ['bin', 'json', 'idx'].map((ending) => [
    path(`new/${ending}`),
    path(`set.${ending}`),
  ]);
  mkdirSync(path('set.json/in-the-way'), { recursive: true });
  await expect(giveNames(renames, [])).rejects.toThrow();
  expect([existsSync(path('set.idx')), readFileSync(path('set.bin'), 'utf8')]).toEqual([false, 'new/bin']);
  writeFileSync(path('set.rejects.jsonl'), 'of an earlier build');
  const free = renames.map(([from, to]): [string, string] => [from, to.replace('set.json', 'other.json')]);
  for (let i = 0; i < 2; i++) await giveNames(free, [path('set.rejects.jsonl')]);
  expect(filesIn(folder).filter((name) => name.includes('.') && !name.includes('/'))).toEqual([
    'other.json',
    'set.bin',
    'set.idx',
    'set.json',
  ]);
  expect(readFileSync(path('set.idx'), 'utf8')).toBe('new/idx');
});
