/** Time as the rest of the package sees it, so that a test can shift it or make it run faster. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Resolves after `ms`; rejects with `signal.reason` when the signal fires first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** The longest single timer: past 2^31 ms a Node timer fires at once, and a limit of 25 days would end a job immediately. */
const MAX_TIMER_MS = 2 ** 30;

/** The clock of the machine. */
export const systemClock: Clock = {
  now: () => Date.now(),
  async sleep(ms, signal) {
    for (let left = ms; left > 0; left -= MAX_TIMER_MS) await timer(Math.min(left, MAX_TIMER_MS), signal);
  },
};

function timer(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const stop = () => {
      clearTimeout(handle);
      reject(signal?.reason);
    };
    const handle = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    signal?.addEventListener('abort', stop, { once: true });
  });
}

/** A clock that stands still until it is told to advance. */
export interface VirtualClock extends Clock {
  /** Lets `ms` pass: every sleep that ends in them ends in its order, and what follows from it is done before the next. */
  advance(ms: number): Promise<void>;
}

/** A virtual clock that begins at `startAt`. */
export function createVirtualClock(startAt = Date.now()): VirtualClock {
  let present = startAt;
  let last = Promise.resolve();
  const sleepers: { readonly at: number; wake(): void }[] = [];

  async function pass(ms: number): Promise<void> {
    const end = present + ms;
    for (;;) {
      const [first, ...others] = sleepers;
      const next = others.reduce((a, b) => (b && a && b.at < a.at ? b : a), first);
      if (!next || next.at > end) break;
      sleepers.splice(sleepers.indexOf(next), 1);
      present = next.at;
      next.wake();
      await new Promise((resolve) => setImmediate(resolve)); // whoever woke up may sleep again, inside these `ms`
    }
    present = end;
  }
  return {
    now: () => present,
    sleep(ms, signal) {
      return new Promise((resolve, reject) => {
        signal?.throwIfAborted();
        if (!(ms > 0)) return resolve();
        const sleeper = { at: present + ms, wake };
        function wake(): void {
          signal?.removeEventListener('abort', stop);
          resolve();
        }
        function stop(): void {
          sleepers.splice(sleepers.indexOf(sleeper), 1);
          reject(signal?.reason);
        }
        sleepers.push(sleeper);
        signal?.addEventListener('abort', stop, { once: true });
      });
    },
    advance(ms) {
      last = last.then(() => pass(ms)); // two callers advance one after the other
      return last;
    },
  };
}

/** True for a clock that can be told to advance. */
export function isVirtual(clock: Clock): clock is VirtualClock {
  return 'advance' in clock;
}

/** A time as the APIs print it: ISO 8601, UTC, whole seconds, `Z`. */
export function toIsoSeconds(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
