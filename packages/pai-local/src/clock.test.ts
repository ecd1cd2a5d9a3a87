import { expect, it, vi } from 'vitest';
import { systemClock, toIsoSeconds } from './clock.ts';

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
