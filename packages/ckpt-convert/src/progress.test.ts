import { describe, expect, it } from 'vitest';
import { createByteProgress, formatBytes, parseByteSize } from './progress.ts';

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

it('prints a line now and then where there is no terminal', () => {
  const lines: string[] = [];
  const progress = createByteProgress({ write: () => {}, log: (line) => void lines.push(line) }, { everyMs: 0 });
  progress.update(25_000_000, 100_000_000);
  progress.clear();
  expect(lines).toEqual([expect.stringMatching(/25% of 100\.0 MB, [\d.]+ GB\/s/)]);
  const quiet = createByteProgress({ write: () => {}, log: (line) => void lines.push(line) });
  quiet.update(1, 2);
  expect(lines).toHaveLength(1);
});
