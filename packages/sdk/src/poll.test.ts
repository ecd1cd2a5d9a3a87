import { CptError, PaiError } from '@pai-cpt/core';
import { describe, expect, it, vi } from 'vitest';
import { manualClock, paiError } from '../test/scripted-pai.ts';
import { pollUntil, systemClock } from './poll.ts';

const options = { what: 'the end', pollMs: 10, timeoutMs: 35 };

/** Reads these values in turn; an error is thrown. */
function reader<T>(values: (T | Error)[]) {
  let index = 0;
  return async (): Promise<T> => {
    const value = values[Math.min(index++, values.length - 1)] as T | Error;
    if (value instanceof Error) throw value;
    return value;
  };
}

describe('pollUntil', () => {
  it('gives the value that was waited for', async () => {
    const clock = manualClock();
    expect(await pollUntil(reader([1, 2, 3]), (value) => value === 3, { ...options, clock })).toBe(3);
    expect(clock.sleeps).toEqual([10, 10]);
  });

  it('ends at the deadline with the last value', async () => {
    const clock = manualClock();
    const error = await pollUntil(reader([1, 2]), () => false, { ...options, clock }).catch((thrown) => thrown);
    expect(error).toMatchObject({ code: 'CPT_WAIT_TIMEOUT', details: { last: 2 } });
    expect(error.message).toBe('the end did not come within 35 ms');
    expect(clock.sleeps).toEqual([10, 10, 10]);
  });

  it('outlasts an outage, and tells it when it lasts to the deadline', async () => {
    const outage = paiError('CPT_PAI_UNAVAILABLE');
    const clock = manualClock();
    expect(await pollUntil(reader([outage, outage, 7]), (value) => value === 7, { ...options, clock })).toBe(7);
    const error = await pollUntil(reader<number>([1, outage]), () => false, { ...options, clock }).catch(
      (thrown) => thrown,
    );
    expect(CptError.isInstance(error) && error.cause).toBe(outage);
    expect(error.details).toEqual({ last: 1 });
  });

  it('does not outlast an error that waiting cannot mend', async () => {
    const gone = new PaiError('CPT_PAI_NOT_FOUND', 'gone');
    await expect(pollUntil(reader([gone]), () => true, { ...options, clock: manualClock() })).rejects.toBe(gone);
  });

  it('ends with the reason of an abort', async () => {
    const controller = new AbortController();
    const wait = pollUntil(reader([1]), () => false, {
      ...options,
      pollMs: 20_000,
      timeoutMs: 60_000,
      signal: controller.signal,
    });
    const reason = new Error('enough');
    setTimeout(() => controller.abort(reason), 5);
    await expect(wait).rejects.toBe(reason);
  });
});

it('the real sleep leaves no listener behind', async () => {
  const { signal } = new AbortController();
  const add = vi.spyOn(signal, 'addEventListener');
  const remove = vi.spyOn(signal, 'removeEventListener');
  await systemClock.sleep(1, signal);
  expect([add.mock.calls.length, remove.mock.calls.length]).toEqual([1, 1]);
});
