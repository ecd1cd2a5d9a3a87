import { createHash } from 'node:crypto';
import { readSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import { InvalidInputError } from '@pai-cpt/core';
import type { BinFile } from '../output/bin-file.ts';
import { createMemorySender } from '../shared-memory.ts';
import { toError } from '../thread-messages.ts';
import type { BuildFiles } from './build-files.ts';
import type { FilesMethod, FilesReply, FilesRequest } from './messages.ts';

/** The digest of a file that goes on behind its readers. */
export interface RunningDigest {
  /** What lies before byte `to` may be read. */
  advance(to: number): void;
  /** The sha256 up to byte `to`. */
  digest(to: number): Promise<string>;
  close(): Promise<void>;
}

const PIECE_BYTES = 1 << 18;

/** Reads in the foreground. An error is told by `digest`. */
export async function followFile(path: string, from: number): Promise<RunningDigest> {
  const handle = await open(path, 'r').catch((cause: NodeJS.ErrnoException) => {
    const why = cause.code === 'ENOENT' ? 'does not exist' : cause.message;
    throw new InvalidInputError('CPT_INPUT_FILE_MISSING', `${path}: ${why}; check the path`, { file: path }, { cause });
  });
  const hash = createHash('sha256');
  const buffer = new Uint8Array(PIECE_BYTES);
  let position = from;
  const readTo = (to: number) => {
    while (position < to) {
      const count = readSync(handle.fd, buffer, 0, Math.min(buffer.length, to - position), position);
      if (count === 0) throw fileChanged(path);
      hash.update(buffer.subarray(0, count));
      position += count;
    }
  };
  return {
    advance(to) {
      try {
        readTo(to);
      } catch {
        // `digest` meets the same again.
      }
    },
    async digest(to) {
      readTo(to);
      return hash.copy().digest('hex');
    },
    close: () => handle.close(),
  };
}

/** An input that is shorter than it was when the build began. */
export function fileChanged(path: string): InvalidInputError {
  const why = 'became shorter since the build began; run it again';
  return new InvalidInputError('CPT_INPUT_INVALID', `${path}: ${why}`, { file: path });
}

/** Files in a thread of their own. `execArgv` are options of Node for it, those of this process when absent. */
export function startFilesThread(execArgv?: string[]): BuildFiles {
  const url = new URL(`./main.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url);
  const worker = new Worker(url, { resourceLimits: { maxYoungGenerationSizeMb: 4 }, ...(execArgv && { execArgv }) });
  const send = createMemorySender();
  const waiting = new Map<number, { resolve(value: unknown): void; reject(error: unknown): void }>();
  let lost: unknown;
  let calls = 0;
  let files = 0;
  const end = (error: unknown) => {
    lost ??= error;
    for (const { reject } of waiting.values()) reject(lost);
    waiting.clear();
  };
  worker.on('message', ({ call, value, error }: FilesReply) => {
    const { resolve, reject } = waiting.get(call) ?? {};
    waiting.delete(call);
    if (error) reject?.(toError(error));
    else resolve?.(value);
  });
  worker.on('error', end);
  worker.on('exit', () => end(new Error('the thread that writes ended without a word')));

  function call(file: number, method: FilesMethod, transfer: ArrayBuffer[] = []): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (lost !== undefined) return reject(lost);
      waiting.set(++calls, { resolve, reject });
      worker.postMessage({ call: calls, file, method } satisfies FilesRequest, transfer);
    });
  }
  function append(file: number, bytes: Uint8Array): Promise<unknown> {
    const { buffer, byteOffset, byteLength } = bytes;
    if (buffer instanceof SharedArrayBuffer) {
      return call(file, { name: 'appendShared', memory: send(buffer), from: byteOffset, byteLength });
    }
    const own = bytes.slice();
    return call(file, { name: 'append', bytes: own }, [own.buffer as ArrayBuffer]);
  }
  const closeFile = async (file: number) => {
    if (lost === undefined) await call(file, { name: 'close' }); // else its files went with the thread
  };
  return {
    async openBin(options): Promise<BinFile> {
      const file = files++;
      await call(file, { name: 'openBin', options });
      return {
        append: async (bytes) => void (await append(file, bytes)),
        digest: async () => (await call(file, { name: 'digest' })) as string,
        sync: async () => void (await call(file, { name: 'sync' })),
        close: () => closeFile(file),
      };
    },
    async follow(path, from) {
      const file = files++;
      await call(file, { name: 'follow', path, from });
      return {
        advance: (to) => worker.postMessage({ file, method: { name: 'advance', to } } satisfies FilesRequest),
        digest: async (to) => (await call(file, { name: 'digest', to })) as string,
        close: () => closeFile(file),
      };
    },
    async close() {
      await worker.terminate();
    },
  };
}
