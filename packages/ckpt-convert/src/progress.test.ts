import { stripVTControlCharacters } from 'node:util';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { createByteProgress, formatBytes, formatDuration, parseByteSize } from './progress.ts';

describe('parseByteSize', () => {
  it.each([
    ['5GB', 5_000_000_000],
    ['5gb', 5_000_000_000],
    ['512MiB', 536_870_912],
    ['1.5 kB', 1500],
    ['1000', 1000],
    ['0', undefined],
    ['-1GB', undefined],
    ['5 apples', undefined],
    ['', undefined],
    ['9999999TB', undefined],
  ])('%s', (text, bytes) => {
    expect(parseByteSize(text)).toBe(bytes);
  });
});

it.each([
  [0, '0 bytes'],
  [999, '999 bytes'],
  [13_376, '13.4 kB'],
  [145_412_407_296, '145.4 GB'],
])('formatBytes(%i)', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

it.each([
  [0.01, '0.1 s'],
  [3.24, '3.2 s'],
  [75.4, '75 s'],
  [145, '2 min'],
  [967, '16 min'],
  [9000, '2.5 h'],
])('formatDuration(%s) is %s', (seconds, text) => {
  expect(formatDuration(seconds)).toBe(text);
});

afterEach(() => void vi.restoreAllMocks());

it('prints a line now and then where there is no terminal', () => {
  const clock = vi.spyOn(performance, 'now').mockReturnValue(0);
  const lines: string[] = [];
  const progress = createByteProgress({ write: () => {}, log: (line) => void lines.push(line) }, { everyMs: 0 });
  clock.mockReturnValue(5000); // planning
  progress.update(25e9, 100e9); // done by an earlier run
  clock.mockReturnValue(15_000);
  progress.update(50e9, 100e9);
  progress.clear();
  expect(lines.map(stripVTControlCharacters)).toEqual(['25% of 100.0 GB', '50% of 100.0 GB, 2.50 GB/s, 20 s left']);
  const quiet = createByteProgress({ write: () => {}, log: (line) => void lines.push(line) });
  quiet.update(1, 2);
  expect(lines).toHaveLength(2);
});
