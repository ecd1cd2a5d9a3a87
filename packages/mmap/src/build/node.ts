import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readFile, statfs } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { dirname, resolve } from 'node:path';
import { Worker } from 'node:worker_threads';
import { FormatError, InvalidInputError, UnsupportedError } from '@pai-cpt/core';
import { type Batch, countLines } from '../documents/batch.ts';
import type { AddedTokenPolicy } from '../tokenizer/byte-level-bpe.ts';
import type { EncoderThread, ThreadEvents } from './pool.ts';
import type { EngineSource } from './text-engine.ts';
import type { LoaderReply, ThreadReply, ThreadSetup } from './thread-messages.ts';
import type { TokenizerFacts } from './tokenizer-facts.ts';

/** Cores this process may use. */
export function coreCount(): number {
  return availableParallelism();
}

/**
 * The bytes of a tokenizer.json.
 * @throws InvalidInputError `CPT_INPUT_INVALID` when it is not the file with this sha256 any more.
 */
export async function readTokenizerJson(file: string, fingerprint: string): Promise<Uint8Array> {
  const bytes = await readFile(file);
  if (createHash('sha256').update(bytes).digest('hex') === fingerprint) return bytes;
  throw new InvalidInputError('CPT_INPUT_INVALID', `${file}: changed since the build began; run it again`, { file });
}

/** What a build needs of its tokenizer. */
export interface LoadedTokenizer {
  facts: TokenizerFacts;
  engine: EngineSource;
}

/**
 * Loads a tokenizer in a thread that ends with it: reading a large tokenizer.json leaves 200 MB of garbage behind, which a thread
 * that then only cuts and writes would never collect.
 */
export async function loadInThread(
  path: string,
  specials: AddedTokenPolicy,
  execArgv?: string[],
): Promise<LoadedTokenizer> {
  const worker = new Worker(threadFile('loader'), { workerData: { path, specials }, ...(execArgv && { execArgv }) });
  try {
    return await new Promise((resolve, reject) => {
      worker.once('message', ({ loaded, error }: LoaderReply) => (loaded ? resolve(loaded) : reject(toError(error))));
      worker.once('error', reject);
      worker.once('exit', () => reject(new Error(`${path}: the thread that loads it ended without a word`)));
    });
  } finally {
    await worker.terminate();
  }
}

/** From the built package a thread runs the built file, from its source the source, for which Node needs to be told how to load it. */
function threadFile(name: 'worker' | 'loader'): URL {
  return new URL(`./${name}/main.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url);
}

/** Starts one encoder thread. `execArgv` are options of Node for it, those of this process when absent. */
export function startThread(setup: ThreadSetup, events: ThreadEvents, execArgv?: string[]): EncoderThread {
  const worker = new Worker(threadFile('worker'), { workerData: setup, ...(execArgv && { execArgv }) });
  let lost: unknown = new Error('it ended without a word');
  worker.on('message', ({ job, result, error }: ThreadReply) => {
    if (result) events.done(job, result);
    else events.failed(job, toError(error));
  });
  worker.on('error', (error) => {
    lost = error;
  });
  worker.on('exit', () => events.lost(lost));
  return {
    post: (job, batch, room) => worker.postMessage({ job, batch: compact(batch), room }),
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

function toError(error: ThreadReply['error']): Error {
  if (!error) return new Error('a thread sent neither a result nor an error');
  if (!error.code) return new Error(error.message);
  const classes: [string, typeof FormatError][] = [
    ['CPT_FORMAT_', FormatError],
    ['CPT_UNSUPPORTED_', UnsupportedError],
  ];
  const [, Class] = classes.find(([prefix]) => error.code?.startsWith(prefix)) ?? ['', InvalidInputError];
  return new Class(error.code, error.message, error.details);
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
