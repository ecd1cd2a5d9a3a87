import { inFlight } from './in-flight.ts';
import { type JournalRecord, openIntent, type SubmitJournal } from './journal.ts';

/** A journal that ends with its process: submissions under one key still become one job, but a crash forgets them. */
export function memoryJournal(): SubmitJournal {
  const intents = new Map<string, JournalRecord[]>();
  const queue = createQueue();
  return {
    async claim(intentId, { signal, isPatient = true } = {}) {
      const release = await queue.enter(intentId, isPatient, signal);
      const records = intents.get(intentId) ?? [];
      intents.set(intentId, records);
      return {
        records: [...records],
        async append(record) {
          records.push(structuredClone(record));
        },
        async release() {
          release();
        },
      };
    },
    async open() {
      return [...intents.values()].map(openIntent).filter((found) => found !== undefined);
    },
  };
}

/** One caller at a time for each name, in the order of arrival. */
export interface Queue {
  enter(name: string, isPatient: boolean, signal?: AbortSignal): Promise<() => void>;
}

export function createQueue(): Queue {
  const last = new Map<string, Promise<void>>();
  return {
    async enter(name, isPatient, signal) {
      const before = last.get(name);
      if (before && !isPatient) throw inFlight(name, 'this process');
      let leave = (): void => {};
      const left = new Promise<void>((resolve) => {
        leave = resolve;
      });
      // Whoever comes next waits also for those before: giving up must not let him overtake the holder.
      const mine = (before ?? Promise.resolve()).then(() => left);
      last.set(name, mine);
      void mine.then(() => {
        if (last.get(name) === mine) last.delete(name);
      });
      try {
        await untilAborted(before, signal);
      } catch (error) {
        leave();
        throw error;
      }
      return leave;
    },
  };
}

async function untilAborted(promise: Promise<void> | undefined, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  if (!promise) return;
  if (!signal) return promise;
  let stop = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
  });
  await Promise.race([promise, aborted]).finally(() => signal.removeEventListener('abort', stop));
}
