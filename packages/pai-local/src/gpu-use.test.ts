import { expect, it } from 'vitest';
import { gpuSeries } from './gpu-use.ts';
import type { PodLife, PodRecord } from './state.ts';

const MINUTE = 60_000;
const life = (from: number, to?: number): PodLife => ({
  ...{ podUid: `uid-${from}`, status: 'Running', createdAt: 0, startedAt: from * MINUTE },
  ...(to !== undefined && { finishedAt: to * MINUTE }),
});
const pod = (present: PodLife, earlier: PodLife[] = []): PodRecord => ({
  ...{ ...present, earlier, podId: 'dlc1-worker-0', type: 'Worker', image: 'i', events: [] },
});
const SPANS = [
  { fromMinute: 0, percent: [90, 80], memoryPercent: [70] },
  { fromMinute: 5, percent: [90, 2], memoryPercent: [] },
];
const series = (
  of: PodRecord,
  rank: number,
  from: number,
  to: number,
  more: { which?: 'memoryPercent'; step?: number } = {},
) =>
  gpuSeries(SPANS, more.which ?? 'percent', of, rank, {
    ...{ window: { from: from * MINUTE, to: to * MINUTE }, stepMs: (more.step ?? 1) * MINUTE, now: 20 * MINUTE },
  }).map(({ at, value }) => [at / MINUTE, value]);

it('changes at its minute of the pod, not of the hour', () => {
  // Started at 10.5, it changes at 15.5: half of that minute is 80, the other 2.
  expect(series(pod(life(10.5)), 1, 14, 16)).toEqual([
    [14, 80],
    [15, 41],
    [16, 2],
  ]);
  expect(series(pod(life(10.5)), 7, 16, 16)).toEqual([[16, 2]]); // further pods are as the last one named
  expect(series(pod(life(10.5)), 0, 16, 16)).toEqual([[16, 90]]);
});

it('is weighed over a long step', () => {
  expect(series(pod(life(10)), 1, 10, 19, { step: 10 })).toEqual([[10, 41]]);
});

it('has points while the pod ran, and no others', () => {
  expect(series(pod(life(10, 12)), 0, 8, 18).map(([at]) => at)).toEqual([10, 11]);
  expect(series(pod({ podUid: 'u', status: 'Pending', createdAt: 0 }), 0, 8, 18)).toEqual([]);
  // From minute 5 on nothing is said of memory.
  expect(series(pod(life(10)), 0, 8, 19, { which: 'memoryPercent' })).toEqual(
    [10, 11, 12, 13, 14].map((at) => [at, 70]),
  );
});

it('goes on in the next life of a pod', () => {
  expect(series(pod(life(14), [life(10, 12)]), 1, 10, 16)).toEqual([
    [10, 80],
    [11, 80],
    [14, 80],
    [15, 2],
    [16, 2],
  ]);
});
