import { describe, expect, it } from 'vitest';
import { iterationLine, LogStore, pod, wireJob } from '../../test/scripted-job.ts';
import { manualClock, paiError, scriptedPai } from '../../test/scripted-pai.ts';
import type { WireJob, WirePod } from '../pai-wire.ts';
import { type WatchEvent, watchJob } from './watch-job.ts';

/** A worker under a uid, and those that it replaced, in an order that PAI does not promise. */
const worker = (uid: string, ...old: string[]): WirePod => ({
  ...pod('worker-0', uid),
  HistoryPods: old
    .map((PodUid, index) => ({ ...pod('worker-0', PodUid), GmtStartTime: `2026-11-24T00:00:0${index}Z` }))
    .reverse(),
});

/** A job that is looked at in these steps; `fails` says which uids cannot be read at a look. */
async function watched(
  steps: { job: WireJob; write?: Record<string, string[]>; fails?: string[] }[],
  detector = {},
): Promise<WatchEvent[]> {
  const clock = manualClock();
  const store = new LogStore(clock.now);
  let step = -1;
  const pai = scriptedPai({
    GetJob: () => {
      step = Math.min(step + 1, steps.length - 1);
      const { job, write = {} } = steps[step] as (typeof steps)[number];
      for (const [uid, lines] of Object.entries(write)) for (const line of lines) store.write(uid, line);
      if (step === steps.length - 1) (steps[step] as { write?: unknown }).write = {};
      return job;
    },
    GetPodLogs: (input) => {
      const uid = input.query.PodUid ?? '';
      if (steps[step]?.fails?.includes(uid)) throw paiError('CPT_PAI_UNAVAILABLE', { status: 503 });
      return store.answer(input, () => uid);
    },
  });
  const events: WatchEvent[] = [];
  for await (const event of watchJob(pai, 'dlc1', async () => {}, { clock, pollMs: 1000, detector })) {
    events.push(event);
    if (events.length > 500) throw new Error('it does not end');
  }
  return events;
}

const numbers = (events: readonly WatchEvent[]): number[] =>
  events.flatMap((event) => (event.type === 'iteration' ? [event.iteration] : []));
const lines = (from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, index) => iterationLine(from + index));
const loaded = (directory: string, iteration: number): string =>
  `  successfully loaded checkpoint from ${directory} [ t 1/8, p 1/4 ] at iteration ${iteration}`;
const incidents = (events: readonly WatchEvent[]): string[] =>
  events.flatMap((event) => (event.type === 'incident' ? [`${event.change} ${event.incident.id}`] : []));

describe('pods that are restarted', () => {
  it('nothing is lost and nothing told twice when a pod is replaced twice between two looks', async () => {
    const events = await watched([
      { job: wireJob('Running', [worker('a')]), write: { a: lines(1, 3) } },
      {
        job: wireJob('Running', [worker('c', 'a', 'b')]),
        write: { a: lines(4, 5), b: lines(4, 6), c: lines(6, 7) },
      },
      { job: wireJob('Succeeded', [worker('c', 'a', 'b')]), write: { c: lines(8, 8) } },
    ]);
    expect(numbers(events)).toEqual([1, 2, 3, 4, 5, 4, 5, 6, 6, 7, 8]);
  });

  it('a watcher that joins late reads those that were replaced first', async () => {
    const job = wireJob('Running', [worker('c', 'a', 'b')]);
    const events = await watched([
      { job, write: { a: lines(1, 2), b: lines(2, 3), c: lines(3, 4) } },
      { job: { ...job, Status: 'Succeeded' } },
    ]);
    expect(numbers(events)).toEqual([1, 2, 2, 3, 3, 4]);
  });

  it('waits for the rest of an old pod that cannot be read now, before it reads the next', async () => {
    const after = wireJob('Running', [worker('b', 'a')]);
    const events = await watched([
      { job: wireJob('Running', [worker('a')]), write: { a: lines(1, 2) } },
      { job: after, write: { a: lines(3, 3), b: lines(3, 4) }, fails: ['a'] },
      { job: after, fails: ['a'] },
      { job: { ...after, Status: 'Succeeded' } },
    ]);
    expect(numbers(events)).toEqual([1, 2, 3, 3, 4]);
    const warnings = events.flatMap((event) => (event.type === 'warning' ? [event.code] : []));
    expect(new Set(warnings)).toEqual(new Set(['pai-unreachable']));
  });

  it('an old pod whose log PAI has removed holds nothing up', async () => {
    const events = await watched([
      { job: wireJob('Running', [worker('b', 'gone')]), write: { b: lines(1, 2) } },
      { job: wireJob('Succeeded', [worker('b', 'gone')]) },
    ]);
    expect(numbers(events)).toEqual([1, 2]);
  });

  it('a restart from the base weights is critical, at the word of the log before any iteration', async () => {
    const after = wireJob('Running', [worker('b', 'a')]);
    const events = await watched(
      [
        { job: wireJob('Running', [worker('a')]), write: { a: [loaded('/mnt/base/', 0), ...lines(1, 9)] } },
        { job: after, write: { b: [loaded('/mnt/base/', 0)] } },
        { job: { ...after, Status: 'Succeeded' }, write: { b: lines(1, 2) } },
      ],
      { baseCheckpoint: '/mnt/base' },
    );
    expect(incidents(events)).toEqual(['opened lost-progress-9']);
    const [incident] = events.filter((event) => event.type === 'incident');
    expect(incident?.incident).toMatchObject({ level: 'critical', evidence: [{ rule: 'A5' }] });
    expect(incident?.incident.proposal.action).toContain('cpt resume');
  });

  it('one that goes on from a checkpoint of its own is noted, and no incident', async () => {
    const after = wireJob('Running', [worker('b', 'a')]);
    const events = await watched(
      [
        { job: wireJob('Running', [worker('a')]), write: { a: [loaded('/mnt/base', 0), ...lines(1, 9)] } },
        { job: after, write: { b: [loaded('/mnt/out/checkpoint/run', 6), ...lines(7, 9)] } },
        { job: { ...after, Status: 'Succeeded' } },
      ],
      { baseCheckpoint: '/mnt/base' },
    );
    expect(numbers(events)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 7, 8, 9]);
    expect(incidents(events)).toEqual([]);
    expect(events.filter((event) => event.type === 'checkpoint-loaded')).toHaveLength(2);
  });

  it('without a word of the log, the first iteration again says the same', async () => {
    const after = wireJob('Running', [worker('b', 'a')]);
    const events = await watched([
      { job: wireJob('Running', [worker('a')]), write: { a: lines(1, 9) } },
      { job: { ...after, Status: 'Succeeded' }, write: { b: lines(1, 3) } },
    ]);
    expect(incidents(events)).toEqual(['opened lost-progress-1']);
  });
});
