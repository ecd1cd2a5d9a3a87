import { expect, test } from 'vitest';
import { NO_COUNTS } from '../counts.ts';
import { type Checkpoint, findResumePoint, type JournalStart, parseJournal, serializeEntry } from './journal.ts';

const input = (path: string, byteLength = 10, modifiedMs = 1) => ({ path, byteLength, modifiedMs });
const start: JournalStart = {
  kind: 'start',
  version: 1,
  options: { eod: 1, onBad: 'fail' },
  inputs: [input('a'), input('b'), input('c')],
};
const checkpoint = (at: number, more: Partial<Checkpoint> = {}): Checkpoint => ({
  kind: 'checkpoint',
  input: at,
  lines: 0,
  documents: at,
  counts: NO_COUNTS,
  records: [],
  parts: [],
  rejectsBytes: 0,
  ...more,
});
const record = (path: string) => ({ path, bytes: 10, sha256: path });
const text = [
  start,
  checkpoint(0, { resumeAt: 5 }),
  checkpoint(1, { records: [record('a')] }),
  checkpoint(2, { records: [record('b')], resumeAt: 7 }),
]
  .map(serializeEntry)
  .join('');
const never = async () => false;

test('whole lines count, in whatever state the last one is', () => {
  for (let cut = 0; cut <= text.length; cut++) {
    const whole = text.slice(0, cut).split('\n').length - 1;
    expect(parseJournal(text.slice(0, cut))?.checkpoints.length).toBe(whole === 0 ? undefined : whole - 1);
  }
  const torn = `${text.slice(0, -9)}\n${serializeEntry(checkpoint(2, { records: [record('b')] }))}`;
  expect(parseJournal(torn)?.checkpoints.map(({ input: at, records }) => [at, records.length])).toEqual([
    [0, 0],
    [1, 1],
    [2, 2],
  ]);
});

test('another version, or something else, is no journal', () => {
  expect(parseJournal(serializeEntry({ ...start, version: 2 as 1 }))).toBeUndefined();
  expect(parseJournal(serializeEntry(checkpoint(1)))).toBeUndefined();
  expect(parseJournal('')).toBeUndefined();
});

const resume = (now: Partial<JournalStart>, isUnchanged: Parameters<typeof findResumePoint>[2] = never) => {
  const journal = parseJournal(text);
  if (!journal) throw new Error('no journal');
  return findResumePoint(journal, { ...start, ...now }, isUnchanged);
};

test('the last checkpoint, when all is as it was', async () => {
  expect(await resume({})).toMatchObject({
    checkpoint: { input: 2, resumeAt: 7, records: [record('a'), record('b')] },
  });
});

test('a file in use that changed takes the build back to where the file begins', async () => {
  const inputs = [input('a'), input('b'), input('c', 10, 2)];
  expect(await resume({ inputs })).toMatchObject({ checkpoint: { input: 1, records: [record('a')] } });
});

test('a finished file with a new time is compared by its digest', async () => {
  const inputs = [input('a', 10, 2), input('b'), input('c')];
  expect(await resume({ inputs }, async (path, { sha256 }) => path === sha256)).toMatchObject({
    checkpoint: { input: 2 },
  });
  expect(await resume({ inputs })).toEqual({ differences: ['a was changed'] });
});

test('what differs is named', async () => {
  expect(await resume({ inputs: [input('a', 11), input('b'), input('c')] })).toEqual({
    differences: ['a had 10 bytes, now 11'],
  });
  expect(await resume({ inputs: [input('a'), input('c')] })).toEqual({ differences: ['there were 3 inputs, now 2'] });
  expect(await resume({ inputs: [input('a'), { ...input('b'), range: { from: 0, to: 5 } }, input('c')] })).toEqual({
    differences: ['input 2 was b, now b'],
  });
  expect(await resume({ options: { eod: 2, onBad: 'fail' } })).toEqual({ differences: ['eod was 1, now 2'] });
  expect(await resume({ options: { eod: 1, onBad: 'skip' } })).toMatchObject({ checkpoint: { input: 2 } });
  expect(await resume({ options: { eod: 1, onBad: 'fail', limit: 3 } })).toEqual({
    differences: ['limit was not set, now 3'],
  });
});
