import { describe, expect, it } from 'vitest';
import { iterationLine, LogStore, pod, wireJob } from '../../test/scripted-job.ts';
import { manualClock, paiError, type Script, scriptedPai } from '../../test/scripted-pai.ts';
import type { WireJob } from '../pai-wire.ts';
import { type FollowOptions, followJob, type JobEvent } from './follow-job.ts';

/** One look at the job: what PAI says then, and what happens before it is asked. */
interface Look {
  job: WireJob | Error;
  before?: () => void;
}

/** A job that goes through these looks, then stays at the last; its logs are in `store`. */
function scriptedJob(looks: (context: { store: LogStore; now: () => number }) => Look[], logs?: Script['GetPodLogs']) {
  const clock = manualClock();
  const store = new LogStore(clock.now);
  const steps = looks({ store, now: clock.now });
  let current: WireJob | undefined;
  const uidOf = (podId: string) => current?.Pods?.find((candidate) => candidate.PodId === podId)?.PodUid ?? '';
  const pai = scriptedPai({
    GetJob: (_, calls) => {
      const look = steps[Math.min(calls, steps.length - 1)] as Look;
      if (calls < steps.length) look.before?.();
      if (look.job instanceof Error) throw look.job;
      current = look.job;
      return look.job;
    },
    GetPodLogs: logs ?? ((input) => store.answer(input, uidOf)),
  });
  return { pai, clock, store };
}

async function eventsOf(job: ReturnType<typeof scriptedJob>, options: FollowOptions = {}): Promise<JobEvent[]> {
  const events: JobEvent[] = [];
  for await (const event of followJob(job.pai, 'dlc1', { pollMs: 1000, clock: job.clock, ...options })) {
    events.push(event);
    if (events.length > 500) throw new Error('it does not end');
  }
  return events;
}

/** Events in short: "phase running", "7", "saved 8", "end succeeded". */
const brief = (events: JobEvent[]): string[] =>
  events.map((event) => {
    if (event.type === 'phase-change') return `${event.phase} ${event.status}`;
    if (event.type === 'iteration') return String(event.iteration);
    if (event.type === 'validation') return `validation ${event.iteration}`;
    if (event.type === 'checkpoint-saved') return `saved ${event.iteration}`;
    if (event.type === 'checkpoint-loaded') return `loaded ${event.iteration}`;
    return event.type === 'warning' ? `warning ${event.code}` : `end ${event.phase}: ${event.reason}`;
  });

const worker = [pod('master-0'), pod('worker-0')];

