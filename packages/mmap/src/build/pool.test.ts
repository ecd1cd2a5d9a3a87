import { expect, test } from 'vitest';
import { linesBatch } from '../../test/encoding.ts';
import type { EncodedWork, Work } from './encode-work.ts';
import { BatchLost, createLocalPool, createThreadPool, type ThreadEvents } from './pool.ts';

interface Posted {
  job: number;
  name: string;
  room: SharedArrayBuffer;
}

/** Threads that do nothing by themselves. */
function fakeThreads() {
  const threads: { events: ThreadEvents; posted: Posted[]; isClosed: boolean }[] = [];
  const start = (events: ThreadEvents) => {
    const thread = { events, posted: [] as Posted[], isClosed: false };
    threads.push(thread);
    return {
      post: (job: number, work: Work, room: SharedArrayBuffer) => {
        const name = work.kind === 'batch' ? Buffer.from(work.bytes).toString() : '';
        thread.posted.push({ job, name, room });
      },
      close: async () => {
        thread.isClosed = true;
      },
    };
  };
  const at = (i: number) => threads[i] as (typeof threads)[number];
  const finish = (i: number, n: number) => {
    const { job, name, room } = at(i).posted[n] as Posted;
    at(i).events.done(job, { lines: Number(name), ids: new Int32Array(room, 0, 1) } as unknown as EncodedWork);
  };
  return { threads, start, at, finish };
}
const batch = (name: number) => linesBatch(String(name));

test('batches go to the thread with the least to do, three to each', async () => {
  const { start, at, finish } = fakeThreads();
  const pool = createThreadPool(2, start);
  expect(pool.capacity).toBe(6);
  const results = [1, 2, 3, 4].map((name) => pool.encode(batch(name)));
  expect([at(0).posted, at(1).posted].map((posted) => posted.map(({ name }) => name))).toEqual([
    ['1', '3'],
    ['2', '4'],
  ]);
  finish(1, 0);
  const fifth = pool.encode(batch(5));
  expect(at(1).posted).toHaveLength(3);
  finish(0, 0);
  finish(0, 1);
  finish(1, 1);
  finish(1, 2);
  expect((await Promise.all([...results, fifth])).map(({ lines }) => lines)).toEqual([1, 2, 3, 4, 5]);
  await pool.close();
  expect([at(0).isClosed, at(1).isClosed]).toEqual([true, true]);
});

test('§7 worker crash: what it had is tried once more, then the batch at hand is an error and the rest goes on', async () => {
  const { threads, start, at, finish } = fakeThreads();
  const pool = createThreadPool(1, start);
  const [first, second] = [pool.encode(batch(1)), pool.encode(batch(2))];
  const refused = expect(first).rejects.toThrow(BatchLost);
  at(0).events.lost(new Error('out of memory'));
  expect(threads).toHaveLength(2);
  expect(at(1).posted.map(({ name }) => name)).toEqual(['1', '2']);
  at(1).events.lost(new Error('out of memory'));
  await refused;
  await expect(first).rejects.toThrow('out of memory');
  expect(at(2).posted.map(({ name }) => name)).toEqual(['2']);
  finish(2, 0);
  expect((await second).lines).toBe(2);
});

test('a thread that dies without work is replaced when there is some', async () => {
  const { threads, start, at, finish } = fakeThreads();
  const pool = createThreadPool(1, start);
  at(0).events.lost(new Error('gone'));
  expect(threads).toHaveLength(1);
  const result = pool.encode(batch(1));
  finish(1, 0);
  expect((await result).lines).toBe(1);
  at(0).events.lost(new Error('again'));
  expect(threads).toHaveLength(2);
});

test('an error of a thread is that of its batch; after closing, the end of threads is expected', async () => {
  const { threads, start, at } = fakeThreads();
  const pool = createThreadPool(1, start);
  const result = pool.encode(batch(1));
  at(0).events.failed(at(0).posted[0]?.job as number, new Error('no tokenizer'));
  await expect(result).rejects.toThrow('no tokenizer');
  await pool.close();
  at(0).events.lost(new Error('terminated'));
  expect(threads).toHaveLength(1);
});

test('memory for results is used again once it is given back, and by the second try of a batch', async () => {
  const { start, at, finish } = fakeThreads();
  const pool = createThreadPool(1, start);
  const first = pool.encode(batch(1));
  const second = pool.encode(batch(2));
  const [one, two] = at(0).posted.map(({ room }) => room);
  expect(one).not.toBe(two);
  finish(0, 0);
  pool.release(await first);
  const third = pool.encode(batch(3));
  expect(at(0).posted[2]?.room).toBe(one);
  at(0).events.lost(new Error('gone'));
  expect(at(1).posted.map(({ room }) => room)).toEqual([two, one]);
  finish(1, 0);
  finish(1, 1);
  await Promise.all([second, third]);
});

test('memory that a result did not fit in is used again at once', async () => {
  const { start, at } = fakeThreads();
  const pool = createThreadPool(1, start);
  const first = pool.encode(batch(1));
  const [posted] = at(0).posted;
  at(0).events.done(posted?.job as number, { lines: 1, ids: new Int32Array(3) } as unknown as EncodedWork);
  pool.release(await first);
  pool.encode(batch(2)).catch(() => undefined);
  expect(at(0).posted[1]?.room).toBe(posted?.room);
  await pool.close();
});

test('a pool without threads encodes on the spot', async () => {
  let isClosed = false;
  const pool = createLocalPool({
    encode: async (work) => ({ lines: work.kind === 'batch' ? work.bytes.length : 0 }) as EncodedWork,
    close: () => {
      isClosed = true;
    },
  });
  expect(pool.capacity).toBe(1);
  expect((await pool.encode(batch(12))).lines).toBe(2);
  await pool.close();
  expect(isClosed).toBe(true);
});
