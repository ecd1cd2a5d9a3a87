import type { TimeWindow } from './parameters.ts';
import type { PodRecord } from './state.ts';

/** What the GPUs of a scripted job do from a minute on, pod by pod in order of rank; the last value stands for all further pods. */
export interface GpuSpan {
  /** After the pod first started. */
  readonly fromMinute: number;
  readonly percent: readonly number[];
  /** Of the GPUs' memory. */
  readonly memoryPercent: readonly number[];
}

interface Point {
  readonly at: number;
  readonly value: number;
}

/** A value that holds from one moment to another, both in milliseconds since 1970. */
interface Piece {
  readonly from: number;
  readonly to: number;
  readonly value: number;
}

/**
 * The series of one pod that `spans` tell: for every step in the window the mean over the time in which the pod ran, to the
 * millisecond. A pod that was started again goes on where it was; between its lives there is nothing.
 */
export function gpuSeries(
  spans: readonly GpuSpan[],
  which: 'percent' | 'memoryPercent',
  pod: PodRecord,
  rank: number,
  { window, stepMs, now }: { window: TimeWindow; stepMs: number; now: number },
): Point[] {
  const lives = [...(pod.earlier ?? []), pod].flatMap(({ startedAt, finishedAt = now }) =>
    startedAt === undefined ? [] : [{ from: startedAt, to: finishedAt }],
  );
  const [first] = lives;
  if (!first) return [];
  const pieces = lives.flatMap((life) => cut(spans, which, rank, first.from, life));
  const points: Point[] = [];
  for (let at = Math.floor(window.from / stepMs) * stepMs; at <= window.to; at += stepMs) {
    const value = meanIn(pieces, at, at + stepMs);
    if (value !== undefined) points.push({ at, value });
  }
  return points;
}

function cut(
  spans: readonly GpuSpan[],
  which: 'percent' | 'memoryPercent',
  rank: number,
  start: number,
  life: { from: number; to: number },
): Piece[] {
  return spans.flatMap((span, index) => {
    const values = span[which];
    const value = values[Math.min(rank, values.length - 1)];
    const next = spans[index + 1];
    const from = Math.max(life.from, start + span.fromMinute * 60_000);
    const to = Math.min(life.to, next ? start + next.fromMinute * 60_000 : life.to);
    return value === undefined || from >= to ? [] : [{ from, to, value }];
  });
}

function meanIn(pieces: readonly Piece[], from: number, to: number): number | undefined {
  let sum = 0;
  let length = 0;
  for (const piece of pieces) {
    const ms = Math.min(piece.to, to) - Math.max(piece.from, from);
    if (ms <= 0) continue;
    sum += ms * piece.value;
    length += ms;
  }
  return length === 0 ? undefined : sum / length;
}
