import { describe, expect, it, vi } from 'vitest';
import { createVirtualClock, isVirtual, systemClock, toIsoSeconds } from './clock.ts';

it('sleeps, and wakes with the reason of a signal', async () => {
  const started = systemClock.now();
  await systemClock.sleep(20);
  expect(systemClock.now() - started).toBeGreaterThanOrEqual(19);
  const controller = new AbortController();
  const sleep = systemClock.sleep(60_000, controller.signal);
  controller.abort('enough');
  await expect(sleep).rejects.toBe('enough');
  await expect(systemClock.sleep(1, controller.signal)).rejects.toBe('enough');
});

it('sleeps longer than one timer can', async () => {
  vi.useFakeTimers();
  try {
    const thirtyDays = 30 * 24 * 3600_000;
    let isOver = false;
    const sleep = systemClock.sleep(thirtyDays).then(() => {
      isOver = true;
    });
    await vi.advanceTimersByTimeAsync(thirtyDays - 1000);
    expect(isOver).toBe(false);
    await vi.advanceTimersByTimeAsync(1000);
    await sleep;
  } finally {
    vi.useRealTimers();
  }
});

it('prints whole seconds in UTC', () => {
  expect(toIsoSeconds(Date.UTC(2026, 0, 2, 3, 4, 5, 999))).toBe('2026-01-02T03:04:05Z');
});

describe('a virtual clock', () => {
  it('stands still, and wakes sleepers in their order when it advances', async () => {
    const clock = createVirtualClock(1000);
    const told: string[] = [];
    const tell = (name: string) => () => void told.push(`${name} ${clock.now()}`);
    void clock.sleep(30).then(tell('c'));
    void clock
      .sleep(10)
      .then(tell('a'))
      .then(() => clock.sleep(10))
      .then(tell('b'));
    await clock.advance(29);
    expect(told).toEqual(['a 1010', 'b 1020']);
    expect(clock.now()).toBe(1029);
    await clock.advance(1);
    expect(told).toEqual(['a 1010', 'b 1020', 'c 1030']);
    expect([isVirtual(clock), isVirtual(systemClock)]).toEqual([true, false]);
  });

  it('lets one advance follow the other, and a sleep be broken off', async () => {
    const clock = createVirtualClock(0);
    const controller = new AbortController();
    const sleep = clock.sleep(5, controller.signal);
    controller.abort('enough');
    await expect(sleep).rejects.toBe('enough');
    await Promise.all([clock.advance(7), clock.advance(8)]);
    expect(clock.now()).toBe(15);
    await clock.sleep(0);
  });
});
