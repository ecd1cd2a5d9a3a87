import { createReadStream } from 'node:fs';
import { open, statfs } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { dirname, resolve } from 'node:path';
import { Worker } from 'node:worker_threads';
import { type Batch, countLines } from '../documents/batch.ts';
import { idsIn } from './id-collector.ts';
import type { EncoderThread, ThreadEvents } from './pool.ts';
import { createMemorySender } from './shared-memory.ts';
import { type ThreadReply, type ThreadRequest, type ThreadSetup, toError } from './thread-messages.ts';

/** Cores this process may use. */
export function coreCount(): number {
  return availableParallelism();
}

/** Nothing of a batch lives long: a young generation of the usual size would only hold 30 MB of garbage for each thread. */
const SMALL_HEAP = { maxYoungGenerationSizeMb: 8 };

/** From the built package a thread runs the built file, from its source the source, for which Node needs to be told how to load it. */
function threadFile(): URL {
  return new URL(`./worker/main.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url);
}

/** Starts one encoder thread. `execArgv` are options of Node for it, those of this process when absent. */
export function startThread(setup: ThreadSetup, events: ThreadEvents, execArgv?: string[]): EncoderThread {
  const worker = new Worker(threadFile(), {
    workerData: setup,
    resourceLimits: SMALL_HEAP,
    ...(execArgv && { execArgv }),
  });
  const send = createMemorySender();
  const rooms = new Map<number, SharedArrayBuffer>();
  let lost: unknown = new Error('it ended without a word');
  worker.on('message', ({ job, result, idCount, ids, error }: ThreadReply) => {
    const room = rooms.get(job);
    rooms.delete(job);
    const found = ids ?? (room && idCount !== undefined && idsIn(room, setup.rules.dtype, idCount));
    if (result && found) events.done(job, { ...result, ids: found });
    else events.failed(job, toError(error));
  });
  worker.on('error', (error) => {
    lost = error;
  });
  worker.on('exit', () => events.lost(lost));
  return {
    post(job, work, room) {
      rooms.set(job, room);
      const sent = work.kind === 'batch' ? compact(work) : work;
      worker.postMessage({ job, work: sent, room: send(room) } satisfies ThreadRequest);
    },
    async close() {
      await worker.terminate();
    },
  };
}

/** Posting a view of memory that is not shared copies all of the buffer below it: a small one in a large buffer is copied out first. */
function compact(batch: Batch): Batch {
  const { bytes } = batch;
  const isGood = bytes.buffer instanceof SharedArrayBuffer || bytes.byteLength * 4 > bytes.buffer.byteLength * 3;
  return isGood ? batch : { ...batch, bytes: new Uint8Array(bytes) };
}

/** Bytes that new files in this folder may have; `undefined` where the system does not tell. */
export async function freeBytes(folder: string): Promise<number | undefined> {
  for (let existing = resolve(folder); ; existing = dirname(existing)) {
    const found = await statfs(existing).catch(() => undefined);
    if (found) return found.bavail * found.bsize;
    if (existing === dirname(existing)) return undefined;
  }
}

/** Where the first line begins at or behind byte `from` of a file; its end when none does. */
export async function firstLineFrom(path: string, from: number): Promise<number> {
  if (from <= 0) return 0;
  const handle = await open(path, 'r');
  try {
    const buffer = Buffer.allocUnsafe(1 << 16);
    for (let at = from - 1; ; ) {
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, at);
      if (bytesRead === 0) return at;
      const found = buffer.subarray(0, bytesRead).indexOf(0x0a);
      if (found >= 0) return at + found + 1;
      at += bytesRead;
    }
  } finally {
    await handle.close();
  }
}

/** Line breaks in the first `end` bytes of a file. */
export async function countLinesBefore(path: string, end: number): Promise<number> {
  if (end <= 0) return 0;
  let lines = 0;
  for await (const chunk of createReadStream(path, { end: end - 1, highWaterMark: 1 << 20 })) {
    lines += countLines(chunk as Buffer);
  }
  return lines;
}
