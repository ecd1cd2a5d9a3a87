import { Worker } from 'node:worker_threads';
import type { ExecuteOptions, WrittenFile } from '../execute.ts';
import { fromThreadError, type ThreadReply, type ThreadRequest, type ThreadSetup } from './messages.ts';

/** A file of the output. */
interface PlannedFile {
  readonly name: string;
  readonly byteLength: number;
}

/**
 * Writes the files of a plan in up to `count` threads, each of which opens the source and plans by itself. The files are
 * those that one thread writes; `onFile` is called in the order in which they are finished.
 * @throws what `executePlan` throws, as CptError; `signal.reason` at once, with the threads gone.
 */
export async function executeInThreads(
  files: readonly PlannedFile[],
  setup: ThreadSetup,
  count: number,
  options: ExecuteOptions,
): Promise<WrittenFile[]> {
  const { finished, signal } = options;
  signal?.throwIfAborted();
  const written = new Map(finished);
  const work = files.filter(({ name }) => !written.has(name));
  const sum = (some: readonly PlannedFile[]) => some.reduce((total, { byteLength }) => total + byteLength, 0);
  const totalBytes = sum(files);
  let finishedBytes = totalBytes - sum(work);
  const partBytes = new Map<string, number>();
  const tell = (file: string) => {
    const doneBytes = [...partBytes.values()].reduce((total, bytes) => total + bytes, finishedBytes);
    options.onProgress?.({ doneBytes, totalBytes, file });
  };

  const threads = Array.from({ length: Math.min(count, work.length) }, () => startThread(setup));
  const queue = work.values();
  let isStopped = false;
  const runs = threads.map(async (thread) => {
    for (const { name, byteLength } of queue) {
      const file = await thread.write(name, (doneBytes) => {
        partBytes.set(name, doneBytes);
        tell(name);
      });
      if (isStopped) return;
      partBytes.delete(name);
      finishedBytes += byteLength;
      tell(name);
      await options.onFile?.(file);
      written.set(name, file);
    }
  });
  let onAbort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
  try {
    await Promise.race([Promise.all(runs), aborted]);
  } finally {
    isStopped = true;
    signal?.removeEventListener('abort', onAbort);
    await Promise.all(threads.map((thread) => thread.close()));
    await Promise.allSettled(runs);
  }
  return files.map(({ name }) => written.get(name) as WrittenFile);
}

interface FileThread {
  write(name: string, onProgress: (doneBytes: number) => void): Promise<WrittenFile>;
  close(): Promise<void>;
}

function startThread(setup: ThreadSetup): FileThread {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const worker = new Worker(new URL(`./worker/main.${extension}`, import.meta.url), {
    workerData: setup,
    resourceLimits: { maxYoungGenerationSizeMb: 12 }, // left alone, an engine keeps 48 MB of room for short-lived objects
  });
  let settle: { onReply(reply: ThreadReply): void; reject(error: unknown): void } | undefined;
  let lost: unknown;
  worker.on('message', (reply: ThreadReply) => settle?.onReply(reply));
  const fail = (error: unknown) => {
    lost ??= error;
    settle?.reject(lost);
  };
  worker.on('error', fail);
  worker.on('exit', () => fail(new Error('a thread of the conversion ended without a word')));
  return {
    write(name, onProgress) {
      return new Promise((resolve, reject) => {
        if (lost !== undefined) return reject(lost);
        const onReply = ({ doneBytes, file, error }: ThreadReply) => {
          if (file) resolve(file);
          else if (error) reject(fromThreadError(error));
          else onProgress(doneBytes ?? 0);
        };
        settle = { onReply, reject };
        worker.postMessage({ name } satisfies ThreadRequest);
      });
    },
    async close() {
      await worker.terminate();
    },
  };
}