describe('followJob', () => {
  it('tells phases, iterations, validation and checkpoints once each and in order', async () => {
    const job = scriptedJob(({ store }) => {
      const write =
        (...numbers: number[]) =>
        () => {
          for (const number of numbers) store.write('uid-worker-0', iterationLine(number));
        };
      return [
        { job: wireJob('Creating') },
        { job: wireJob('Queuing') },
        { job: wireJob('Running', worker), before: () => store.write('uid-master-0', 'hello') },
        { job: wireJob('Running', worker), before: write(1, 2) },
        { job: wireJob('Running', worker), before: write(3) },
        { job: wireJob('Running', worker) },
        {
          job: wireJob('Running', worker),
          before: () => {
            write(4)();
            store.write(
              'uid-worker-0',
              ' validation loss at iteration 4 | lm loss value: 2.1E+00 | lm loss PPL: 8.2E+00 | ',
            );
            store.write(
              'uid-master-0',
              '  successfully saved checkpoint from iteration       4 to /out/checkpoint/run [ t 1/2, p 1/2 ]',
            );
          },
        },
        { job: wireJob('Succeeded', worker, { ReasonCode: 'JobSucceeded', ReasonMessage: 'all pods succeeded' }) },
      ];
    });
    const events = await eventsOf(job);
    expect(brief(events)).toEqual([
      ...['pending Creating', 'pending Queuing', 'running Running', '1', '2', '3', '4', 'validation 4', 'saved 4'],
      ...['succeeded Succeeded', 'end succeeded: all pods succeeded'],
    ]);
    expect(events[3]).toMatchObject({ type: 'iteration', trainIterations: 100, lmLoss: 2.5, gradNorm: 1 });
    expect(events[8]).toEqual({ type: 'checkpoint-saved', iteration: 4, directory: '/out/checkpoint/run' });
  });

  it('polls at one pace, also a status that PAI may add', async () => {
    const job = scriptedJob(() => [
      ...Array.from({ length: 4 }, () => ({ job: wireJob('Defragmenting') })),
      { job: wireJob('Stopped', [], { ReasonCode: 'JobStoppedByUser' }) },
    ]);
    expect(brief(await eventsOf(job))).toEqual([
      ...['unknown Defragmenting', 'stopped Stopped', 'end stopped: JobStoppedByUser'],
    ]);
    expect(job.clock.sleeps).toEqual(Array(6).fill(1000)); // four looks, then two quiet ones at the log
  });

  it('reads on until the log of an ended job is quiet', async () => {
    const job = scriptedJob(({ store, now }) => [
      {
        job: wireJob('Succeeded', worker),
        before: () => {
          store.write('uid-worker-0', iterationLine(1));
          store.write('uid-worker-0', iterationLine(2), { storedAt: now() + 1500 });
          store.write('uid-worker-0', iterationLine(3), { storedAt: now() + 3500 });
        },
      },
    ]);
    expect(brief(await eventsOf(job))).toEqual(['1', '2', '3', 'succeeded Succeeded', 'end succeeded: Succeeded']);
  });

  it('tells every status of PAI’s history, also those that no look met', async () => {
    const history = (...statuses: string[]) => ({
      StatusHistory: statuses.map((Status, index) => ({ Status, StartTime: `2026-11-24T00:00:0${index}Z` })),
    });
    const job = scriptedJob(() => [
      { job: wireJob('Queuing', [], history('Creating', 'Queuing')) },
      { job: wireJob('Failed', [], history('Creating', 'Queuing', 'EnvPreparing', 'Running', 'Failed')) },
    ]);
    const events = await eventsOf(job);
    expect(brief(events).slice(0, 5)).toEqual([
      ...['pending Creating', 'pending Queuing', 'pending EnvPreparing', 'running Running', 'failed Failed'],
    ]);
    expect(events[3]).toMatchObject({ at: '2026-11-24T00:00:03Z' });
  });

  it('brings a late line once, though its neighbours are known', async () => {
    const job = scriptedJob(({ store, now }) => [
      {
        job: wireJob('Running', worker),
        before: () => {
          for (const number of [1, 2, 3]) {
            store.write('uid-worker-0', iterationLine(number), { storedAt: now() + (number === 2 ? 1500 : 0) });
          }
        },
      },
      { job: wireJob('Running', worker) },
      { job: wireJob('Running', worker), before: () => store.write('uid-worker-0', iterationLine(4)) },
      { job: wireJob('Stopped', worker) },
    ]);
    expect(brief(await eventsOf(job)).filter((text) => /^\d+$/.test(text))).toEqual(['1', '3', '2', '4']);
  });

  it('asks for a window from before the last line it knows, not for the whole log again', async () => {
    const job = scriptedJob(({ store }) => [
      ...Array.from({ length: 300 }, (_, index) => ({
        job: wireJob('Running', worker),
        before: () => store.write('uid-worker-0', iterationLine(index + 1)),
      })),
      { job: wireJob('Succeeded', worker) },
    ]);
    const iterations = brief(await eventsOf(job)).filter((text) => /^\d+$/.test(text));
    expect(iterations).toEqual(Array.from({ length: 300 }, (_, index) => String(index + 1)));
    const windows = job.store.asked.filter(({ podId }) => podId === 'dlc1-worker-0');
    expect(windows[0]?.startTime).toBeUndefined();
    expect(windows[250]?.startTime).toBe('2026-11-24T00:03:09Z'); // line 250 was seen at 249 s; 60 s before it
    expect(windows).toHaveLength(303);
  });

  it('asks once a look while the log is idle, however long', async () => {
    const job = scriptedJob(({ store }) => [
      { job: wireJob('Running', worker), before: () => store.write('uid-worker-0', iterationLine(1)) },
      ...Array.from({ length: 150 }, () => ({ job: wireJob('Running', worker) })),
      { job: wireJob('Running', worker), before: () => store.write('uid-worker-0', iterationLine(2)) },
      { job: wireJob('Succeeded', worker) },
    ]);
    expect(brief(await eventsOf(job)).filter((text) => /^\d+$/.test(text))).toEqual(['1', '2']);
    expect(job.store.asked.filter(({ podId }) => podId === 'dlc1-worker-0')).toHaveLength(155);
  });

  it('finds the lines of a pod whose clock is ten minutes behind', async () => {
    const job = scriptedJob(({ store, now }) => [
      ...Array.from({ length: 5 }, (_, index) => ({
        job: wireJob('Running', worker),
        before: () => store.write('uid-worker-0', iterationLine(index + 1), { writtenAt: now() - 600_000 }),
      })),
      { job: wireJob('Succeeded', worker) },
    ]);
    const iterations = brief(await eventsOf(job)).filter((text) => /^\d+$/.test(text));
    expect(iterations).toEqual(['1', '2', '3', '4', '5']);
  });

  it('finds the first lines of a log that was empty, whatever the pod’s clock says', async () => {
    const job = scriptedJob(({ store, now }) => [
      {
        job: wireJob('Running', worker),
        before: () =>
          store.write('uid-worker-0', iterationLine(1), { writtenAt: now() - 600_000, storedAt: now() + 900 }),
      },
      { job: wireJob('Running', worker) },
      { job: wireJob('Succeeded', worker) },
    ]);
    expect(brief(await eventsOf(job))).toContain('1');
  });

  it('reads the rest of a pod that was replaced, then its successor from the start', async () => {
    const second = [pod('master-0'), pod('worker-0', 'uid-second')];
    const job = scriptedJob(({ store }) => [
      { job: wireJob('Running', worker), before: () => store.write('uid-worker-0', iterationLine(1)) },
      {
        job: wireJob('Running', second),
        before: () => {
          store.write('uid-worker-0', iterationLine(2));
          store.write('uid-second', iterationLine(1));
          store.write('uid-second', iterationLine(2));
        },
      },
      { job: wireJob('Succeeded', second), before: () => store.write('uid-second', iterationLine(3)) },
    ]);
    const iterations = brief(await eventsOf(job)).filter((text) => /^\d+$/.test(text));
    expect(iterations).toEqual(['1', '2', '1', '2', '3']);
  });

  it('notices a restart that only the log tells', async () => {
    const unnamed = [{ PodId: 'dlc1-master-0', Type: 'Master' }];
    let uid = 'first';
    const store = new LogStore(() => Date.now());
    store.write('first', iterationLine(1));
    store.write('first', iterationLine(2));
    store.write('second', iterationLine(1)); // the very line of the first pod
    const job = scriptedJob(
      () => [
        { job: wireJob('Running', unnamed) },
        {
          job: wireJob('Running', unnamed),
          before: () => {
            uid = 'second';
          },
        },
        { job: wireJob('Succeeded', unnamed) },
      ],
      (input) => store.answer(input, () => uid),
    );
    expect(brief(await eventsOf(job)).filter((text) => /^\d+$/.test(text))).toEqual(['1', '2', '1']);
  });

  it('reads the last of many workers, by number', async () => {
    const pods = [pod('worker-2'), pod('worker-10'), pod('master-0'), pod('worker-9')];
    const job = scriptedJob(({ store }) => [
      { job: wireJob('Running', pods), before: () => store.write('uid-worker-10', iterationLine(1)) },
      { job: wireJob('Succeeded', pods) },
    ]);
    expect(brief(await eventsOf(job))).toContain('1');
    expect(new Set(job.store.asked.map(({ podId }) => podId))).toEqual(new Set(['dlc1-worker-10', 'dlc1-master-0']));
  });

  it('tells a checkpoint once when both pods print it', async () => {
    const saved = '  successfully saved checkpoint from iteration       2 to /out [ t 1/1, p 1/1 ]';
    const job = scriptedJob(({ store }) => [
      {
        job: wireJob('Running', worker),
        before: () => {
          store.write('uid-master-0', saved);
          store.write('uid-worker-0', saved);
        },
      },
      { job: wireJob('Succeeded', worker) },
    ]);
    expect(brief(await eventsOf(job)).filter((text) => text.startsWith('saved'))).toEqual(['saved 2']);
  });

  it('warns of a start from random weights', async () => {
    const job = scriptedJob(({ store }) => [
      {
        job: wireJob('Running', worker),
        before: () => store.write('uid-master-0', '    will not load any checkpoints and will start from random'),
      },
      { job: wireJob('Stopped', worker) },
    ]);
    expect(brief(await eventsOf(job))).toContain('warning start-from-random');
  });

  it('warns when the log is longer than PAI gives', async () => {
    const job = scriptedJob(({ store }) => [
      {
        job: wireJob('Running', worker),
        before: () => {
          for (let number = 1; number <= 2500; number++) store.write('uid-worker-0', `noise ${number}`);
          store.write('uid-worker-0', iterationLine(7));
        },
      },
      { job: wireJob('Succeeded', worker) },
    ]);
    expect(brief(await eventsOf(job)).filter((text) => text === 'warning log-gap' || text === '7')).toEqual([
      'warning log-gap',
      '7',
    ]);
  });
});

