import { expect, test } from 'vitest';
import { count, createProgress, formatBytes, formatSeconds } from './progress.ts';

const at = (seconds: number, bytesRead: number) => ({
  documents: 1500,
  tokens: 40000,
  bytesRead,
  bytesTotal: 2000000,
  seconds,
});

test('without a terminal: a line every few seconds, and one about the whole', () => {
  const lines: string[] = [];
  const progress = createProgress({ write: () => {}, log: (line) => lines.push(line) }, { everyMs: 3000 });
  for (const seconds of [0.5, 1, 2.9]) progress.update(at(seconds, 1));
  expect(lines).toEqual([]);
  progress.update(at(3.5, 500000));
  progress.update(at(4, 600000));
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain('25% of 2.0 MB: 1,500 documents, 40,000 tokens, 142.9 kB/s, 11,429 tokens/s, 11 s left');
  progress.update(at(8, 2000000));
  progress.clear();
  progress.summarize();
  expect(lines).toHaveLength(3);
  expect(lines[2]).toBe('100% of 2.0 MB: 1,500 documents, 40,000 tokens, 250.0 kB/s, 5,000 tokens/s');
});

test('rates and the time left are those of this run, not of the one it continues', () => {
  const lines: string[] = [];
  const progress = createProgress({ write: () => {}, log: (line) => lines.push(line) });
  progress.update({ ...at(2, 1500000), earlier: { bytesRead: 1000000, tokens: 30000 } });
  progress.summarize();
  expect(lines).toEqual(['75% of 2.0 MB: 1,500 documents, 40,000 tokens, 250.0 kB/s, 5,000 tokens/s, 2 s left']);
});

test('nothing was read: nothing is said, and no division by zero', () => {
  const lines: string[] = [];
  const progress = createProgress({ write: () => {}, log: (line) => lines.push(line) });
  progress.clear();
  progress.summarize();
  expect(lines).toEqual([]);
  progress.update({ documents: 0, tokens: 0, bytesRead: 0, bytesTotal: 0, seconds: 0 });
  progress.summarize();
  expect(lines).toEqual(['100% of 0 bytes: 0 documents, 0 tokens, 0 bytes/s, 0 tokens/s']);
});

test.each([
  [0, '0 bytes'],
  [0.4, '0 bytes'],
  [999, '999 bytes'],
  [1000, '1.0 kB'],
  [499814, '499.8 kB'],
  [2.5e9, '2.5 GB'],
  [3e15, '3000.0 TB'],
])('%d bytes are %s', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

test.each([
  [0.2, '1 s'],
  [89, '89 s'],
  [100, '2 min'],
  [5300, '88 min'],
  [9000, '2 h 30 min'],
])('%d seconds are %s', (seconds, text) => {
  expect(formatSeconds(seconds)).toBe(text);
});

test('thousands are set apart', () => {
  expect(count(1234567)).toBe('1,234,567');
});
