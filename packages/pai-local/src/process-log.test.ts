import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openLogWriter, readLogPage, readNewestLines } from './process-log.ts';

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'process-log-'));
});
afterAll(() => rm(directory, { recursive: true }));

const ALL = { from: 0, to: 1e15 };

describe('openLogWriter', () => {
  it('keeps every line with its time, whatever the chunks', async () => {
    const times = [1000, 2000, 2100, 1500]; // the last from a clock that was set back
    const path = join(directory, 'deep', 'chunks.log');
    const log = openLogWriter(path, () => times.shift() as number);
    await log.copy(Readable.from(['one\ntw', 'o\r\n\nthree é', 'nd']));
    log.line('last');
    log.close();
    log.line('after the end');
    expect(await readFile(path, 'utf8')).toBe('1000 one\n2000 two\n2000 \n2100 three énd\n2100 last\n');
  });

  it('cuts a line that never ends', async () => {
    const path = join(directory, 'endless.log');
    const log = openLogWriter(path, () => 7);
    await log.copy(
      Readable.from(
        Array.from({ length: 30 }, () => Buffer.alloc(10_000, 'x')),
        { objectMode: false },
      ),
    );
    log.close();
    const lines = await readNewestLines(path, ALL, 100);
    expect(lines.join('')).toBe('x'.repeat(300_000));
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(80_000);
  });
});

describe('readNewestLines', () => {
  it('includes both boundary seconds whole', async () => {
    const path = join(directory, 'window.log');
    await writeFile(path, '999 a\n1000 b\n1999 c\n2000 d\n2999 e\n3000 f\n');
    const read = (from: number, to: number, max = 100) => readNewestLines(path, { from, to }, max);
    expect(await read(1000, 2000)).toEqual(['b', 'c', 'd', 'e']);
    expect(await read(1999, 1999)).toEqual(['b', 'c']);
    expect(await read(0, 2999, 2)).toEqual(['d', 'e']);
    expect(await read(4000, 5000)).toEqual([]);
  });

  it('has no lines where there is no file, and passes over a broken one', async () => {
    expect(await readNewestLines(join(directory, 'none'), ALL, 10)).toEqual([]);
    const path = join(directory, 'broken.log');
    await writeFile(path, '1 a\nrubbish\n2 b\n3 c'); // the last one was not finished
    expect(await readNewestLines(path, ALL, 10)).toEqual(['a', 'b', 'c']);
  });

  it('finds in a file of many blocks what a reader of the whole file finds', async () => {
    const path = join(directory, 'blocks.log');
    // Multi-byte characters at every offset, so that some lie across the blocks of 64 KiB.
    const lines = Array.from({ length: 9000 }, (_, i) => ({ at: i * 100, text: `${'é'.repeat(i % 31)} ${i}` }));
    await writeFile(path, lines.map(({ at, text }) => `${at} ${text}\n`).join(''));
    const seconds = fc.integer({ min: 0, max: 1000 });
    await fc.assert(
      fc.asyncProperty(seconds, seconds, fc.integer({ min: 1, max: 12_000 }), async (a, b, max) => {
        const [from, to] = [Math.min(a, b), Math.max(a, b)];
        const inside = lines.filter(({ at }) => at >= from * 1000 && at < (to + 1) * 1000).map(({ text }) => text);
        expect(await readNewestLines(path, { from: from * 1000, to: to * 1000 }, max)).toEqual(inside.slice(-max));
      }),
      { numRuns: 30 },
    );
  });
});

describe('readLogPage', () => {
  it('pages through the lines of a window that have a word', async () => {
    const path = join(directory, 'page.log');
    await writeFile(path, '0 early x\n1000 x1\n1000 other\n1500 x2\n2000 x3\n3000 late x\n');
    const read = (number: number) => readLogPage(path, { from: 1000, to: 2000 }, { number, size: 2, keyword: 'x' });
    expect(await read(1)).toEqual({ lines: ['x1', 'x2'], total: 3 });
    expect(await read(2)).toEqual({ lines: ['x3'], total: 3 });
    expect(await read(3)).toEqual({ lines: [], total: 3 });
    expect(await readLogPage(join(directory, 'none'), ALL, { number: 1, size: 2, keyword: '' })).toEqual({
      lines: [],
      total: 0,
    });
  });
});