describe('when PAI cannot be read', () => {
  it('goes on after an outage and tells it once', async () => {
    const outage = paiError('CPT_PAI_UNAVAILABLE', { status: 503 });
    const job = scriptedJob(({ store }) => [
      { job: wireJob('Running', worker), before: () => store.write('uid-worker-0', iterationLine(1)) },
      ...[{ job: outage }, { job: outage }, { job: paiError('CPT_PAI_THROTTLED') }],
      { job: wireJob('Running', worker), before: () => store.write('uid-worker-0', iterationLine(2)) },
      { job: wireJob('Succeeded', worker) },
    ]);
    expect(brief(await eventsOf(job)).slice(0, 4)).toEqual(['running Running', '1', 'warning pai-unreachable', '2']);
  });

  it('waits for a job that PAI does not know yet', async () => {
    const missing = paiError('CPT_PAI_NOT_FOUND', { status: 404 });
    const job = scriptedJob(() => [{ job: missing }, { job: missing }, { job: wireJob('Stopped') }]);
    expect(brief(await eventsOf(job))).toEqual(['stopped Stopped', 'end stopped: Stopped']);
  });

  it('does not give up on a job that PAI forgets for half a minute', async () => {
    const missing = paiError('CPT_PAI_NOT_FOUND', { status: 404 });
    const job = scriptedJob(() => [
      { job: wireJob('Running') },
      ...Array.from({ length: 30 }, () => ({ job: missing })),
      { job: wireJob('Stopped') },
    ]);
    expect(brief(await eventsOf(job))).toEqual(['running Running', 'stopped Stopped', 'end stopped: Stopped']);
  });

  it('gives up on a job that stays unknown', async () => {
    const missing = paiError('CPT_PAI_NOT_FOUND', { status: 404 });
    const job = scriptedJob(() => [{ job: missing }]);
    await expect(eventsOf(job)).rejects.toBe(missing);
    expect(job.clock.sleeps).toHaveLength(10);
  });

  it.each(['CPT_PAI_FORBIDDEN', 'CPT_PAI_SIGNATURE'] as const)('ends at once on %s', async (code) => {
    const refused = paiError(code);
    await expect(eventsOf(scriptedJob(() => [{ job: refused }]))).rejects.toBe(refused);
    const job = scriptedJob(
      () => [{ job: wireJob('Running', worker) }],
      () => {
        throw refused;
      },
    );
    await expect(eventsOf(job)).rejects.toBe(refused);
  });

  it('ends with the reason of an abort', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const job = scriptedJob(() => [
      { job: wireJob('Running') },
      { job: wireJob('Running'), before: () => controller.abort(reason) },
    ]);
    await expect(eventsOf(job, { signal: controller.signal })).rejects.toBe(reason);
  });
});
