import { PassThrough } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import { expect, test } from 'vitest';
import { createScreenProgress } from './screen-progress.ts';

const at = (documents: number, bytesRead: number) => ({ documents, bytesRead, bytesTotal: 2_000_000 });

test('without a terminal a line every few seconds', () => {
  const log: string[] = [];
  let now = 0;
  const view = createScreenProgress({ write: () => undefined, log: (line) => void log.push(line) }, { now: () => now });
  for (now = 0; now <= 6500; now += 500) view.update(at(now, now * 100));
  view.clear();
  expect(log.map(stripVTControlCharacters)).toEqual([
    '15% of 2.0 MB: 3,000 documents',
    '30% of 2.0 MB: 6,000 documents',
  ]);
});

test('on a terminal a bar, which goes away', () => {
  const terminal = Object.assign(new PassThrough(), {
    isTTY: true,
    columns: 80,
    cursorTo: () => true,
    moveCursor: () => true,
    clearLine: () => true,
  });
  const log: string[] = [];
  const output = {
    write: () => undefined,
    log: (line: string) => void log.push(line),
    terminal: terminal as unknown as NodeJS.WriteStream,
  };
  const view = createScreenProgress(output, { everyMs: 0 });
  view.update(at(5, 1_000_000));
  view.clear();
  expect(stripVTControlCharacters(String(terminal.read()))).toContain('50% of 2.0 MB: 5 documents');
  expect(log).toEqual([]);
});
