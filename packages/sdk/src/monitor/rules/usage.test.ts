import { describe, expect, it } from 'vitest';
import type { DetectorEvent } from '../detector-state.ts';
import { advance, createMonitor, type MonitorState } from '../incidents.ts';

const line = (iteration: number): DetectorEvent => ({ type: 'iteration', iteration, trainIterations: 9999, lmLoss: 2 });
const use = (...gpuPercents: (number | undefined)[]): DetectorEvent => ({
  type: 'metrics',
  at: '2026-11-24T08:00:00.000Z',
  pods: gpuPercents.map((gpuPercent, index) => ({
    podId: `dlc1-worker-${index}`,
    ...(gpuPercent === undefined ? {} : { gpuPercent }),
  })),
});

/** What is said after each event. */
function watch(events: readonly DetectorEvent[]) {
  let state: MonitorState = createMonitor();
  return events.map((event) => {
    const step = advance(state, event);
    state = JSON.parse(JSON.stringify(step.state));
    return { signals: step.signals, changes: step.changes.map(({ change, incident }) => `${change} ${incident.id}`) };
  });
}

describe('G1', () => {
  it('names the pod whose GPUs are idle at three looks while the others work', () => {
    const said = watch([line(1), use(95, 4, 97), use(95, 4, 97), use(95, 4, 97)]);
    expect(said.map(({ signals }) => signals.length)).toEqual([0, 0, 0, 1]);
    expect(said[3]?.changes).toEqual(['opened idle-gpu-1']);
    expect(said[3]?.signals[0]).toMatchObject({ rule: 'G1', level: 'warn', iteration: 1, value: 4, threshold: 20 });
    expect(said[3]?.signals[0]?.message).toBe('dlc1-worker-1 (4 %) hardly uses its GPUs while 2 of 3 pods use more');
  });

  it('says that all wait when all are idle', () => {
    const said = watch([line(1), use(3, 4), use(3, 4), use(3, 4)]);
    expect(said[3]?.signals[0]?.message).toContain('all 2 pods use less than 20 %');
  });

  it('is silent before the first iteration, at one idle look, and of pods without the metric', () => {
    const idle = [use(0, 0), use(0, 0), use(0, 0), use(0, 0)];
    expect(watch(idle).flatMap(({ signals }) => signals)).toEqual([]);
    const now = [line(1), use(1), use(1), use(90), use(1), use(1)];
    expect(watch(now).flatMap(({ signals }) => signals)).toEqual([]);
    const blind = [line(1), ...Array.from({ length: 5 }, () => use(undefined, undefined))];
    expect(watch(blind).flatMap(({ signals }) => signals)).toEqual([]);
  });

  it('is over after two looks without it, however many lines pass between looks', () => {
    const lines = Array.from({ length: 100 }, (_, index) => line(index + 2));
    const said = watch([
      line(1),
      use(4),
      use(4),
      use(4),
      ...lines,
      use(4),
      ...lines.map((_, i) => line(i + 102)),
      use(90),
      use(90),
    ]);
    expect(said.flatMap(({ changes }) => changes)).toEqual([
      ...['opened idle-gpu-1', 'recovering idle-gpu-1', 'closed idle-gpu-1'],
    ]);
  });
});
