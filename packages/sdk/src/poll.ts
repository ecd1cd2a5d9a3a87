import { CptError, WaitTimeoutError } from '@pai-cpt/core';

/** The clock a wait runs on; tests give one that takes no time. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Resolves after `ms`; rejects with the signal's reason as soon as it is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** The real clock. */
export const systemClock: Clock = { now: Date.now, sleep: abortableSleep };

/** How to wait. */
export interface PollOptions {
  /** What is waited for, for the message of the timeout. */
  readonly what: string;
  readonly pollMs: number;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  readonly clock?: Clock | undefined;
}

/**
 * Reads until `isDone`, and gives the value that was. An error that is retryable by its code does not end the wait: a
 * training job outlives many short outages of the API.
 * @throws WaitTimeoutError `CPT_WAIT_TIMEOUT` at the deadline, with the last value in `details.last` and the last error as
 * the cause.
 */
export async function pollUntil<T>(
  read: () => Promise<T>,
  isDone: (value: T) => boolean,
  { what, pollMs, timeoutMs, signal, clock = systemClock }: PollOptions,
): Promise<T> {
  const deadline = clock.now() + timeoutMs;
  let last: T | undefined;
  let lastError: unknown;
  for (;;) {
    signal?.throwIfAborted();
    try {
      last = await read();
      lastError = undefined;
      if (isDone(last)) return last;
    } catch (error) {
      if (!CptError.isInstance(error) || !error.isRetryable) throw error;
      lastError = error;
    }
    if (clock.now() + pollMs > deadline) {
      const options = lastError === undefined ? {} : { cause: lastError };
      throw new WaitTimeoutError('CPT_WAIT_TIMEOUT', `${what} did not come within ${timeoutMs} ms`, { last }, options);
    }
    await clock.sleep(pollMs, signal);
  }
}

function abortableSleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    signal?.addEventListener('abort', stop, { once: true });
  });
}
