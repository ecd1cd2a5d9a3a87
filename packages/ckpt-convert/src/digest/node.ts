import { Worker } from 'node:worker_threads';
import { type DigestKind, type Digests, digestsHere } from './digests.ts';
import type { DigestReply, DigestRequest } from './messages.ts';

/** Below this many bytes in all a thread takes longer to start than it saves. */
const THREAD_FROM_BYTES = 64 * 1024 * 1024;
/** Tiles that one thread may be ahead of the other. */
const TILES = 4;

/** Digests of `totalBytes` bytes, in a thread of their own where that pays: sha256 costs more time than reading and writing. */
export function openDigests(kind: DigestKind, totalBytes: number, tileBytes: number): Digests {
  const isHere = kind === 'none' || totalBytes < THREAD_FROM_BYTES;
  return isHere ? digestsHere(kind) : digestsInThread(tileBytes);
}

/** Digests in a second thread, which reads the tiles from memory that both share while this one makes the next. */
export function digestsInThread(tileBytes: number): Digests {
  const memory = new SharedArrayBuffer(TILES * tileBytes);
  const worker = new Worker(threadFile(), {
    workerData: memory,
    resourceLimits: { maxYoungGenerationSizeMb: 2 }, // it makes next to no objects
  });
  let handedOver = 0;
  let free = 0; // tiles that came back
  let failure: unknown;
  const ended: ((sha256: string) => void)[] = [];
  let wake = () => {};
  let fail: (error: unknown) => void = () => {};
  const lost = new Promise<never>((_, reject) => {
    fail = (error) => {
      failure ??= error;
      reject(failure);
      wake();
    };
  });
  lost.catch(() => {}); // it is told where it is waited for
  worker.on('message', ({ sha256 }: DigestReply) => {
    if (sha256 === undefined) free++;
    else ended.shift()?.(sha256);
    wake();
  });
  worker.on('error', fail);
  worker.on('exit', () => fail(new Error('the digest thread ended without a word')));

  const tile = async (byteLength: number) => {
    while (handedOver - free >= TILES && failure === undefined) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    if (failure !== undefined) throw failure;
    return new Uint8Array(memory, (handedOver % TILES) * tileBytes, byteLength);
  };
  const post = (request: DigestRequest) => worker.postMessage(request);
  return {
    tile,
    async update(file, bytes) {
      if (bytes.buffer === memory) {
        handedOver++;
        post({ file, from: bytes.byteOffset, length: bytes.byteLength });
        return;
      }
      for (let done = 0; done < bytes.byteLength; ) {
        const part = bytes.subarray(done, done + tileBytes);
        const room = await tile(part.byteLength);
        room.set(part);
        handedOver++;
        post({ file, from: room.byteOffset, length: part.byteLength });
        done += part.byteLength;
      }
    },
    async finish(file) {
      const sha256 = new Promise<string>((resolve) => ended.push(resolve));
      post({ file });
      return Promise.race([sha256, lost]);
    },
    async close() {
      await worker.terminate();
    },
  };
}

/** From the built package the built file, from its source the source. */
function threadFile(): URL {
  return new URL(`./worker/main.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url);
}
