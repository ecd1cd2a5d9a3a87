import type { EncodedWork, Work, WorkEncoder } from './encode-work.ts';
import { RANGE_BYTES } from './range/line-range.ts';

/** Encodes batches, several at once. Ask for the next when fewer than `capacity` are under way. */
export interface EncoderPool {
  /** Batches that keep all threads busy. */
  readonly capacity: number;
  encode(work: Work): Promise<EncodedWork>;
  /** Gives back the memory of a result that nobody looks at any more. */
  release(result: EncodedWork): void;
  close(): Promise<void>;
}

/** A pool without threads: for inputs that are read before a thread has started. */
export function createLocalPool({ encode, close }: WorkEncoder): EncoderPool {
  return {
    capacity: 1,
    encode: (work) => encode(work),
    release: () => undefined,
    close: async () => close(),
  };
}

/** One thread, as the pool sees it. */
export interface EncoderThread {
  /** `room` is memory for the ids of the result. */
  post(job: number, work: Work, room: SharedArrayBuffer): void;
  close(): Promise<void>;
}

/** What a thread reports. After `lost` it is gone. */
export interface ThreadEvents {
  done(job: number, result: EncodedWork): void;
  failed(job: number, error: unknown): void;
  lost(error: unknown): void;
}

/** A thread ended in the middle of a batch, twice in a row. */
export class BatchLost extends Error {
  override name = 'BatchLost';
}

interface Job {
  work: Work;
  room: SharedArrayBuffer;
  attempts: number;
  resolve(result: EncodedWork): void;
  reject(error: unknown): void;
}

/** Batches under way in each thread: one that is worked on, and those that wait while another thread has the first in order. */
const PER_THREAD = 3;
const MAX_ATTEMPTS = 2;
/** Ids of a range with nearly any last line: at most one a byte. Memory that is not written to costs nothing. */
const ROOM_BYTES = 4 * (RANGE_BYTES + 2 ** 22);

/**
 * A pool over threads that `start` makes. A batch is kept until its result is there: when its thread dies, a new thread tries it
 * once more, and a second death is the batch's error, `BatchLost`.
 */
export function createThreadPool(size: number, start: (events: ThreadEvents) => EncoderThread): EncoderPool {
  interface Slot {
    thread: EncoderThread | undefined;
    /** In the order they were posted: the first is the one being worked on. */
    jobs: number[];
  }
  const jobs = new Map<number, Job>();
  const slots: Slot[] = [];
  const rooms: SharedArrayBuffer[] = [];
  let nextJob = 0;
  let isClosed = false;

  function begin(slot: Slot): EncoderThread {
    const settle = (id: number): Job | undefined => {
      const job = jobs.get(id);
      jobs.delete(id);
      slot.jobs = slot.jobs.filter((other) => other !== id);
      return job;
    };
    const thread = start({
      done(id, result) {
        const job = settle(id);
        if (job && result.ids.buffer !== job.room) rooms.push(job.room); // too small: the result has memory of its own
        job?.resolve(result);
      },
      failed(id, error) {
        const job = settle(id);
        if (job) rooms.push(job.room);
        job?.reject(error);
      },
      lost: (error) => {
        if (isClosed || slot.thread !== thread) return;
        const [first] = slot.jobs;
        const worked = first === undefined ? undefined : jobs.get(first);
        if (first !== undefined && worked && ++worked.attempts >= MAX_ATTEMPTS) {
          const why = error instanceof Error ? error.message : String(error);
          settle(first)?.reject(new BatchLost(`a worker thread ended twice in this batch (${why})`, { cause: error }));
        }
        // A thread without work is not replaced before there is some: one that cannot start would be started for ever.
        slot.thread = undefined;
        if (slot.jobs.length === 0) return;
        slot.thread = begin(slot);
        for (const id of slot.jobs) {
          const job = jobs.get(id) as Job;
          slot.thread.post(id, job.work, job.room);
        }
      },
    });
    return thread;
  }

  for (let i = 0; i < size; i++) {
    const slot: Slot = { thread: undefined, jobs: [] };
    slot.thread = begin(slot);
    slots.push(slot);
  }
  return {
    capacity: size * PER_THREAD,
    encode(work) {
      return new Promise((resolve, reject) => {
        const id = nextJob++;
        const room = rooms.pop() ?? new SharedArrayBuffer(ROOM_BYTES);
        jobs.set(id, { work, room, attempts: 0, resolve, reject });
        const slot = slots.reduce((least, other) => (other.jobs.length < least.jobs.length ? other : least));
        slot.jobs.push(id);
        slot.thread ??= begin(slot);
        slot.thread.post(id, work, room);
      });
    },
    release({ ids }) {
      if (ids.buffer instanceof SharedArrayBuffer) rooms.push(ids.buffer);
    },
    async close() {
      isClosed = true;
      await Promise.all(slots.map((slot) => slot.thread?.close()));
    },
  };
}
