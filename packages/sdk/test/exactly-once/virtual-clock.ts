import type { Clock } from '../../src/poll.ts';

/** Time that passes only when nothing else is to be done. */
export interface VirtualClock extends Clock {
  /** No time passes until `work` is done: it takes real time, and none of this one. */
  busy<T>(work: Promise<T>): Promise<T>;
  /** The same time, as a machine sees it whose clock is wrong. */
  skewed(ms: number): Clock;
  /** Ends every sleep, also those that were never to end. */
  finish(): void;
}

/** A sleep of so long is one that nobody waits for. */
const FOR_EVER_MS = 1e11;

interface Sleeper {
  readonly due: number;
  readonly wake: () => void;
}

export function virtualClock(startMs = Date.parse('2026-11-24T00:00:00Z')): VirtualClock {
  let time = startMs;
  let working = 0;
  let isTicking = false;
  let isFinished = false;
  const sleepers = new Set<Sleeper>();
  const parked = new Set<Sleeper>();

  /** Wakes the next sleeper when all that can happen now has happened: a few rounds of the event loop without work. */
  function tick(idleRounds: number): void {
    if (sleepers.size === 0) {
      isTicking = false;
      return;
    }
    if (working > 0 || isReadingOrWriting()) setImmediate(tick, 0);
    else if (idleRounds < 3) setImmediate(tick, idleRounds + 1);
    else {
      const next = [...sleepers].reduce((first, other) => (other.due < first.due ? other : first));
      time = Math.max(time, next.due);
      next.wake();
      setImmediate(tick, 0);
    }
  }
  const sleep = (ms: number, signal?: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const home = ms >= FOR_EVER_MS && !isFinished ? parked : sleepers;
      const stop = () => {
        home.delete(sleeper);
        reject(signal?.reason);
      };
      const sleeper = {
        due: isFinished ? time : time + Math.max(0, ms),
        wake: () => {
          home.delete(sleeper);
          signal?.removeEventListener('abort', stop);
          resolve();
        },
      };
      signal?.addEventListener('abort', stop, { once: true });
      home.add(sleeper);
      if (isTicking || home === parked) return;
      isTicking = true;
      setImmediate(tick, 0);
    });
  return {
    now: () => time,
    sleep,
    async busy(work) {
      working++;
      try {
        return await work;
      } finally {
        working--;
      }
    },
    skewed: (ms) => ({ now: () => time + ms, sleep }),
    finish() {
      isFinished = true;
      for (const sleeper of [...parked]) sleeper.wake();
    },
  };
}

/** True while a file is read or written: what waits for it does not wait for time to pass. */
function isReadingOrWriting(): boolean {
  return process.getActiveResourcesInfo().some((resource) => /^(FSReq|CloseReq)/.test(resource));
}
