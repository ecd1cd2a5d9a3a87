import { expect, it } from 'vitest';
import { createAdmission } from './admission.ts';

const never = new AbortController().signal;

function queue(capacities: Record<string, number>) {
  const admission = createAdmission(capacities);
  const admitted: string[] = [];
  const enter = (jobId: string, demand: Record<string, number>, priority = 1, signal = never) =>
    admission.enter(jobId, demand, priority, signal).then(() => void admitted.push(jobId));
  return { admission, admitted, enter, settled: () => new Promise((resolve) => setImmediate(resolve)) };
}

it('admits by priority, then by arrival, and lets nobody overtake', async () => {
  const { admission, admitted, enter, settled } = queue({ gpus: 8 });
  void enter('first', { gpus: 6 });
  void enter('large', { gpus: 8 });
  void enter('small', { gpus: 2 }); // would fit, but `large` was there before
  void enter('urgent', { gpus: 8 }, 9);
  void enter('elsewhere', { machines: 100 });
  await settled();
  expect(admitted).toEqual(['first', 'elsewhere']);
  expect(admission.inUse('gpus')).toBe(6);
  for (const [left, next] of [
    ['first', 'urgent'],
    ['urgent', 'large'],
    ['large', 'small'],
  ] as const) {
    admission.leave(left);
    await settled();
    expect(admitted.at(-1)).toBe(next);
  }
});

it('keeps what can never fit, in nobody’s way, and lets the queue move when there is more', async () => {
  const { admission, admitted, enter, settled } = queue({ gpus: 8 });
  void enter('giant', { gpus: 9 });
  void enter('small', { gpus: 1 });
  await settled();
  expect(admitted).toEqual(['small']);
  admission.setCapacity('gpus', 10);
  await settled();
  expect(admitted).toEqual(['small', 'giant']);
});

it('forgets who gives up, and who is in the way no more', async () => {
  const { admitted, enter, settled } = queue({ gpus: 8 });
  const controller = new AbortController();
  void enter('first', { gpus: 4 });
  const large = enter('large', { gpus: 8 }, 1, controller.signal);
  void enter('small', { gpus: 4 });
  controller.abort('stopped');
  await expect(large).rejects.toBe('stopped');
  await settled();
  expect(admitted).toEqual(['first', 'small']);
});
