import { closeSync, createReadStream, mkdirSync, openSync, writeSync } from 'node:fs';
import { type FileHandle, open, readdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { isInWindow, type TimeWindow, toSecond } from './parameters.ts';

/*
 * One file per pod or service, one line of it per line of output:  <milliseconds since 1970> SP <text> LF
 * Times never decrease, so the newest lines are found by reading from the end.
 */

/** A line without an end is cut here, so that a process that never prints one does not fill the memory. */
const MAX_LINE_CHARS = 64 * 1024;
const BLOCK_BYTES = 64 * 1024;
const LF = 0x0a;

/** Where the output of one process goes. */
export interface LogWriter {
  /** Copies a stream line by line until it ends; a last line without an end is kept too. */
  copy(stream: Readable): Promise<void>;
  line(text: string): void;
  close(): void;
}

/** Opens the log at `path` for appending, and makes its directory. */
export function openLogWriter(path: string, now: () => number): LogWriter {
  mkdirSync(dirname(path), { recursive: true });
  const fd = openSync(path, 'a');
  let last = 0;
  let isOpen = true;
  function write(lines: readonly string[]): void {
    if (!isOpen || lines.length === 0) return;
    last = Math.max(last, now());
    // Synchronous, so that whoever reads the file sees all there is, and a fast writer waits for the disk.
    writeSync(fd, lines.map((line) => `${last} ${line}\n`).join(''));
  }
  return {
    async copy(stream) {
      stream.setEncoding('utf8');
      let rest = '';
      for await (const chunk of stream) {
        const lines = `${rest}${chunk}`.split('\n');
        rest = lines.pop() as string;
        if (rest.length > MAX_LINE_CHARS) {
          lines.push(rest);
          rest = '';
        }
        write(lines.map(withoutReturn));
      }
      if (rest !== '') write([withoutReturn(rest)]);
    },
    line: (text) => write(text.split('\n')),
    close() {
      if (isOpen) closeSync(fd);
      isOpen = false;
    },
  };
}

function withoutReturn(line: string): string {
  return line.endsWith('\r') ? line.slice(0, -1) : line;
}

/**
 * The newest `maxLines` lines of the seconds from `from` to `to`, oldest first. Both boundary seconds belong to the
 * window, so a reader that continues where it stopped meets the lines of that second again. No file, no lines.
 */
export async function readNewestLines(path: string, window: TimeWindow, maxLines: number): Promise<string[]> {
  const handle = await openIfThere(path);
  if (!handle) return [];
  const newestFirst: string[] = [];
  try {
    for await (const { at, text } of linesFromEnd(handle)) {
      if (toSecond(at) < toSecond(window.from) || newestFirst.length === maxLines) break;
      if (isInWindow(at, window)) newestFirst.push(text);
    }
  } finally {
    await handle.close();
  }
  return newestFirst.reverse();
}

/**
 * One page of the lines in `window` that contain `keyword`, oldest first, and how many there are in all. The lines of several logs
 * come in the order of their times.
 */
export async function readLogPage(
  logs: string | readonly string[],
  window: TimeWindow,
  page: { number: number; size: number; keyword: string },
): Promise<{ lines: string[]; total: number }> {
  const paths = typeof logs === 'string' ? [logs] : logs;
  const found: { at: number; text: string }[] = [];
  const first = (page.number - 1) * page.size;
  let total = 0;
  for (const path of paths) {
    const handle = await openIfThere(path);
    if (!handle) continue;
    await handle.close();
    for await (const line of createInterface({ input: createReadStream(path, 'utf8'), crlfDelay: Infinity })) {
      const { at, text } = parseLine(line);
      if (!isInWindow(at, window) || !text.includes(page.keyword)) continue;
      total++;
      // One log is in order already, and only its page is kept.
      if (paths.length > 1 || (total > first && found.length < page.size)) found.push({ at, text });
    }
  }
  if (paths.length > 1) found.sort((a, b) => a.at - b.at).splice(0, first);
  return { lines: found.slice(0, page.size).map(({ text }) => text), total };
}

/** The names of the logs in the folder of `path`, without `.log`. */
export async function listLogs(path: string): Promise<string[]> {
  const names = await readdir(dirname(path)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  return names
    .filter((name) => name.endsWith('.log'))
    .map((name) => name.slice(0, -'.log'.length))
    .sort();
}

function parseLine(line: string): { at: number; text: string } {
  const space = line.indexOf(' ');
  return { at: Number(line.slice(0, space)), text: line.slice(space + 1) };
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  return open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
}

/** Lines from the last to the first. Blocks are cut at line ends as bytes: a character may lie across two blocks. */
async function* linesFromEnd(handle: FileHandle): AsyncGenerator<{ at: number; text: string }> {
  let end = (await handle.stat()).size;
  let head: Buffer = Buffer.alloc(0); // the start of the block after this one, up to its first line end
  while (end > 0) {
    const start = Math.max(0, end - BLOCK_BYTES);
    const block = Buffer.alloc(end - start);
    const { bytesRead } = await handle.read(block, 0, block.length, start);
    let bytes: Buffer = Buffer.concat([block.subarray(0, bytesRead), head]);
    for (let at = previousLineEnd(bytes); at >= 0; at = previousLineEnd(bytes)) {
      yield parseLine(withoutEnd(bytes.subarray(at + 1)));
      bytes = bytes.subarray(0, at + 1);
    }
    head = bytes;
    end = start;
  }
  if (head.length > 0) yield parseLine(withoutEnd(head));
}

function withoutEnd(bytes: Buffer): string {
  return (bytes.at(-1) === LF ? bytes.subarray(0, -1) : bytes).toString('utf8');
}

/** Where the line before the last one ends; the last byte is the end of the last line itself. */
function previousLineEnd(bytes: Buffer): number {
  return bytes.length < 2 ? -1 : bytes.lastIndexOf(LF, bytes.length - 2);
}
