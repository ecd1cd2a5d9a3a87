import { describe, expect, it } from 'vitest';
import { createDetector, observe } from '../src/monitor/detector.ts';
import { readPodLog } from '../src/monitor/pod-log.ts';
import { parseTrainingLine } from '../src/monitor/training-log.ts';
import { type WatchEvent, type WatchOptions, watchJob } from '../src/monitor/watch-job.ts';
import { LogStore, pod, wireJob } from './scripted-job.ts';
import { manualClock, scriptedPai } from './scripted-pai.ts';

/** Logs as pods really leave them, read through GetPodLogs by whoever watches a job. */

const head = (iteration: number, at = '00:00:00') =>
  ` [2026-11-24 ${at}] iteration ${iteration}/ 100 | consumed samples: ${iteration * 8} |`;
const TAIL =
  ' loss scale: 1.0 | grad norm: 1.000 | number of skipped iterations:   0 | number of nan iterations:   0 |';
const whole = (iteration: number, at?: string) => `${head(iteration, at)} lm loss: 2.500000E+00 |${TAIL}`;

/** All that a watcher says of a job that writes one of `lines` a look and then succeeds. */
async function watch(lines: readonly string[], options: WatchOptions = {}): Promise<WatchEvent[]> {
  const clock = manualClock();
  const store = new LogStore(clock.now);
  const left = [...lines];
  let isStopped = false;
  const pai = scriptedPai({
    GetJob: () => {
      const next = isStopped ? undefined : left.shift();
      if (next !== undefined) store.write('uid-worker-0', next);
      const ended = isStopped ? 'Stopped' : 'Succeeded';
      return wireJob(next === undefined ? ended : 'Running', [pod('worker-0')]);
    },
    GetPodLogs: (input) => store.answer(input, () => 'uid-worker-0'),
  });
  const stop = async () => {
    isStopped = true;
  };
  const events: WatchEvent[] = [];
  for await (const event of watchJob(pai, 'dlc1', stop, { clock, pollMs: 1000, ...options })) events.push(event);
  return events;
}
const iterationsIn = (events: readonly WatchEvent[]) =>
  events.flatMap((event) => (event.type === 'iteration' ? [event.iteration] : []));

describe('row 61: a log that is damaged', () => {
  const TEN_MEGABYTES = 'x'.repeat(10_000_000);
  it.each<[what: string, damaged: string[], iterations: number[]]>([
    ['a line that is cut before the loss', [head(3)], [1, 2, 3, 4]],
    ['a line that is cut in the middle of a number', [`${head(3)} lm loss: 2.50`], [1, 2, 3, 4]],
    ['a line that is cut before the bar', [' [2026-11-24 00:00:00] iteration 3/ 1'], [1, 2, 4]],
    ['ends of lines from Windows', [`${whole(3)}\r`], [1, 2, 3, 4]],
    ['colours of a terminal', [`\u001b[32m${whole(3)}\u001b[0m`], [1, 2, 3, 4]],
    ['a line of 10 MB', [TEN_MEGABYTES, whole(3)], [1, 2, 3, 4]],
    ['an iteration in a line of 10 MB', [whole(3) + TEN_MEGABYTES], [1, 2, 4]],
    [
      'a line with the words of another rank in it',
      [`${head(3)} lm loss: 2.5[rank7]: NCCL INFO ring 0: 1 -> 2`, `00000E+00 |${TAIL}`],
      [1, 2, 3, 4],
    ],
    ['time that goes back', [whole(3, '23:59:59')], [1, 2, 3, 4]],
    ['bytes that are no text', ['\ufffd\u0000\u0007', whole(3)], [1, 2, 3, 4]],
  ])('%s neither stops the watcher nor alarms it', async (_, damaged, iterations) => {
    const events = await watch([whole(1), whole(2), ...damaged, whole(4)]);
    expect(iterationsIn(events)).toEqual(iterations);
    expect(events.filter(({ type }) => type === 'incident' || type === 'warning')).toEqual([]);
    expect(events.at(-1)).toMatchObject({ type: 'end', phase: 'succeeded' });
  });

  it('leaves nothing behind: what is remembered of it stays as small', async () => {
    const clock = manualClock();
    const store = new LogStore(clock.now);
    const pai = scriptedPai({ GetPodLogs: (input) => store.answer(input, () => 'uid-worker-0') });
    for (let at = 1; at <= 4; at++) store.write('uid-worker-0', TEN_MEGABYTES);
    const { cursor, lines } = await readPodLog(
      pai,
      'dlc1',
      { podId: 'dlc1-worker-0', podUid: 'uid-worker-0' },
      { clock },
    );
    expect(lines).toHaveLength(4);
    expect(JSON.stringify(cursor).length).toBeLessThan(1000);

    let state = createDetector();
    const sizes: number[] = [];
    for (let iteration = 1; iteration <= 3000; iteration++) {
      const line = parseTrainingLine(whole(iteration).replace('/ 100', '/ 9000'));
      if (line?.type === 'iteration') ({ state } = observe(state, line, iteration));
      if (iteration % 1000 === 0) sizes.push(JSON.stringify(state).length);
    }
    expect((sizes[2] as number) - (sizes[0] as number)).toBeLessThan(100);
  });
});

describe('row 62: a loss that is not a number', () => {
  // Megatron leaves a loss that is NaN out of its line, and its own counter of them says 0.
  const lost = `${head(4)}${TAIL}`;

  it('is told at the line that lacks it, though the counter says 0', async () => {
    expect(lost).toContain('number of nan iterations:   0');
    const events = await watch([whole(1), whole(2), whole(3), lost, whole(5)]);
    const at = events.findIndex((event) => event.type === 'iteration' && event.iteration === 4);
    expect(events[at + 1]).toMatchObject({
      type: 'incident',
      incident: { openedAt: 4, evidence: [{ rule: 'A1', level: 'critical', firstIteration: 4 }] },
    });
  });

  it('stops the job there, where that is asked for', async () => {
    const events = await watch([whole(1), whole(2), whole(3), lost, whole(5), whole(6)], { stopOn: ['A1'] });
    expect(iterationsIn(events)).toEqual([1, 2, 3, 4]);
    expect(events).toContainEqual(expect.objectContaining({ type: 'stop-requested', rule: 'A1' }));
    expect(events.at(-1)).toMatchObject({ type: 'end', phase: 'stopped' });
  });
});
